// SPDX-License-Identifier: Apache-2.0
// Every flag of every command, as data (rkt-cli Appendix A). Command files import the types of these sets.
import { isAbsolute, resolve } from "node:path";
import { parseDuration } from "../lib/duration.ts";
import { RktError } from "../lib/errors.ts";
import { parseGoBool } from "../lib/go-bool.ts";
import { INSECURE_WORDS, parseInsecureOptions, SECURE } from "../lib/insecure-options.ts";
import { quote } from "../lib/text.ts";
import {
  bool,
  choice,
  duration,
  type FlagSpec,
  type FlagSpecs,
  int,
  many,
  needed,
  parsed,
  text,
  texts,
} from "./flags.ts";

const ATTACH = "RKT_EXPERIMENT_ATTACH";

function absoluteDirectory(usage: string, initial: string): FlagSpec<string> {
  return parsed(
    usage,
    initial,
    (_, value, { cwd }) => {
      if (value === "") {
        throw new RktError("DIRECTORY_INVALID", `"" is not a valid directory`);
      }
      return isAbsolute(value) ? value : resolve(cwd, value);
    },
    { shown: initial, metavar: "DIR" },
  );
}

export const GLOBAL_FLAGS = {
  debug: bool("print out more debug information to stderr"),
  dir: absoluteDirectory("rkt data directory", "/var/lib/rkt"),
  "system-config": absoluteDirectory("system configuration directory", "/usr/lib/rkt"),
  "local-config": absoluteDirectory("local configuration directory", "/etc/rkt"),
  "user-config": absoluteDirectory("user configuration directory", ""),
  "insecure-options": parsed(
    `comma-separated list of security features to disable. Allowed values: ${INSECURE_WORDS.join(", ")}`,
    SECURE,
    (_, value) => parseInsecureOptions(value),
    { shown: "none", words: INSECURE_WORDS, metavar: "LIST" },
  ),
  "trust-keys-from-https": bool("automatically trust gpg keys fetched from https"),
  cpuprofile: text("write CPU profile to the file", { hidden: true, metavar: "FILE" }),
  memprofile: text("write memory profile to the file", { hidden: true, metavar: "FILE" }),
} as const satisfies FlagSpecs;

const FORMATS = ["json", "json-pretty"] as const;

/** "" is the table. */
function format(): FlagSpec<"" | "json" | "json-pretty"> {
  return choice(
    "choose the output format, allowed values: json, json-pretty; empty for a table",
    FORMATS,
    "",
    {
      refuse: (value) => `invalid format ${quote(value)}, must be one of: ${FORMATS.join(", ")}`,
    },
  );
}

const UUID_FILE = text("read pod UUID from file instead of argument", { metavar: "FILE" });
const NO_LEGEND = bool("suppress a legend with the list");
const FULL = bool("use long output format");

const PULL_WORDS = ["never", "new", "update"] as const;

/** Not validated, like the reference: anything else behaves like `new`. */
function pullPolicy(initial: "new" | "update"): FlagSpec<string> {
  return text("when to pull an image: never, new or update", {
    initial,
    words: PULL_WORDS,
    metavar: "POLICY",
  });
}

const STORE_POLICY = {
  "store-only": bool(
    "use only available images in the store (do not discover or download from remote URLs)",
    {
      deprecated: "please use --pull-policy=never",
    },
  ),
  "no-store": bool("fetch images ignoring the local store", {
    deprecated: "please use --pull-policy=update",
  }),
} as const satisfies FlagSpecs;

/** The one stage1 flag given. */
export interface Stage1Choice {
  readonly kind: "url" | "path" | "name" | "hash" | "from-dir";
  readonly value: string;
}

