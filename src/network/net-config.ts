// SPDX-License-Identifier: Apache-2.0
// A network's configuration, one plugin (`.conf`) or a chain of them (`.conflist`): CNI specification,
// section 1; rkt-runtime §10.2. Pure: text in, checked values out. The text is hostile.
import { quote, stripControl } from "../lib/text.ts";
import { NetworkError } from "./errors.ts";
import { type Prefix, parsePrefix } from "./ipv6-prefix.ts";

type Fields = Readonly<Record<string, unknown>>;

/** One plugin's part. `fields` go to the plugin as they are, but for what the runtime puts in or takes out. */
export interface PluginConfig {
  /** The name of the executable. */
  readonly type: string;
  /** Which of `runtimeConfig` the plugin asks for. */
  readonly capabilities: readonly string[];
  readonly fields: Fields;
}

export interface NetworkConfig {
  readonly name: string;
  /** Where it was read; only for messages and net-info.json. */
  readonly file: string;
  readonly text: string;
  /** The protocol versions that it may be run with; one, unless it has `cniVersions`. */
  readonly versions: readonly string[];
  readonly disableCheck: boolean;
  readonly disableGC: boolean;
  /** The file says so in words, and not by leaving `disableGC` out: that other engines do not use the network. */
  readonly collectable: boolean;
  /** At least one, in the order of ADD, unless rkt makes the network itself. */
  readonly plugins: readonly PluginConfig[];
  /** Of `"type": "built-in"`: what the built-in network of that name has in addition. */
  readonly builtIn?: { readonly ipv6: Prefix | undefined } | undefined;
}

export const MAX_CONFIG_BYTES = 1 << 20;
const MAX_PLUGINS = 32;
const MAX_DEPTH = 32;
const MAX_VERSIONS = 32;

/** CNI, section 1: also the first part of the names of result files. Our limit on the length. */
const NETWORK_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/;
/** A file name, never a path: it is looked for in the plugin directories. */
const PLUGIN_TYPE = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$/;
const VERSION = /^\d{1,3}\.\d{1,3}\.\d{1,3}$/;

/** A configuration without `cniVersion` is of the protocol's first version. */
const FIRST_VERSION = "0.1.0";

/** Parses either form: a list has `plugins`. Throws NETWORK_CONFIG with the file's name and the reason. */
export function parseNetworkConfig(text: string, file: string): NetworkConfig {
  const refuse = (reason: string): never => {
    throw new NetworkError(
      "NETWORK_CONFIG",
      `cannot use network configuration ${quote(file)}: ${stripControl(reason)}`,
      { details: { file } },
    );
  };
  if (text.length > MAX_CONFIG_BYTES) refuse("it is larger than 1 MiB");
  const top = fieldsOf(parseJson(text, refuse), "the file", refuse);
  const name = textOf(top, "name", refuse);
  if (!NETWORK_NAME.test(name)) {
    refuse(
      name === ""
        ? "it has no name"
        : `name ${quote(name)} is not letters, digits, "_", "." and "-"`,
    );
  }
  const builtIn = "plugins" in top ? undefined : builtInOf(top, refuse);
  const list =
    builtIn !== undefined
      ? []
      : "plugins" in top
        ? listOf(top, "plugins", MAX_PLUGINS, refuse)
        : [top];
  if (list.length === 0 && builtIn === undefined) refuse("it names no plugin");
  return {
    name,
    file,
    text,
    versions: versionsOf(top, refuse),
    disableCheck: flagOf(top, "disableCheck", refuse),
    disableGC: flagOf(top, "disableGC", refuse),
    collectable: "disableGC" in top && !flagOf(top, "disableGC", refuse),
    plugins: list.map((each) => pluginOf(fieldsOf(each, "a plugin", refuse), refuse)),
    builtIn,
  };
}

type Refuse = (reason: string) => never;

const BUILT_IN_TYPE = "built-in";
const BUILT_IN_FIELDS = ["cniVersion", "name", "type", "ipv6"];

/** A built-in network with something in addition, and no plugin. */
function builtInOf(top: Fields, refuse: Refuse): NetworkConfig["builtIn"] {
  if (textOf(top, "type", refuse) !== BUILT_IN_TYPE) return undefined;
  const name = textOf(top, "name", refuse);
  if (name !== "default" && name !== "default-restricted") {
    refuse(`no network ${quote(name)} is built in, only "default" and "default-restricted"`);
  }
  const other = Object.keys(top).find((key) => !BUILT_IN_FIELDS.includes(key));
  if (other !== undefined) refuse(`a built-in network has no field ${quote(other)}`);
  const text = textOf(top, "ipv6", refuse);
  if (!("ipv6" in top)) return { ipv6: undefined };
  const prefix = parsePrefix(text);
  if (typeof prefix === "string") return refuse(`its prefix ${quote(text)} is refused: ${prefix}`);
  return { ipv6: prefix };
}

function pluginOf(fields: Fields, refuse: Refuse): PluginConfig {
  const type = textOf(fields, "type", refuse);
  if (!PLUGIN_TYPE.test(type)) {
    refuse(type === "" ? "a plugin has no type" : `plugin type ${quote(type)} is not a file name`);
  }
  const asked = fieldsOf(fields["capabilities"] ?? {}, "capabilities", refuse);
  const capabilities = Object.keys(asked).filter((key) => flagOf(asked, key, refuse));
  return { type, capabilities, fields };
}

/** `cniVersions` came with 1.1.0; `cniVersion` stays for readers that do not know it. */
function versionsOf(top: Fields, refuse: Refuse): readonly string[] {
  const single = textOf(top, "cniVersion", refuse);
  const several = listOf(top, "cniVersions", MAX_VERSIONS, refuse);
  const versions = new Set<string>();
  for (const version of single === "" ? several : [single, ...several]) {
    if (typeof version !== "string" || !VERSION.test(version)) {
      refuse(`CNI version ${quote(String(version))} is not of the form 1.0.0`);
    }
    versions.add(String(version));
  }
  return versions.size === 0 ? [FIRST_VERSION] : [...versions];
}

function parseJson(text: string, refuse: Refuse): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\ufeff/, ""));
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error;
    refuse("it is not valid JSON");
  }
  if (isDeeperThan(value, MAX_DEPTH)) refuse(`it is nested deeper than ${MAX_DEPTH} levels`);
  return value;
}

/** Level by level, not by recursion: the depth is the attacker's. */
export function isDeeperThan(value: unknown, depth: number): boolean {
  let level: readonly unknown[] = [value];
  for (let at = 0; level.length > 0; at++) {
    if (at > depth) return true;
    level = level.flatMap((each) =>
      typeof each === "object" && each !== null ? Object.values(each) : [],
    );
  }
  return false;
}

function fieldsOf(value: unknown, what: string, refuse: Refuse): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return refuse(`${what} must be an object`);
  }
  return value as Fields;
}

function textOf(fields: Fields, name: string, refuse: Refuse): string {
  const value = fields[name] ?? "";
  return typeof value === "string" ? value : refuse(`${name} must be a string`);
}

function flagOf(fields: Fields, name: string, refuse: Refuse): boolean {
  const value = fields[name] ?? false;
  return typeof value === "boolean" ? value : refuse(`${quote(name)} must be true or false`);
}

function listOf(fields: Fields, name: string, most: number, refuse: Refuse): readonly unknown[] {
  const value = fields[name] ?? [];
  if (!Array.isArray(value)) return refuse(`${name} must be a list`);
  return value.length <= most ? value : refuse(`${name} has more than ${most} entries`);
}
