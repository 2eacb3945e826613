// SPDX-License-Identifier: Apache-2.0
// Every flag of every command, as data (rkt-cli Appendix A). A set is a function, so that a command makes its
// own flags and no others; command files import the types of these functions.
import { isAbsolute, resolve } from "node:path";
import type { PullPolicy } from "../fetch/index.ts";
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

const uuidFile = () => text("read pod UUID from file instead of argument", { metavar: "FILE" });
const noLegend = () => bool("suppress a legend with the list");
const full = () => bool("use long output format");

const PULL_WORDS = ["never", "new", "update"] as const;

function pullPolicy(initial: "new" | "update"): FlagSpec<PullPolicy> {
  const flag = choice("when to pull an image: never, new or update", PULL_WORDS, initial);
  // Shown in quotes, like the reference's.
  return { ...flag, type: "string", metavar: "POLICY" };
}

/** Checked where an image is fetched: what is in the store has its platform. */
const platform = () =>
  text("platform of Docker and OCI images, OS/ARCH[/VARIANT]; the default is this machine's", {
    metavar: "PLATFORM",
  });

const storePolicy = () =>
  ({
    "store-only": bool(
      "use only available images in the store (do not discover or download from remote URLs)",
      {
        deprecated: "please use --pull-policy=never",
      },
    ),
    "no-store": bool("fetch images ignoring the local store", {
      deprecated: "please use --pull-policy=update",
    }),
  }) as const satisfies FlagSpecs;

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

export const stage1Flags = () =>
  ({
    "stage1-url": stage1("url", "URL to an image to use as stage1"),
    "stage1-path": stage1("path", "absolute or relative path to an image to use as stage1"),
    "stage1-name": stage1("name", "name of an image to use as stage1"),
    "stage1-hash": stage1("hash", "hash of an image to use as stage1"),
    "stage1-from-dir": stage1("from-dir", "file name of an image in the stage1 images directory"),
  }) as const satisfies FlagSpecs;

const dnsFlags = () =>
  ({
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
  }) as const satisfies FlagSpecs;

const net = () =>
  parsed(
    "networks to join: names, 'none', 'host' or 'default'; arguments follow a colon",
    "default",
    (_, value) => value,
    { implied: "default", shown: "default", metavar: "NETWORKS" },
  );
const ipc = () =>
  text("IPC namespace: auto, private or parent", {
    words: ["auto", "private", "parent"],
  });
const hostname = () => text("hostname of the pod; the default is rkt-UUID", { metavar: "NAME" });
const mdsRegister = () => bool("register the pod with the metadata service");
const uuidFileSave = () => text("write the UUID of the pod to the file", { metavar: "FILE" });
const noOverlay = () => bool("disable the overlay file system");
const interactive = () => bool("run the pod with a terminal; one app only");
const app = () => text("name of the app in the pod", { metavar: "NAME" });

const strict = () => bool("fail when an isolator cannot be enforced on this machine");

const podFlags = () =>
  ({
    ...stage1Flags(),
    port: many(
      "port to expose, NAME:[HOSTIP:]HOSTPORT (repeatable)",
      (value, p) => p.parsePortFlag(value),
      {
        metavar: "NAME:[IP:]PORT",
      },
    ),
    "inherit-env": bool("inherit all environment variables not set by apps"),
    "no-overlay": noOverlay(),
    strict: strict(),
    "private-users": bool("run within user namespaces"),
    "set-env": parsed<ReadonlyMap<string, string>>(
      "environment variable for all apps, NAME=VALUE (repeatable)",
      new Map(),
      (previous, value, { parsers }) => needed(parsers).addEnvironment(previous, value),
      { lazy: true, metavar: "NAME=VALUE" },
    ),
    "set-env-file": texts(
      "file with environment variables for all apps, a NAME=VALUE on each line",
      {
        metavar: "FILE",
      },
    ),
    ...storePolicy(),
    "pull-policy": pullPolicy("new"),
    platform: platform(),
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
  }) as const satisfies FlagSpecs;

const logPrefix = () =>
  choice(
    "prefix lines of output with 'APP[PID]: '; auto: when the pod has more than one app",
    ["auto", "always", "never"],
    "auto",
  );

export const runFlags = () =>
  ({
    ...podFlags(),
    net: net(),
    interactive: interactive(),
    ...dnsFlags(),
    "mds-register": mdsRegister(),
    "uuid-file-save": uuidFileSave(),
    hostname: hostname(),
    ipc: ipc(),
    "log-prefix": logPrefix(),
    "dry-run": bool("print what stage1 would do, and do not start the pod"),
  }) as const satisfies FlagSpecs;

export const explainFlags = () => {
  const { "dry-run": _, "uuid-file-save": __, ...flags } = runFlags();
  return {
    ...flags,
    format: format(),
    plan: bool("print the plan as well"),
  } as const satisfies FlagSpecs;
};

