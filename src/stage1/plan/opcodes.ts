// SPDX-License-Identifier: Apache-2.0
// The plan's vocabulary, declared once. `opcodesHeader` is the same as a C header (stage1/opcodes.h); a test
// keeps the two alike. Codes are never reused. Architecture: ARCHITECTURE.md, "The plan".

/** Field types on the wire. Numbers are little-endian; a string is length, bytes, NUL; bytes are
 * length, bytes. */
export type FieldType = "u32" | "u64" | "string" | "strings" | "numbers" | "bytes";

/** Bit sets of the operations' `flags` and `attributes` fields. */
export const OPTION_FLAGS = {
  /** The pod has a network namespace of its own. */
  newNetwork: 1,
  /** The app's stdin is the caller's. */
  interactive: 2,
  /** The app gets a terminal of its own, relayed to the caller's. */
  terminal: 4,
  /** Each line of output is prefixed `APP[PID]: `. */
  logPrefix: 8,
} as const;

/** MOUNT_ATTR_* of mount_setattr(2). */
export const MOUNT_ATTRIBUTES = { readOnly: 1, noSuid: 2, noDev: 4, noExec: 8 } as const;

export const MOUNT_FLAGS = {
  /** A kernel or a caller without this file system is not an error. */
  optional: 1,
} as const;

export const OVERLAY_FLAGS = {
  /** The upper layer is not synchronised: else its end writes back the whole file system below it. */
  volatile: 1,
} as const;

export const BIND_FLAGS = {
  recursive: 1,
  /** The source is a path inside the app's root (after the mounts so far). */
  sourceInRoot: 2,
  /** Do nothing when the target exists. */
  ifTargetMissing: 4,
  /** Do nothing when the source does not exist. */
  optionalSource: 8,
  /** A target that is a dangling symbolic link is replaced by a file. */
  replaceDangling: 16,
  /** The supervisor makes the mount: from inside a user namespace its source cannot be reached. */
  lent: 32,
} as const;

export const VOLUME_FLAGS = {
  /** The source is this device. Else `major` and `minor` are 0. */
  device: 1,
  /** With `device`: a block device, not a character device. */
  block: 2,
} as const;

export const COPY_VOLUME_FLAGS = {
  /** With the mounts below it. */
  recursive: 1,
  /** Uid 0 of the pod's user namespace is uid 0 of the volume. Where its file system cannot, a warning says so. */
  mapOwners: 2,
} as const;

export const ATTACH_FLAGS = {
  /** The target may lie in /proc. */
  onProc: 1,
} as const;

export const DIRECTORY_FLAGS = {
  /** Owner and mode are set even when the directory exists. */
  enforce: 1,
} as const;

export const ENTER_FLAGS = {
  terminal: 1,
  /** The pod has a user namespace. */
  userNamespace: 2,
} as const;

export const FILTER_FLAGS = {
  /** Before CAP_SYS_ADMIN is given up: it lets through what stage1 still has to call. Otherwise right before execve. */
  early: 1,
} as const;

export const DEVICES_FLAGS = {
  /** Without it the pod does not start. */
  required: 1,
  /** No app may mount: without the program, volumes are cut off from the host instead. */
  forVolumes: 2,
} as const;

/**
 * Operations in three scopes. Paths in the first two are relative to the pod directory or absolute on the
 * host; those between `app` and `end` are inside the app's root unless the name says `source`.
 */