function stage1(kind: Stage1Choice["kind"], usage: string): FlagSpec<string> {
  const name = `stage1-${kind}`;
  return parsed<string>(
    usage,
    "",
    (_, value, { given }) => {
      if (given.has(name)) throw new RktError("FLAG_REPEATED", `--${name} already used`);
      for (const other of given) {
        if (/^stage1-(url|path|name|hash|from-dir)$/.test(other)) {
          throw new RktError(
            "FLAGS_EXCLUSIVE",
            `flags --${other} and --${name} are mutually exclusive`,
          );
        }
      }
      return value;
    },
    { metavar: "STAGE1" },
  );
}

export const STAGE1_FLAGS = {
  "stage1-url": stage1("url", "URL to an image to use as stage1"),
  "stage1-path": stage1("path", "absolute or relative path to an image to use as stage1"),
  "stage1-name": stage1("name", "name of an image to use as stage1"),
  "stage1-hash": stage1("hash", "hash of an image to use as stage1"),
  "stage1-from-dir": stage1("from-dir", "file name of an image in the stage1 images directory"),
} as const satisfies FlagSpecs;

const DNS_FLAGS = {
  dns: many(
    "name server to write in /etc/resolv.conf; 'host' or 'none'",
    (value, p) => p.parseDns(value),
    {
      metavar: "IP",
    },
  ),
  "dns-search": texts("search domain to write in /etc/resolv.conf", { metavar: "DOMAIN" }),
  "dns-opt": texts("option to write in /etc/resolv.conf", { metavar: "OPTION" }),
  "dns-domain": text("domain to write in /etc/resolv.conf", { metavar: "DOMAIN" }),
  "hosts-entry": many(
    "entry to add to /etc/hosts, IP=NAME; 'host' for the host's file",
    (v, p) => p.parseHostsEntry(v),
    {
      metavar: "IP=NAME",
    },
  ),
} as const satisfies FlagSpecs;

const NET = parsed(
  "networks to join: names, 'none', 'host' or 'default'; arguments follow a colon",
  "default",
  (_, value) => value,
  { implied: "default", shown: "default", metavar: "NETWORKS" },
);
const IPC = text("IPC namespace: auto, private or parent", {
  words: ["auto", "private", "parent"],
});
const HOSTNAME = text("hostname of the pod; the default is rkt-UUID", { metavar: "NAME" });
const MDS_REGISTER = bool("register the pod with the metadata service");
const UUID_FILE_SAVE = text("write the UUID of the pod to the file", { metavar: "FILE" });
const NO_OVERLAY = bool("disable the overlay file system");
const INTERACTIVE = bool("run the pod with a terminal; one app only");
const APP = text("name of the app in the pod", { metavar: "NAME" });

const POD_FLAGS = {
  ...STAGE1_FLAGS,
  port: many(
    "port to expose, NAME:[HOSTIP:]HOSTPORT (repeatable)",
    (value, p) => p.parsePortFlag(value),
    {
      metavar: "NAME:[IP:]PORT",
    },
  ),
  "inherit-env": bool("inherit all environment variables not set by apps"),
  "no-overlay": NO_OVERLAY,
  "private-users": bool("run within user namespaces"),
  "set-env": parsed<ReadonlyMap<string, string>>(
    "environment variable for all apps, NAME=VALUE (repeatable)",
    new Map(),
    (previous, value, { parsers }) => needed(parsers).addEnvironment(previous, value),
    { lazy: true, metavar: "NAME=VALUE" },
  ),
  "set-env-file": texts("file with environment variables for all apps, a NAME=VALUE on each line", {
    metavar: "FILE",
  }),
  ...STORE_POLICY,
  "pull-policy": pullPolicy("new"),
  "pod-manifest": text("run the pod of this manifest; no images or pod flags go with it", {
    metavar: "FILE",
  }),
  volume: many(
    "volume for the pod: NAME,kind=host,source=PATH or NAME,kind=empty (repeatable)",
    (v, p) => p.parseVolumeFlag(v),
    {
      metavar: "VOLUME",
    },
  ),
} as const satisfies FlagSpecs;