export const prepareFlags = () =>
  ({
    ...podFlags(),
    quiet: bool("suppress superfluous output on stdout, print only the UUID on success"),
  }) as const satisfies FlagSpecs;

export const runPreparedFlags = () =>
  ({
    net: net(),
    ...dnsFlags(),
    interactive: interactive(),
    "mds-register": mdsRegister(),
    hostname: hostname(),
    ipc: ipc(),
    "log-prefix": logPrefix(),
    strict: strict(),
  }) as const satisfies FlagSpecs;

export const fetchFlags = () =>
  ({
    ...storePolicy(),
    full: bool("print the full image hash after fetching"),
    "pull-policy": pullPolicy("update"),
    platform: platform(),
  }) as const satisfies FlagSpecs;

export const listFlags = () =>
  ({ "no-legend": noLegend(), full: full(), format: format() }) as const;

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

export const statusFlags = () =>
  ({
    wait: waitFlag("wait for the pod to exit; an optional timeout as a duration"),
    "wait-ready": waitFlag("wait for the pod to be ready; an optional timeout as a duration"),
    format: format(),
    "uuid-file": uuidFile(),
  }) as const satisfies FlagSpecs;

/** Bare or a true boolean: every second. A false one: once. */
function parseWatch(value: string): number {
  const wanted = value === "" ? true : parseGoBool(value);
  if (wanted !== undefined) return wanted ? 1000 : 0;
  const milliseconds = parseDuration(value);
  if (milliseconds <= 0) {
    throw new RktError("TIME_INVALID", "an interval is more than zero");
  }
  return milliseconds;
}

export const statsFlags = () =>
  ({
    watch: parsed<number>(
      "print again and again; an optional interval as a duration, one second without",
      0,
      (_, value) => parseWatch(value),
      { shown: "false", implied: "true", metavar: "BOOL|DURATION" },
    ),
    "no-legend": noLegend(),
    full: full(),
    format: format(),
  }) as const satisfies FlagSpecs;

export const stopFlags = () =>
  ({
    force: bool("forced stopping"),
    "uuid-file": uuidFile(),
  }) as const satisfies FlagSpecs;

export const rmFlags = () => ({ "uuid-file": uuidFile() }) as const satisfies FlagSpecs;

export const gcFlags = () =>
  ({
    "grace-period": duration(
      "duration to wait before discarding inactive pods from garbage",
      30 * 60_000,
    ),
    "expire-prepared": duration("duration to wait before expiring prepared pods", 24 * 3_600_000),
    "mark-only": bool(
      "move exited and aborted pods to the garbage directories without actually removing anything",
    ),
  }) as const satisfies FlagSpecs;

export const enterFlags = () =>
  ({
    app: app(),
    user: text("user to run as, if the app may become it", { metavar: "USER" }),
    group: text("group to run as, if the app may become it", { metavar: "GROUP" }),
  }) as const satisfies FlagSpecs;

export const attachFlags = () =>
  ({
    app: app(),
    mode: text("attach mode: list, auto, or a comma list of endpoints", { initial: "auto" }),
  }) as const satisfies FlagSpecs;

const prettyPrint = () => bool("apply indentation", { initial: true });

export const catManifestFlags = () =>
  ({
    "pretty-print": prettyPrint(),
    "uuid-file": uuidFile(),
  }) as const satisfies FlagSpecs;

export const exportFlags = () =>
  ({
    app: app(),
    overwrite: bool("overwrite the output file"),
  }) as const satisfies FlagSpecs;

/** A point in time from which `rkt logs` prints. */
export type Since =
  | { readonly kind: "start" }
  | { readonly kind: "ago"; readonly milliseconds: number }
  | { readonly kind: "at"; readonly time: Date };

export const logsFlags = () =>
  ({
    follow: bool("print further output as it comes, until the pod ends"),
    app: text("print only the output of this app", { metavar: "NAME" }),
    since: parsed<Since>(
      "print only output since this time: a duration back from now, or an RFC 3339 time",
      { kind: "start" },
      (_, value) => parseSince(value),
      { metavar: "TIME" },
    ),
  }) as const satisfies FlagSpecs;

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

export const imageCatManifestFlags = () =>
  ({
    "pretty-print": prettyPrint(),
  }) as const satisfies FlagSpecs;
export const imageExportFlags = () =>
  ({
    overwrite: bool("overwrite the output ACI"),
  }) as const satisfies FlagSpecs;
export const imageExtractFlags = () =>
  ({
    "rootfs-only": bool("extract rootfs only"),
    overwrite: bool("overwrite the output directory"),
  }) as const satisfies FlagSpecs;
export const imageRenderFlags = () =>
  ({
    "rootfs-only": bool("render rootfs only"),
    overwrite: bool("overwrite the output directory"),
  }) as const satisfies FlagSpecs;
export const imageGcFlags = () =>
  ({
    "grace-period": duration(
      "duration to wait since an image was last used before removing it",
      24 * 3_600_000,
    ),
  }) as const satisfies FlagSpecs;

