// SPDX-License-Identifier: Apache-2.0
// registries.conf, version 2, as containers' tools share it: which registries are blocked, are mirrored, are
// elsewhere, or may be insecure. Short names are not looked for in its lists: a reference says where it is from.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { FieldError, type Fields, fieldsOf, text } from "../../config/fields.ts";
import { isErrno } from "../../lib/errors.ts";
import { quote } from "../../lib/text.ts";
import { type DockerReference, HUB_NAMES } from "../docker-reference.ts";
import { FetchError } from "../errors.ts";
import type { Environment } from "../proxy.ts";
import { readSmallFile } from "../read-small.ts";

/** One place to ask, in order. */
export interface Endpoint {
  /** `host[:port]`. */
  readonly host: string;
  readonly repository: string;
  /** The certificate is not checked, and http is tried too. */
  readonly insecure: boolean;
  readonly mirror: boolean;
}

interface Location {
  readonly location: string;
  readonly insecure: boolean;
}

interface Mirror extends Location {
  readonly pull: "all" | "digest-only" | "tag-only";
}

interface Rule extends Location {
  readonly prefix: string;
  readonly blocked: boolean;
  readonly mirrors: readonly Mirror[];
}

export type RegistriesConf = readonly Rule[];

const FILE = "/etc/containers/registries.conf";
const MAX_SIZE = 1 << 20;
const MAX_RULES = 1000;

/** The rules of the machine, or of CONTAINERS_REGISTRIES_CONF; those of a user other than root before them. */
export function loadRegistriesConf(
  env: Environment,
  isRoot: boolean,
  warn: (text: string) => void = () => undefined,
): RegistriesConf {
  const rules = new Map<string, Rule>();
  for (const path of filesOf(env, isRoot)) {
    // A later file replaces what an earlier one says of the same prefix.
    for (const rule of readFile(path, warn)) rules.set(rule.prefix, rule);
  }
  return [...rules.values()];
}

function filesOf(env: Environment, isRoot: boolean): readonly string[] {
  const named = env["CONTAINERS_REGISTRIES_CONF"] ?? env["REGISTRIES_CONFIG_PATH"] ?? "";
  if (named !== "") return [named];
  const home = env["HOME"] ?? "";
  const own = join(env["XDG_CONFIG_HOME"] || join(home, ".config"), "containers/registries.conf");
  const hasOwn = !isRoot && home !== "" && existsSync(own);
  return [
    ...(hasOwn ? [] : [FILE].filter((path) => existsSync(path))),
    ...dropIns(`${FILE}.d`),
    ...(hasOwn ? [own] : []),
    ...(isRoot || home === "" ? [] : dropIns(`${own}.d`)),
  ];
}

function dropIns(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith(".conf"))
      .sort()
      .map((name) => join(directory, name));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

function readFile(path: string, warn: (text: string) => void): readonly Rule[] {
  try {
    const content = Buffer.from(readSmallFile(path, MAX_SIZE)).toString("utf8");
    const { rules, version1 } = parseRegistriesConf(content);
    if (version1) {
      warn(`warning: ${quote(path)} has [registries.*] tables of version 1, which are not read`);
    }
    return rules;
  } catch (cause) {
    throw new FetchError("REGISTRIES_CONF_INVALID", `cannot use ${quote(path)}`, {
      cause,
      details: { path },
    });
  }
}

export function parseRegistriesConf(content: string): {
  readonly rules: RegistriesConf;
  readonly version1: boolean;
} {
  const file = fieldsOf(parseToml(content), "the file");
  const rules = tables(file, "registry").map((fields): Rule => {
    const location = checkLocation(text(fields, "location"), "location");
    const prefix = checkPrefix(text(fields, "prefix") || location);
    const digestOnly = flag(fields, "mirror-by-digest-only");
    return {
      prefix,
      location: location === "" && !prefix.startsWith("*.") ? prefix : location,
      insecure: flag(fields, "insecure"),
      blocked: flag(fields, "blocked"),
      mirrors: tables(fields, "mirror").map((mirror) => parseMirror(mirror, digestOnly)),
    };
  });
  return { rules, version1: file["registries"] !== undefined };
}