export const RUN_FLAGS = {
  ...POD_FLAGS,
  net: NET,
  interactive: INTERACTIVE,
  ...DNS_FLAGS,
  "mds-register": MDS_REGISTER,
  "uuid-file-save": UUID_FILE_SAVE,
  hostname: HOSTNAME,
  ipc: IPC,
  "log-prefix": choice(
    "prefix lines of output with 'APP[PID]: '; auto: when the pod has more than one app",
    ["auto", "always", "never"],
    "auto",
  ),
  "dry-run": bool("print what stage1 would do, and do not start the pod"),
} as const satisfies FlagSpecs;

export const PREPARE_FLAGS = {
  ...POD_FLAGS,
  quiet: bool("suppress superfluous output on stdout, print only the UUID on success"),
} as const satisfies FlagSpecs;

export const RUN_PREPARED_FLAGS = {
  net: NET,
  ...DNS_FLAGS,
  interactive: INTERACTIVE,
  "mds-register": MDS_REGISTER,
  hostname: HOSTNAME,
  ipc: IPC,
  "log-prefix": RUN_FLAGS["log-prefix"],
} as const satisfies FlagSpecs;

export const FETCH_FLAGS = {
  ...STORE_POLICY,
  full: bool("print the full image hash after fetching"),
  "pull-policy": pullPolicy("update"),
} as const satisfies FlagSpecs;

export const LIST_FLAGS = { "no-legend": NO_LEGEND, full: FULL, format: format() } as const;

function waitFlag(usage: string): FlagSpec<number> {
  // Bare, "", a true boolean or a negative duration: forever (Infinity). A false one or 0: not at all.
  return parsed<number>(usage, 0, (_, value) => parseWait(value), {
    shown: "false",
    implied: "true",
    metavar: "BOOL|DURATION",
  });
}

function parseWait(value: string): number {
  const wanted = value === "" ? true : parseGoBool(value);
  if (wanted !== undefined) return wanted ? Number.POSITIVE_INFINITY : 0;
  const milliseconds = parseDuration(value);
  return milliseconds < 0 ? Number.POSITIVE_INFINITY : milliseconds;
}

export const STATUS_FLAGS = {
  wait: waitFlag("wait for the pod to exit; an optional timeout as a duration"),
  "wait-ready": waitFlag("wait for the pod to be ready; an optional timeout as a duration"),
  format: format(),
  "uuid-file": UUID_FILE,
} as const satisfies FlagSpecs;

export const STOP_FLAGS = {
  force: bool("forced stopping"),
  "uuid-file": UUID_FILE,
} as const satisfies FlagSpecs;

export const RM_FLAGS = { "uuid-file": UUID_FILE } as const satisfies FlagSpecs;

export const GC_FLAGS = {
  "grace-period": duration(
    "duration to wait before discarding inactive pods from garbage",
    30 * 60_000,
  ),
  "expire-prepared": duration("duration to wait before expiring prepared pods", 24 * 3_600_000),
  "mark-only": bool(
    "move exited and aborted pods to the garbage directories without actually removing anything",
  ),
} as const satisfies FlagSpecs;

export const ENTER_FLAGS = { app: APP } as const satisfies FlagSpecs;

export const ATTACH_FLAGS = {
  app: APP,
  mode: text("attach mode: list, auto, or a comma list of endpoints", { initial: "auto" }),
} as const satisfies FlagSpecs;

const PRETTY_PRINT = bool("apply indentation", { initial: true });

export const CAT_MANIFEST_FLAGS = {
  "pretty-print": PRETTY_PRINT,
  "uuid-file": UUID_FILE,
} as const satisfies FlagSpecs;

export const EXPORT_FLAGS = {
  app: APP,
  overwrite: bool("overwrite the output file"),
} as const satisfies FlagSpecs;

/** A point in time from which `rkt logs` prints. */
export type Since =
  | { readonly kind: "start" }
  | { readonly kind: "ago"; readonly milliseconds: number }
  | { readonly kind: "at"; readonly time: Date };