/** The reference's fields, and what is shown without --fields. */
const DEFAULT_IMAGE_FIELDS = ["id", "name", "size", "importtime", "lastused"] as const;
export const IMAGE_FIELDS = [...DEFAULT_IMAGE_FIELDS, "verified"] as const;
export type ImageField = (typeof IMAGE_FIELDS)[number];
const SORT_FIELDS = ["name", "importtime", "lastused", "size"] as const;

export const imageInspectFlags = () => ({ format: format() }) as const satisfies FlagSpecs;

export const imageListFlags = () =>
  ({
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
    "no-legend": noLegend(),
    full: full(),
    format: format(),
  }) as const satisfies FlagSpecs;

export const trustFlags = () =>
  ({
    prefix: text("prefix to limit trust to", { metavar: "PREFIX" }),
    root: bool("add root key from filesystem without a prefix"),
    "skip-fingerprint-review": bool("accept key without fingerprint confirmation"),
    "insecure-allow-http": bool("allow HTTP use for key discovery and/or retrieval"),
    type: choice(
      "what vouches for images: openpgp keys; for OCI images also sigstore-key, sigstore-keyless, none",
      ["openpgp", "sigstore-key", "sigstore-keyless", "none"],
      "openpgp",
    ),
    lookaside: text(
      "directory or https URL with OpenPGP signatures of OCI images, as podman writes them",
      {
        metavar: "DIR",
      },
    ),
    identity: text("identity in the certificate, for sigstore-keyless", { metavar: "IDENTITY" }),
    "identity-regexp": text("regular expression that the whole identity matches", {
      metavar: "REGEXP",
    }),
    issuer: text("issuer in the certificate, for sigstore-keyless", { metavar: "URL" }),
    "trust-root": text("sigstore's trusted_root.json; for sigstore-key, requires the log, too", {
      metavar: "FILE",
    }),
    "signed-reference": choice(
      "whether the reference that was signed must be the image's own",
      ["match", "ifGiven", "any"],
      "match",
    ),
    require: texts("attestation that must be there: provenance[,builder=ID][,source=URI], sbom", {
      metavar: "ATTESTATION",
    }),
    list: bool("print the trust policies for OCI images"),
    remove: bool("remove the trust policy of a prefix"),
  }) as const satisfies FlagSpecs;

export const metadataServiceFlags = () =>
  ({
    "listen-port": int("listen port", { initial: 18112 }),
  }) as const satisfies FlagSpecs;
export const apiServiceFlags = () =>
  ({
    listen: text("address to listen for client API requests; the default is localhost:15441"),
  }) as const satisfies FlagSpecs;
export const configFlags = () => ({ "pretty-print": prettyPrint() }) as const satisfies FlagSpecs;
export const noFlags = () => ({}) as const satisfies FlagSpecs;

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

export const signatureFlag = () =>
  ({
    signature: single(
      "signature",
      "local signature file to use in validating the preceding image",
      string,
      {
        metavar: "FILE",
        once: true,
      },
    ),
  }) as const satisfies FlagSpecs;

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
export const appFlags = () =>
  ({
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
  }) as const satisfies FlagSpecs;

export const deprecatedCaps = () =>
  ({
    "cap-retain": capabilities("capabilities to retain", {
      deprecated: "use --caps-retain instead",
    }),
    "cap-remove": capabilities("capabilities to remove", {
      deprecated: "use --caps-remove instead",
    }),
  }) as const satisfies FlagSpecs;

export const runImageFlags = () =>
  ({
    ...signatureFlag(),
    ...appFlags(),
    ...deprecatedCaps(),
  }) as const satisfies FlagSpecs;

export const appAddImageFlags = () =>
  ({
    ...appFlags(),
    "mnt-volume": many(
      "volume and mount point for the preceding image's app: VOLUME,target=PATH",
      (v, p) => p.parseMountVolume(v),
      {
        metavar: "VOLUME",
      },
    ),
  }) as const satisfies FlagSpecs;

export const appSandboxFlags = () =>
  ({
    ...stage1Flags(),
    "uuid-file-save": uuidFileSave(),
    net: net(),
    "no-overlay": noOverlay(),
    ...dnsFlags(),
    hostname: hostname(),
    port: texts("port to forward: NAME:PROTOCOL:PODPORT:HOSTIP:HOSTPORT", { metavar: "PORT" }),
    annotation: pairs("set the pod's annotations (repeatable)", "annotation"),
    "user-annotation": pairs("set the pod's user annotations (repeatable)", "user annotation"),
    "user-label": pairs("set the pod's user labels (repeatable)", "user label"),
  }) as const satisfies FlagSpecs;

export const appListFlags = () => ({ "no-legend": noLegend() }) as const satisfies FlagSpecs;
export const appStatusFlags = () => ({ app: app(), format: format() }) as const satisfies FlagSpecs;
