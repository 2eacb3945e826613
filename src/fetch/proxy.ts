// SPDX-License-Identifier: Apache-2.0
// Which proxy a request goes through: HTTP_PROXY, HTTPS_PROXY and NO_PROXY (upper or lower case), read
// as Go's net/http does, because that is what rkt's users have set up.
import { BlockList, isIP } from "node:net";
import { quote, redactUrl } from "../lib/text.ts";
import { FetchError } from "./errors.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The proxy's URL, or undefined for a direct connection. Loopback is always direct. */
export function proxyFor(url: URL, env: Environment): string | undefined {
  const value =
    url.protocol === "https:"
      ? firstSet(env, "HTTPS_PROXY", "https_proxy")
      : firstSet(env, "HTTP_PROXY", "http_proxy");
  if (value === undefined) return undefined;
  const host = bareHost(url);
  if (isLoopback(host)) return undefined;
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  if (isExempt(host, port, firstSet(env, "NO_PROXY", "no_proxy") ?? "")) return undefined;
  const text = value.includes("://") ? value : `http://${value}`;
  const proxy = URL.parse(text);
  if (proxy === null || proxy.hostname === "") {
    throw new FetchError("PROXY_INVALID", `cannot use proxy ${quote(redactUrl(text))}: not a URL`);
  }
  if (proxy.protocol !== "http:" && proxy.protocol !== "https:") {
    throw new FetchError(
      "PROXY_INVALID",
      `cannot use proxy ${quote(redactUrl(text))}: only http and https proxies are supported`,
    );
  }
  return proxy.href;
}

function firstSet(env: Environment, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = env[name];
    if (value !== undefined && value !== "") return value;
  }
  return undefined;
}

function bareHost(url: URL): string {
  const host = url.hostname.toLowerCase();
  const inner = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  return inner.endsWith(".") ? inner.slice(0, -1) : inner;
}

function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}

function isExempt(host: string, port: string, noProxy: string): boolean {
  for (const raw of noProxy.split(",", 1000)) {
    const entry = raw.trim().toLowerCase();
    if (entry === "") continue;
    if (entry === "*") return true;
    if (entry.includes("/")) {
      if (isInSubnet(host, entry)) return true;
      continue;
    }
    const { name, entryPort } = splitPort(entry);
    if (entryPort !== undefined && entryPort !== port) continue;
    const pattern = name.startsWith("*.") ? name.slice(1) : name;
    // ".example.com" stands for what is below it, "example.com" for itself too.
    if (pattern.startsWith(".")) {
      if (host.endsWith(pattern)) return true;
    } else if (host === pattern || (isIP(pattern) === 0 && host.endsWith(`.${pattern}`))) {
      return true;
    }
  }
  return false;
}

function splitPort(entry: string): { name: string; entryPort: string | undefined } {
  if (entry.startsWith("[")) {
    const close = entry.indexOf("]");
    const rest = entry.slice(close + 1);
    return {
      name: entry.slice(1, close),
      entryPort: rest.startsWith(":") ? rest.slice(1) : undefined,
    };
  }
  const colon = entry.indexOf(":");
  if (colon < 0 || entry.indexOf(":", colon + 1) >= 0) return { name: entry, entryPort: undefined };
  return { name: entry.slice(0, colon), entryPort: entry.slice(colon + 1) };
}

function isInSubnet(host: string, entry: string): boolean {
  const slash = entry.indexOf("/");
  const address = entry.slice(0, slash);
  const bits = entry.slice(slash + 1);
  const family = isIP(host);
  if (family === 0 || family !== isIP(address) || !/^[0-9]{1,3}$/.test(bits)) return false;
  if (Number(bits) > (family === 4 ? 32 : 128)) return false;
  const kind = family === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  list.addSubnet(address, Number(bits), kind);
  return list.check(host, kind);
}
