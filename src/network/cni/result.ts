// SPDX-License-Identifier: Apache-2.0
// What plugins print: results of every protocol version, errors, versions. Pure; the text is hostile: a
// plugin is trusted to run as root, but not to be correct, and its words reach resolv.conf and terminals.
import { isIpAddress } from "../../lib/ip-address.ts";
import { quote, stripControl } from "../../lib/text.ts";
import type { Attachment } from "../driver.ts";
import { isDeeperThan } from "../net-config.ts";
import { type CniVersion, isAtLeast } from "./versions.ts";

type Fields = Readonly<Record<string, unknown>>;

/** What is wrong with a plugin's output; the caller says which plugin. */
export class OutputError extends Error {}

export interface CniResult {
  /** As printed, for the next plugin's `prevResult`. */
  readonly raw: Fields;
  readonly addresses: Attachment["addresses"];
  readonly dns: Attachment["dns"];
}

const MAX_ITEMS = 64;
const MAX_DEPTH = 32;

/** Parses the result of ADD, whichever version's shape it has. */
export function parseResult(text: string): CniResult {
  const raw = parseObject(text);
  return { raw, addresses: [...oldAddresses(raw), ...addresses(raw)], dns: dnsOf(raw["dns"]) };
}

/**
 * The result as `prevResult` for a plugin of this version: it must say that version, and before 1.0.0
 * each address says its family.
 */
export function asPrevResult(raw: Fields, version: CniVersion): Fields {
  const ips = raw["ips"];
  if (!Array.isArray(ips)) return { ...raw, cniVersion: version };
  const converted = ips.map((ip: unknown) => {
    const { version: family, ...rest } = fieldsOf(ip, "an address");
    if (isAtLeast(version, "1.0.0")) return rest;
    return { version: family ?? (String(rest["address"]).includes(":") ? "6" : "4"), ...rest };
  });
  return { ...raw, cniVersion: version, ips: converted };
}

/** 0.1.0 and 0.2.0: at most one address of each family. */
function oldAddresses(raw: Fields): Attachment["addresses"] {
  return [raw["ip4"], raw["ip6"]]
    .filter((value) => value !== undefined && value !== null)
    .map((value) => {
      const fields = fieldsOf(value, "an address");
      return addressOf(fields["ip"], fields["gateway"]);
    });
}

/** 0.3.0 and later. Addresses of interfaces on the host's side are not the pod's. */
function addresses(raw: Fields): Attachment["addresses"] {
  const interfaces = listOf(raw["interfaces"], "interfaces");
  return listOf(raw["ips"], "ips")
    .map((value) => fieldsOf(value, "an address"))
    .filter(({ interface: index }) => {
      if (index === undefined || index === null) return true;
      const owner = typeof index === "number" ? interfaces[index] : undefined;
      if (owner === undefined)
        throw new OutputError("an address names an interface that is not there");
      const sandbox = fieldsOf(owner, "an interface")["sandbox"];
      return typeof sandbox === "string" && sandbox !== "";
    })
    .map((fields) => addressOf(fields["address"], fields["gateway"]));
}

function addressOf(cidr: unknown, gateway: unknown): Attachment["addresses"][number] {
  const [address = "", prefix = "", ...rest] = typeof cidr === "string" ? cidr.split("/") : [];
  const bits = /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
  const most = address.includes(":") ? 128 : 32;
  if (rest.length > 0 || !isIpAddress(address) || bits < 0 || bits > most) {
    throw new OutputError(`${quote(String(cidr))} is not an address with its prefix length`);
  }
  const via = gateway === undefined || gateway === null || gateway === "" ? undefined : gateway;
  if (via !== undefined && !(typeof via === "string" && isIpAddress(via))) {
    throw new OutputError(`gateway ${quote(String(via))} is not an IP address`);
  }
  return { address, prefix: bits, gateway: via };
}

function dnsOf(value: unknown): Attachment["dns"] {
  const fields = fieldsOf(value ?? {}, "dns");
  const servers = words(fields["nameservers"], "nameservers");
  for (const server of servers) {
    if (!isIpAddress(server))
      throw new OutputError(`name server ${quote(server)} is not an IP address`);
  }
  const [domain = ""] = words(fields["domain"] ? [fields["domain"]] : [], "domain");
  return {
    servers,
    domain,
    search: words(fields["search"], "search"),
    options: words(fields["options"], "options"),
  };
}

/** Strings that stand in a line of resolv.conf: a blank or a line break would make another line of it. */
function words(value: unknown, what: string): string[] {
  return listOf(value, what).map((word) => {
    if (typeof word !== "string" || !/^[\x21-\x7e]{1,253}$/.test(word)) {
      throw new OutputError(`${what} of dns has ${quote(String(word))}`);
    }
    return word;
  });
}

/** A plugin's error: `msg; details (code N)`, or undefined when what it printed is none. */
export function parseFailure(
  text: string,
): { readonly code: number | undefined; readonly sentence: string } | undefined {
  let fields: Fields;
  try {
    fields = parseObject(text);
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    return undefined;
  }
  const { code, msg, details } = fields;
  if (typeof msg !== "string" || msg === "") return undefined;
  const number = typeof code === "number" ? code : undefined;
  const more = typeof details === "string" && details !== "" ? `; ${excerpt(details)}` : "";
  const tail = number === undefined ? "" : ` (code ${number})`;
  return { code: number, sentence: `${excerpt(msg)}${more}${tail}` };
}

/** The answer to VERSION. A plugin of before 0.2.0 does not know the question: undefined. */
export function parseVersions(text: string): readonly string[] | undefined {
  try {
    const list = parseObject(text)["supportedVersions"];
    return listOf(list, "supportedVersions").map((each) => excerpt(String(each)));
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    return undefined;
  }
}

/** Outside words inside a sentence: one line, short, no full stop at its end. */
export function excerpt(text: string): string {
  const line = stripControl(text.replace(/\s+/g, " ")).trim().replace(/\.$/, "");
  return line.length > 400 ? `${line.slice(0, 397)}...` : line;
}

function parseObject(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error;
    throw new OutputError(
      text.trim() === ""
        ? "it printed nothing"
        : `it printed no JSON but ${quote(excerpt(text.slice(0, 200)))}`,
    );
  }
  if (isDeeperThan(value, MAX_DEPTH)) throw new OutputError("what it printed is nested too deep");
  return fieldsOf(value, "what it printed");
}

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new OutputError(`${what} is not an object`);
  }
  return value as Fields;
}

function listOf(value: unknown, what: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new OutputError(`${what} is not a list`);
  if (value.length > MAX_ITEMS) throw new OutputError(`${what} has more than ${MAX_ITEMS} entries`);
  return value;
}
