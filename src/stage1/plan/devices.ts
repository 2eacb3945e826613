// SPDX-License-Identifier: Apache-2.0
// Which devices the apps of a pod may open, as a program for the kernel (BPF_PROG_TYPE_CGROUP_DEVICE). Pure. What
// keeps devices from an ordinary app is that every mount is nodev; why and when this comes on top of it is in
// docs/decisions/0007-device-policy.md.
import { boundingSet, DEFAULT_BOUNDING } from "../capabilities.ts";
import type { DeviceNumber, PlanInput } from "./input.ts";
import { DEVICES_FLAGS, type Op } from "./opcodes.ts";
import type { ResolvedMount } from "./volumes.ts";

/** appc.md §6.5 and rkt-runtime.md §8: what every app finds in /dev. */
export const NODES = [
  ["null", 0o666, 1, 3],
  ["zero", 0o666, 1, 5],
  ["full", 0o666, 1, 7],
  ["random", 0o666, 1, 8],
  ["urandom", 0o666, 1, 9],
  ["tty", 0o666, 5, 0],
  ["net/tun", 0o666, 10, 200],
] as const;

/** What of a device is allowed; the bits are BPF_DEVCG_ACC_*. */
const MAKE = 1;
const READ = 2;
const WRITE = 4;

export interface DeviceRule {
  readonly kind: DeviceNumber["kind"];
  readonly major: number;
  /** Undefined: every one. */
  readonly minor: number | undefined;
  readonly access: number;
}

const PTMX: DeviceRule = { kind: "char", major: 5, minor: 2, access: READ | WRITE };
/** Unix98 terminals. Not 5:1: /dev/console of an app is one of these, and the real one is the host's. */
const PTS: DeviceRule = { kind: "char", major: 136, minor: undefined, access: READ | WRITE };

const CAP_SYS_ADMIN = 1n << 21n;

/** May a program of this pod come to mount, or remount, something without nodev? */
function canMount(input: PlanInput): boolean {
  if (input.insecure.capabilities) return true;
  return input.apps.some(({ app }) => {
    const set = boundingSet(app.isolators);
    return set !== DEFAULT_BOUNDING && (set & CAP_SYS_ADMIN) !== 0n;
  });
}

/**
 * What the host mounts below a volume later comes to the app as the host mounted it, without nodev; to a read-only
 * volume nothing comes. Root of a user namespace makes no nodes, and those of the host's root are not its own.
 */
function mayGrow(input: PlanInput, mounts: readonly ResolvedMount[]): boolean {
  if (input.userNamespace !== undefined) return false;
  return mounts.some(
    ({ volume, readOnly }) =>
      volume.kind === "host" && !readOnly && input.devices?.has(volume.source) !== true,
  );
}

/** The devices among the mounts, with what the user allows: read-only on a mount does not bind a device. */
function lentDevices(input: PlanInput, mounts: readonly ResolvedMount[]): DeviceRule[] {
  if (input.devices === undefined) return [];
  const rules: DeviceRule[] = [];
  for (const { volume, readOnly } of mounts) {
    const device = volume.kind === "host" ? input.devices.get(volume.source) : undefined;
    if (device !== undefined) rules.push({ ...device, access: readOnly ? READ : READ | WRITE });
  }
  return rules;
}

/** The operation that closes the pod's cgroup to other devices; undefined where nodev alone does it. */
export function deviceOperation(
  input: PlanInput,
  mounts: readonly ResolvedMount[],
): (Op & { readonly kind: "devices" }) | undefined {
  if (input.insecure.paths) return undefined;
  const lent = lentDevices(input, mounts);
  const forVolumes = lent.length === 0 && !canMount(input);
  if (forVolumes && !mayGrow(input, mounts)) return undefined;
  const nodes = NODES.map(
    ([, , major, minor]): DeviceRule => ({
      kind: "char",
      major,
      minor,
      // stage1 makes them, in the pod's cgroup.
      access: MAKE | READ | WRITE,
    }),
  );
  return {
    kind: "devices",
    program: deviceProgram([...nodes, PTMX, PTS, ...lent], forVolumes),
    flags:
      (lent.some(({ access }) => access === READ) ? DEVICES_FLAGS.required : 0) |
      (forVolumes ? DEVICES_FLAGS.forVolumes : 0),
  };
}