export const LOGS_FLAGS = {
  follow: bool("print further output as it comes, until the pod ends"),
  app: text("print only the output of this app", { metavar: "NAME" }),
  since: parsed<Since>(
    "print only output since this time: a duration back from now, or an RFC 3339 time",
    { kind: "start" },
    (_, value) => parseSince(value),
    { metavar: "TIME" },
  ),
} as const satisfies FlagSpecs;

function parseSince(value: string): Since {
  if (/^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ]|$)/.test(value)) {
    const time = new Date(value);
    if (Number.isNaN(time.getTime()))
      throw new RktError("TIME_INVALID", `bad time ${quote(value)}`);
    return { kind: "at", time };
  }
  const milliseconds = parseDuration(value);
  if (milliseconds < 0)
    throw new RktError("TIME_INVALID", "a duration back from now is not negative");
  return { kind: "ago", milliseconds };
}

export const IMAGE_CAT_MANIFEST_FLAGS = {
  "pretty-print": PRETTY_PRINT,
} as const satisfies FlagSpecs;
export const IMAGE_EXPORT_FLAGS = {
  overwrite: bool("overwrite the output ACI"),
} as const satisfies FlagSpecs;
export const IMAGE_EXTRACT_FLAGS = {
  "rootfs-only": bool("extract rootfs only"),
  overwrite: bool("overwrite the output directory"),
} as const satisfies FlagSpecs;
export const IMAGE_RENDER_FLAGS = {
  "rootfs-only": bool("render rootfs only"),
  overwrite: bool("overwrite the output directory"),
} as const satisfies FlagSpecs;
export const IMAGE_GC_FLAGS = {
  "grace-period": duration(
    "duration to wait since an image was last used before removing it",
    24 * 3_600_000,
  ),
} as const satisfies FlagSpecs;

/** The reference's fields, and what is shown without --fields. */
const DEFAULT_IMAGE_FIELDS = ["id", "name", "size", "importtime", "lastused"] as const;
export const IMAGE_FIELDS = [...DEFAULT_IMAGE_FIELDS, "verified"] as const;
export type ImageField = (typeof IMAGE_FIELDS)[number];
const SORT_FIELDS = ["name", "importtime", "lastused", "size"] as const;

export const IMAGE_LIST_FLAGS = {
  fields: parsed<readonly ImageField[]>(
    "comma-separated list of fields to display: id, name, size, importtime, lastused, verified",
    DEFAULT_IMAGE_FIELDS,
    (_, value) =>
      value.split(",").map((word) => {
        const field = IMAGE_FIELDS.find((candidate) => candidate === word);
        if (field === undefined) {
          throw new RktError("FIELD_UNKNOWN", `unknown field ${quote(word)}`);
        }
        return field;
      }),
    { shown: DEFAULT_IMAGE_FIELDS.join(","), metavar: "LIST", words: IMAGE_FIELDS },
  ),
  sort: parsed<(typeof SORT_FIELDS)[number]>(
    "sort the output according to the provided field: name, importtime, lastused, size",
    "importtime",
    (_, value) => {
      const field = SORT_FIELDS.find((candidate) => candidate === value);
      if (field === undefined) {
        throw new RktError("FIELD_UNKNOWN", `unknown field ${quote(value)}`);
      }
      return field;
    },
    { shown: "importtime", metavar: "FIELD", words: SORT_FIELDS },
  ),
  order: choice("choose the sorting order: asc, desc", ["asc", "desc"], "asc", {
    refuse: () => "wrong sort order",
  }),
  "no-legend": NO_LEGEND,
  full: FULL,
  format: format(),
} as const satisfies FlagSpecs;

export const TRUST_FLAGS = {
  prefix: text("prefix to limit trust to", { metavar: "PREFIX" }),
  root: bool("add root key from filesystem without a prefix"),
  "skip-fingerprint-review": bool("accept key without fingerprint confirmation"),
  "insecure-allow-http": bool("allow HTTP use for key discovery and/or retrieval"),
} as const satisfies FlagSpecs;