export const OPCODES = {
  // The supervisor, before anything is cloned.
  options: {
    code: 1,
    fields: {
      command: "string",
      uuid: "string",
      flags: "u32",
      graceMs: "u32",
      logMaxBytes: "u64",
      apps: "u32",
    },
  },
  directory: {
    code: 2,
    fields: { path: "string", mode: "u32", uid: "u32", gid: "u32", flags: "u32" },
  },
  /**
   * `path`: the pod's in cgroup v2. PID 1 is cloned into it, or, where it passes controllers on, into `init` below.
   * `directories` are removed when the pod has ended, in this order. "": none.
   */
  cgroup: { code: 3, fields: { path: "string", init: "string", directories: "strings" } },
  /** From here on PID 1 of the pod executes. */
  pod: { code: 4, fields: {} },
  hostname: { code: 5, fields: { name: "string" } },
  loopback: { code: 6, fields: {} },
  /** A new file system. `options` are `key=value` or `key`. */
  mount: {
    code: 7,
    fields: {
      type: "string",
      target: "string",
      options: "strings",
      attributes: "u32",
      flags: "u32",
    },
  },
  /** PID 1 leaves the host's mounts: its root becomes the mount at `path`. */
  retire: { code: 8, fields: { path: "string" } },
  /** A new process with a mount namespace of its own executes up to `end`. */
  app: { code: 9, fields: { name: "string" } },
  end: { code: 10, fields: {} },
  // Inside an app. The first operation makes the root.
  overlay: {
    code: 11,
    fields: {
      sourceLowers: "strings",
      sourceUpper: "string",
      sourceWork: "string",
      sourceTarget: "string",
      attributes: "u32",
      flags: "u32",
    },
  },
  bindRoot: { code: 12, fields: { sourcePath: "string", attributes: "u32" } },
  makeDirectory: { code: 13, fields: { path: "string", mode: "u32" } },
  symlink: { code: 14, fields: { content: "string", path: "string" } },
  /** A character device as a mount of its own, so that the directory around it can be nodev. */
  node: { code: 15, fields: { path: "string", mode: "u32", major: "u32", minor: "u32" } },
  bind: {
    code: 16,
    fields: { source: "string", target: "string", attributes: "u32", flags: "u32" },
  },
  /** Adds attributes to the mount at `path`, not to those below. */
  attributes: { code: 17, fields: { path: "string", attributes: "u32" } },
  /** Makes a file or directory inaccessible; nothing when it does not exist. */
  mask: { code: 18, fields: { path: "string" } },
  /** Makes a subtree read-only; nothing when it does not exist. */
  protect: { code: 19, fields: { path: "string" } },
  /** A pseudo terminal from the app's devpts, also bound as /dev/console. */
  terminal: { code: 20, fields: {} },
  pivot: { code: 21, fields: {} },
  oomScoreAdj: { code: 22, fields: { value: "string" } },
  environment: { code: 23, fields: { variables: "strings" } },
  /** Waits until every app of the pod is set up. */
  ready: { code: 24, fields: {} },
  bounding: { code: 25, fields: { capabilities: "u64" } },
  noNewPrivileges: { code: 26, fields: {} },
  workingDirectory: { code: 27, fields: { path: "string" } },
  preStart: { code: 28, fields: { path: "string", argv: "strings" } },
  postStop: { code: 29, fields: { path: "string", argv: "strings" } },
  ids: { code: 30, fields: { uid: "u32", gid: "u32", groups: "numbers" } },
  execute: { code: 31, fields: { path: "string", argv: "strings" } },
  /**
   * Before any program of the app runs, the supervisor writes it into each directory's cgroup.procs. `oomFile` counts
   * kills for want of memory, whose sentence names `memoryLimit`. In a plan for `enter` the helper joins by itself.
   */
  joinCgroups: {
    code: 35,
    fields: { directories: "strings", oomFile: "string", memoryLimit: "string" },
  },
  /** Sets a parameter of one of the pod's namespaces; `path` is below /proc/sys. */
  sysctl: { code: 36, fields: { path: "string", value: "string" } },
  /** The security module (`apparmor` or `selinux`) gets `text` for the next execve. */
  label: { code: 37, fields: { module: "string", text: "string" } },
  /** Only in a plan for `enter`, instead of `pod`. */
  enter: { code: 32, fields: { podPid: "u32", appPid: "u32", cgroup: "string", flags: "u32" } },
  /** In an app: what PID 1 sends it, instead of SIGTERM, when it is to end. 1 to 64. */
  stopSignal: { code: 34, fields: { signal: "u32" } },
  /** The app's seccomp filter; `label` says to people what it is, `program` is struct sock_filter[]. */
  filter: { code: 33, fields: { label: "string", flags: "u32", program: "bytes" } },
  /** The supervisor opens a volume's source, the only time that it is looked up. */
  volume: {
    code: 44,
    fields: { name: "string", source: "string", flags: "u32", major: "u32", minor: "u32" },
  },
  /** A mount of the volume opened last, nowhere yet, a slave of the host's. Its place in the plan is its slot. */
  copyVolume: { code: 45, fields: { attributes: "u32", flags: "u32" } },
  /** In an app: the mount in a slot goes to its place, which is made when it is missing. */
  attach: {
    code: 46,
    fields: { name: "string", slot: "u32", target: "string", flags: "u32" },
  },
  /** The pod's cgroup admits the devices that this eBPF program allows: an instruction is two numbers. */
  devices: { code: 38, fields: { program: "numbers", flags: "u32" } },
  /** In an app, before `pivot`: of the sockets that rkt was given these are the app's, in rising order. */
  listen: { code: 47, fields: { slots: "numbers" } },
  // With a user namespace only.
  /** The supervisor: uid and gid 0 of the pod are `first` of the host, and so on. It makes the apps' roots. */
  userNamespace: { code: 40, fields: { first: "u32", count: "u32" } },
  /** PID 1: a tmpfs of the pod's own becomes the working directory, because the pod directory is the host's. */
  scratch: { code: 41, fields: { target: "string", directories: "strings" } },
} as const satisfies Record<string, OpcodeDeclaration>;