function parseMirror(fields: Fields, digestOnly: boolean): Mirror {
  const location = checkLocation(text(fields, "location"), "location of a mirror");
  if (location === "") throw new FieldError("a mirror has no location");
  const pull = text(fields, "pull-from-mirror") || (digestOnly ? "digest-only" : "all");
  if (pull !== "all" && pull !== "digest-only" && pull !== "tag-only") {
    throw new FieldError(`pull-from-mirror cannot be ${quote(pull)}`);
  }
  return { location, insecure: flag(fields, "insecure"), pull };
}

function parseToml(content: string): unknown {
  try {
    return Bun.TOML.parse(content);
  } catch (error) {
    throw new FieldError(`it is not valid TOML: ${error instanceof Error ? error.message : ""}`);
  }
}

function tables(fields: Fields, name: string): readonly Fields[] {
  const value = fields[name] ?? [];
  if (!Array.isArray(value) || value.length > MAX_RULES) {
    throw new FieldError(`${name} must be a list of at most ${MAX_RULES} tables`);
  }
  return value.map((item: unknown) => fieldsOf(item, name));
}

function flag(fields: Fields, name: string): boolean {
  const value = fields[name] ?? false;
  if (typeof value !== "boolean") throw new FieldError(`${name} must be true or false`);
  return value;
}

function checkLocation(value: string, what: string): string {
  const location = value.replace(/\/+$/, "");
  if (
    location !== "" &&
    !/^(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:\/[a-z0-9._/-]+)?$/i.test(location)
  ) {
    throw new FieldError(`${what} is no HOST[:PORT][/PATH]: ${quote(value)}`);
  }
  return location;
}

function checkPrefix(value: string): string {
  if (value === "") throw new FieldError("a registry has neither prefix nor location");
  if (!value.startsWith("*.")) return checkLocation(value, "prefix");
  return `*.${checkLocation(value.slice(2), "prefix")}`;
}

/** Where to ask for an image, mirrors first. Throws REGISTRY_BLOCKED. */
export function endpointsOf(
  reference: DockerReference,
  rules: RegistriesConf,
): readonly Endpoint[] {
  const host = HUB_NAMES.includes(reference.registry) ? "docker.io" : reference.registry;
  const name = `${host}/${reference.repository}`;
  const rule = findRule(name, reference, rules);
  if (rule === undefined) {
    return [
      {
        host: reference.registry,
        repository: reference.repository,
        insecure: false,
        mirror: false,
      },
    ];
  }
  if (rule.blocked) {
    throw new FetchError(
      "REGISTRY_BLOCKED",
      `cannot fetch ${quote(`docker://${reference.friendly}`)}: registries.conf blocks ${quote(rule.prefix)}`,
      { remedy: "use another registry, or take blocked = true away" },
    );
  }
  const by = reference.digest === "" ? "tag-only" : "digest-only";
  const mirrors = rule.mirrors.filter((mirror) => mirror.pull === "all" || mirror.pull === by);
  return [
    ...mirrors.map((mirror) => endpointAt(name, rule, mirror, true)),
    endpointAt(name, rule, rule, false),
  ];
}

function endpointAt(name: string, rule: Rule, at: Location, mirror: boolean): Endpoint {
  const matched = rule.prefix.startsWith("*.") ? (name.split("/", 1)[0] ?? "") : rule.prefix;
  const place = at.location === "" ? name : at.location + name.slice(matched.length);
  const slash = place.indexOf("/");
  const host = place.slice(0, slash).toLowerCase();
  return {
    host: HUB_NAMES.includes(host) ? (HUB_NAMES[0] ?? host) : host,
    repository: place.slice(slash + 1),
    insecure: at.insecure,
    mirror,
  };
}

/** The longest prefix counts. A prefix may go as far as the tag or the digest. */
function findRule(
  name: string,
  reference: DockerReference,
  rules: RegistriesConf,
): Rule | undefined {
  let best: Rule | undefined;
  for (const rule of rules) {
    if (!matches(name, reference.registry, rule.prefix)) continue;
    if (best === undefined || rule.prefix.length > best.prefix.length) best = rule;
  }
  return best;
}

function matches(name: string, registry: string, prefix: string): boolean {
  if (prefix.startsWith("*.")) {
    const [host = ""] = name.split("/", 1);
    const [suffix = "", ...path] = prefix.slice(1).split("/");
    return path.length === 0 && (host.endsWith(suffix) || registry.endsWith(suffix));
  }
  return name === prefix || name.startsWith(`${prefix}/`);
}