export const METADATA_SERVICE_FLAGS = {
  "listen-port": int("listen port", { initial: 18112 }),
} as const satisfies FlagSpecs;
export const API_SERVICE_FLAGS = {
  listen: text("address to listen for client API requests; the default is localhost:15441"),
} as const satisfies FlagSpecs;
export const CONFIG_FLAGS = { "pretty-print": PRETTY_PRINT } as const satisfies FlagSpecs;
export const NO_FLAGS = {} as const satisfies FlagSpecs;

function pairs(usage: string, what: string): FlagSpec<ReadonlyMap<string, string>> {
  return parsed<ReadonlyMap<string, string>>(
    usage,
    new Map(),
    (previous, value, { parsers }) => needed(parsers).addPair(previous, value, what),
    { lazy: true, metavar: "NAME=VALUE" },
  );
}

/** A per-image flag that may be given once for each image. */
function single<T>(
  name: string,
  usage: string,
  parse: (text: string, parsers: NonNullable<Parameters<typeof needed>[0]>) => T,
  extras: {
    readonly metavar?: string;
    readonly once?: true;
    readonly experiment?: string;
    readonly hidden?: boolean;
  } = {},
): FlagSpec<T | undefined> {
  const { once, ...rest } = extras;
  return parsed<T | undefined>(
    usage,
    undefined,
    (previous, value, { parsers }) => {
      if (once && previous !== undefined) {
        throw new RktError(
          "FLAG_REPEATED",
          `--${name} specified multiple times for the same image`,
        );
      }
      return parse(value, needed(parsers));
    },
    { lazy: true, ...rest },
  );
}

const string = (value: string): string => value;

export const SIGNATURE_FLAG = {
  signature: single(
    "signature",
    "local signature file to use in validating the preceding image",
    string,
    {
      metavar: "FILE",
      once: true,
    },
  ),
} as const satisfies FlagSpecs;

function stream(name: "stdin" | "stdout" | "stderr"): FlagSpec<string | undefined> {
  const words = name === "stdin" ? ["null", "tty", "stream"] : ["null", "tty", "stream", "log"];
  return single(
    name,
    `${name} of the preceding image's app: ${words.join(", ")}`,
    (value, p) => p.parseStream(value, words),
    {
      experiment: ATTACH,
      hidden: true,
    },
  );
}

const capabilities = (usage: string, extras: { hidden?: boolean; deprecated?: string } = {}) =>
  parsed<readonly string[] | undefined>(
    usage,
    undefined,
    (_, value, { parsers }) => needed(parsers).parseCapabilities(value),
    { lazy: true, metavar: "LIST", ...extras },
  );