/** Bytes of `struct bpf_cgroup_dev_ctx`: type in the lower and access in the upper half, major, minor. */
const CTX_ACCESS_TYPE = 0;
const CTX_MAJOR = 4;
const CTX_MINOR = 8;
const TYPE = { block: 1, char: 2 } as const;

// Registers: the result, the context, and what is read from it.
const [R0, R1, TYPE_OF, ACCESS, MAJOR, MINOR, REST] = [0, 1, 2, 3, 4, 5, 6] as const;

// Opcodes of linux/bpf.h, combined: class | size or source | operation.
const LOAD_32 = 0x61;
const MOVE_32 = 0xbc;
const MOVE_32_K = 0xb4;
const AND_32_K = 0x54;
const SHIFT_RIGHT_32_K = 0x74;
const JUMP_UNLESS_EQUAL_32_K = 0x56;
const EXIT = 0x95;

/** One instruction as two little-endian words: code, registers and jump; then the number. */
function instruction(code: number, to: number, from: number, jump: number, k: number): number[] {
  return [(code | (to << 8) | (from << 12) | (jump << 16)) >>> 0, k >>> 0];
}

/**
 * eBPF: allows what one of the rules allows, and nothing else; `mayMake`: and to make what cannot be opened, as without
 * a program. Two words for each instruction.
 */
export function deviceProgram(rules: readonly DeviceRule[], mayMake = false): number[] {
  const load = (to: number, offset: number) => instruction(LOAD_32, to, R1, offset, 0);
  const words = [
    ...load(TYPE_OF, CTX_ACCESS_TYPE),
    ...instruction(MOVE_32, ACCESS, TYPE_OF, 0, 0),
    ...instruction(AND_32_K, TYPE_OF, 0, 0, 0xffff),
    ...instruction(SHIFT_RIGHT_32_K, ACCESS, 0, 0, 16),
    ...load(MAJOR, CTX_MAJOR),
    ...load(MINOR, CTX_MINOR),
  ];
  if (mayMake) {
    words.push(
      ...instruction(AND_32_K, ACCESS, 0, 0, ~MAKE),
      ...instruction(JUMP_UNLESS_EQUAL_32_K, ACCESS, 0, 2, 0),
      ...instruction(MOVE_32_K, R0, 0, 0, 1),
      ...instruction(EXIT, 0, 0, 0, 0),
    );
  }
  for (const rule of rules) words.push(...ruleProgram(rule));
  words.push(...instruction(MOVE_32_K, R0, 0, 0, 0), ...instruction(EXIT, 0, 0, 0, 0));
  return words;
}

function ruleProgram({ kind, major, minor, access }: DeviceRule): number[] {
  // From the end: each test jumps over what follows it.
  const steps: number[][] = [instruction(MOVE_32_K, R0, 0, 0, 1), instruction(EXIT, 0, 0, 0, 0)];
  const unless = (register: number, k: number): void => {
    steps.unshift(instruction(JUMP_UNLESS_EQUAL_32_K, register, 0, steps.length, k));
  };
  // No bit is wanted that the rule lacks.
  unless(REST, 0);
  steps.unshift(instruction(AND_32_K, REST, 0, 0, ~access));
  steps.unshift(instruction(MOVE_32, REST, ACCESS, 0, 0));
  if (minor !== undefined) unless(MINOR, minor);
  unless(MAJOR, major);
  unless(TYPE_OF, TYPE[kind]);
  return steps.flat();
}
