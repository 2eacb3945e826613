// SPDX-License-Identifier: Apache-2.0
// Certificates for one registry, in the directories where Docker and containers' tools look for them:
// DIRECTORY/HOST[:PORT]/ has authorities in *.crt, and what the client shows in NAME.cert and NAME.key.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../lib/errors.ts";
import { quote } from "../../lib/text.ts";
import { HUB_NAMES } from "../docker-reference.ts";
import { FetchError } from "../errors.ts";
import type { HostCertificates } from "../http.ts";
import type { Environment } from "../proxy.ts";
import { readSmallFile } from "../read-small.ts";

const MAX_SIZE = 1 << 20;

/** Reads a host's directories once. */
export function hostCertificates(env: Environment): (host: string) => HostCertificates | undefined {
  const home = env["HOME"] ?? "";
  const config = env["XDG_CONFIG_HOME"] || (home === "" ? "" : join(home, ".config"));
  const directories = [
    ...(config === "" ? [] : [join(config, "containers/certs.d")]),
    "/etc/containers/certs.d",
    "/etc/docker/certs.d",
  ];
  const known = new Map<string, HostCertificates | undefined>();
  return (host) => {
    if (!known.has(host)) known.set(host, readHost(directories, host));
    return known.get(host);
  };
}

function readHost(directories: readonly string[], host: string): HostCertificates | undefined {
  const names = HUB_NAMES.includes(host) ? HUB_NAMES : [host];
  for (const directory of directories) {
    for (const name of names) {
      const found = readDirectory(join(directory, name));
      // As the other tools do: the first directory that has any is the one.
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function readDirectory(directory: string): HostCertificates | undefined {
  let names: string[];
  try {
    names = readdirSync(directory).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
    throw error;
  }
  const read = (name: string): string => {
    try {
      return Buffer.from(readSmallFile(join(directory, name), MAX_SIZE)).toString("utf8");
    } catch (cause) {
      throw new FetchError("TLS_FAILED", `cannot read ${quote(join(directory, name))}`, { cause });
    }
  };
  const authorities = names.filter((name) => name.endsWith(".crt")).map(read);
  const shown = names.find((name) => name.endsWith(".cert"));
  if (shown === undefined) return authorities.length === 0 ? undefined : { authorities };
  const key = `${shown.slice(0, -".cert".length)}.key`;
  if (!names.includes(key)) {
    throw new FetchError(
      "TLS_FAILED",
      `cannot use the certificate ${quote(join(directory, shown))}: ${quote(key)} is missing`,
    );
  }
  return { authorities, client: { certificate: read(shown), key: read(key) } };
}