/** Flags that belong to the image before them (run, prepare, app add). */
export const APP_FLAGS = {
  exec: single("exec", "override the exec command for the preceding image", string, {
    metavar: "PATH",
    once: true,
  }),
  "working-dir": single(
    "working-dir",
    "override the working directory of the preceding image",
    string,
    { metavar: "PATH" },
  ),
  "readonly-rootfs": single(
    "readonly-rootfs",
    "if set, the app's rootfs will be mounted read-only (a boolean is required)",
    (value, p) => p.parseReadOnly(value),
    { metavar: "BOOL" },
  ),
  mount: many(
    "mount point binding a volume to a path within an app, volume=NAME,target=PATH; before the first image: for all apps",
    (v, p) => p.parseMountFlag(v),
    {
      metavar: "MOUNT",
    },
  ),
  user: single("user", "user override for the preceding image", string, { metavar: "USER" }),
  group: single("group", "group override for the preceding image", string, { metavar: "GROUP" }),
  "supplementary-gids": parsed<readonly number[] | undefined>(
    "supplementary group IDs override for the preceding image",
    undefined,
    (previous, value, { parsers }) => [...(previous ?? []), ...needed(parsers).parseGids(value)],
    { lazy: true, metavar: "LIST" },
  ),
  name: single("name", "set the name of the app", (value, p) => p.parseAppName(value), {
    metavar: "NAME",
  }),
  annotation: pairs("set the app's annotations (repeatable)", "annotation"),
  "user-annotation": pairs("set the app's user annotations (repeatable)", "user annotation"),
  "user-label": pairs("set the app's user labels (repeatable)", "user label"),
  environment: parsed<ReadonlyMap<string, string>>(
    "set the app's environment variables (repeatable)",
    new Map(),
    (previous, value, { parsers }) =>
      needed(parsers).addEnvironment(previous, value, "environment variable"),
    { lazy: true, metavar: "NAME=VALUE" },
  ),
  stdin: stream("stdin"),
  stdout: stream("stdout"),
  stderr: stream("stderr"),
  memory: single(
    "memory",
    "memory limit for the preceding image (example: '--memory=16Mi', '--memory=50M')",
    (value, p) => p.parseMemory(value),
    {
      metavar: "QUANTITY",
    },
  ),
  cpu: single(
    "cpu",
    "cpu limit for the preceding image (example: '--cpu=500m')",
    (value, p) => p.parseCpu(value),
    {
      metavar: "QUANTITY",
    },
  ),
  "cpu-shares": single(
    "cpu-shares",
    "relative weight of cpu time, 2 to 262144",
    (value, p) => p.parseCpuShares(value),
    {
      metavar: "N",
    },
  ),
  "caps-retain": capabilities("capabilities to retain in the preceding image's app"),
  "caps-remove": capabilities("capabilities to remove from the preceding image's app"),
  seccomp: single(
    "seccomp",
    "seccomp filter override: mode=retain|remove[,errno=NAME],SYSCALL,...",
    (value, p) => p.parseSeccomp(value),
    {
      metavar: "FILTER",
    },
  ),
  "oom-score-adj": single(
    "oom-score-adj",
    "oom-score-adj isolator override, -1000 to 1000",
    (value, p) => p.parseOomScoreAdj(value),
    {
      metavar: "N",
    },
  ),
} as const satisfies FlagSpecs;

export const DEPRECATED_CAPS = {
  "cap-retain": capabilities("capabilities to retain", { deprecated: "use --caps-retain instead" }),
  "cap-remove": capabilities("capabilities to remove", { deprecated: "use --caps-remove instead" }),
} as const satisfies FlagSpecs;

export const RUN_IMAGE_FLAGS = {
  ...SIGNATURE_FLAG,
  ...APP_FLAGS,
  ...DEPRECATED_CAPS,
} as const satisfies FlagSpecs;

export const APP_ADD_IMAGE_FLAGS = {
  ...APP_FLAGS,
  "mnt-volume": many(
    "volume and mount point for the preceding image's app: VOLUME,target=PATH",
    (v, p) => p.parseMountVolume(v),
    {
      metavar: "VOLUME",
    },
  ),
} as const satisfies FlagSpecs;

export const APP_SANDBOX_FLAGS = {
  ...STAGE1_FLAGS,
  "uuid-file-save": UUID_FILE_SAVE,
  net: NET,
  "no-overlay": NO_OVERLAY,
  ...DNS_FLAGS,
  hostname: HOSTNAME,
  port: texts("port to forward: NAME:PROTOCOL:PODPORT:HOSTIP:HOSTPORT", { metavar: "PORT" }),
  annotation: pairs("set the pod's annotations (repeatable)", "annotation"),
  "user-annotation": pairs("set the pod's user annotations (repeatable)", "user annotation"),
  "user-label": pairs("set the pod's user labels (repeatable)", "user label"),
} as const satisfies FlagSpecs;

export const APP_LIST_FLAGS = { "no-legend": NO_LEGEND } as const satisfies FlagSpecs;
export const APP_STATUS_FLAGS = { app: APP, format: format() } as const satisfies FlagSpecs;