interface OpcodeDeclaration {
  readonly code: number;
  readonly fields: Readonly<Record<string, FieldType>>;
}

export type OpKind = keyof typeof OPCODES;

interface FieldValue {
  readonly u32: number;
  readonly u64: bigint;
  readonly string: string;
  readonly strings: readonly string[];
  readonly numbers: readonly number[];
  readonly bytes: Uint8Array;
}

type OpOf<K extends OpKind> = { readonly kind: K } & {
  readonly [F in keyof (typeof OPCODES)[K]["fields"]]: FieldValue[(typeof OPCODES)[K]["fields"][F] &
    FieldType];
};

/** One operation of a plan. */
export type Op = { [K in OpKind]: OpOf<K> }[OpKind];

/** First bytes of an encoded plan: the name and the version of the format. */
export const PLAN_MAGIC = "RKTPLAN\u0001";
/** Bytes of the largest plan that stage1 takes. */
export const PLAN_MAX_BYTES = 16 * 1024 * 1024;

const FIELD_LETTER: Readonly<Record<FieldType, string>> = {
  u32: "u",
  u64: "q",
  string: "s",
  strings: "v",
  numbers: "n",
  bytes: "b",
};

const snake = (name: string): string => name.replace(/[A-Z]/g, "_$&").toUpperCase();

/** The text of stage1/opcodes.h. */
export function opcodesHeader(): string {
  const ops = Object.entries(OPCODES).map(([name, declaration]) => ({
    name: snake(name),
    label: name,
    code: declaration.code,
    fields: Object.entries(declaration.fields) as [string, FieldType][],
  }));
  const lines = [
    "/* SPDX-License-Identifier: Apache-2.0 */",
    "/* Generated from src/stage1/plan/opcodes.ts: change that file, then `make -C stage1 opcodes`. */",
    "#ifndef RKT_OPCODES_H",
    "#define RKT_OPCODES_H",
    "",
    '#define PLAN_MAGIC "RKTPLAN\\001"',
    `#define PLAN_MAX_BYTES ${PLAN_MAX_BYTES}u`,
    `#define OP_LIMIT ${Math.max(...ops.map((op) => op.code)) + 1}`,
    `#define OP_FIELDS ${Math.max(...ops.map((op) => op.fields.length))}`,
    "",
    "enum opcode {",
    ...ops.map((op) => `  OP_${op.name} = ${op.code},`),
    "};",
    "",
    "/* Positions of the fields in `struct op`. */",
  ];
  for (const op of ops) {
    op.fields.forEach(([field], i) => {
      lines.push(`#define ${op.name}_${snake(field)} ${i}`);
    });
  }
  lines.push("");
  const sets = {
    OPTION: OPTION_FLAGS,
    MOUNT: MOUNT_FLAGS,
    OVERLAY: OVERLAY_FLAGS,
    BIND: BIND_FLAGS,
    VOLUME: VOLUME_FLAGS,
    COPY_VOLUME: COPY_VOLUME_FLAGS,
    ATTACH: ATTACH_FLAGS,
    DIRECTORY: DIRECTORY_FLAGS,
    ENTER: ENTER_FLAGS,
    FILTER: FILTER_FLAGS,
    DEVICES: DEVICES_FLAGS,
  };
  for (const [prefix, set] of Object.entries(sets)) {
    for (const [name, bit] of Object.entries(set)) {
      lines.push(`#define ${prefix}_IS_${snake(name)} ${bit}u`);
    }
  }
  lines.push(
    "",
    "/* u: 32 bits, q: 64 bits, s: string, v: strings, n: numbers, b: bytes. */",
    "static const char *const op_schema[OP_LIMIT] = {",
    ...ops.map(
      (op) =>
        `    [OP_${op.name}] = "${op.fields.map(([, type]) => FIELD_LETTER[type]).join("")}",`,
    ),
    "};",
    "",
    "#endif",
    "",
  );
  return lines.join("\n");
}
