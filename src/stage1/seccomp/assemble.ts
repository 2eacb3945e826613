// SPDX-License-Identifier: Apache-2.0
// Verdicts for ranges of system call numbers → a program of classic BPF: the architecture first, then a binary
// search, so that no call costs more than about ten instructions. Pure.

/** What the kernel does with a call: SECCOMP_RET_* with its data. */
export const RETURN = {
  allow: 0x7fff_0000,
  killProcess: 0x8000_0000,
  errno: (number: number): number => 0x0005_0000 | number,
} as const;

export interface Verdict {
  readonly action: number;
  /** The call gets `action` only where its first argument, of which the low 32 bits count, is so; else it is allowed. */
  readonly where?: Condition;
}

export type Condition =
  /** One of these bits is set. */
  { readonly bits: number } | { readonly is: number } | { readonly isNone: readonly number[] };

/** From the number `from` to the next rule's. */
export interface Rule {
  readonly from: number;
  readonly verdict: Verdict;
}

/** AUDIT_ARCH_* of linux/audit.h. */
export const AUDIT_ARCHITECTURE = { x86_64: 0xc000_003e, aarch64: 0xc000_00b7 } as const;

const LOAD = 0x20; /* BPF_LD | BPF_W | BPF_ABS */
const JUMP = 0x05; /* BPF_JMP | BPF_JA */
const JUMP_EQUAL = 0x15; /* BPF_JMP | BPF_JEQ | BPF_K */
const JUMP_FROM = 0x35; /* BPF_JMP | BPF_JGE | BPF_K */
const JUMP_BITS = 0x45; /* BPF_JMP | BPF_JSET | BPF_K */
const RETURN_VALUE = 0x06; /* BPF_RET | BPF_K */

/** Offsets in struct seccomp_data; the low half of the first argument on a little-endian machine. */
const DATA = { number: 0, architecture: 4, firstArgument: 16 } as const;

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, k: number];

/** BPF_MAXINSNS. */
const MAX_INSTRUCTIONS = 4096;
const MAX_SKIP = 255;

const sameVerdict = (a: Verdict, b: Verdict): boolean =>
  a.action === b.action && a.where === b.where;

function leaf({ action, where }: Verdict): Instruction[] {
  const denied: Instruction = [RETURN_VALUE, 0, 0, action];
  if (where === undefined) return [denied];
  const allowed: Instruction = [RETURN_VALUE, 0, 0, RETURN.allow];
  const load: Instruction = [LOAD, 0, 0, DATA.firstArgument];
  if ("bits" in where) return [load, [JUMP_BITS, 0, 1, where.bits], denied, allowed];
  if ("is" in where) return [load, [JUMP_EQUAL, 0, 1, where.is], denied, allowed];
  const { isNone } = where;
  return [
    load,
    ...isNone.map((value, i): Instruction => [JUMP_EQUAL, isNone.length - i, 0, value]),
    denied,
    allowed,
  ];
}

function search(rules: readonly Rule[]): Instruction[] {
  const [first] = rules;
  if (first === undefined) throw new RangeError("a filter without rules");
  if (rules.length === 1) return leaf(first.verdict);
  const middle = rules.length >> 1;
  const low = search(rules.slice(0, middle));
  const high = search(rules.slice(middle));
  const from = rules[middle]?.from ?? 0;
  const choice: Instruction[] =
    low.length <= MAX_SKIP
      ? [[JUMP_FROM, low.length, 0, from]]
      : [
          [JUMP_FROM, 0, 1, from],
          [JUMP, 0, 0, low.length],
        ];
  return [...choice, ...low, ...high];
}

/**
 * The program as struct sock_filter[]. The rules are in the order of `from`, the first is from 0. A call of another
 * architecture's table (a 32-bit program) kills the process: no rule is about it.
 */
export function assemble(
  rules: readonly Rule[],
  architecture: keyof typeof AUDIT_ARCHITECTURE,
): Uint8Array {
  const merged = rules.filter((rule, i) => {
    const before = rules[i - 1];
    return before === undefined || !sameVerdict(before.verdict, rule.verdict);
  });
  const program: Instruction[] = [
    [LOAD, 0, 0, DATA.architecture],
    [JUMP_EQUAL, 1, 0, AUDIT_ARCHITECTURE[architecture]],
    [RETURN_VALUE, 0, 0, RETURN.killProcess],
    [LOAD, 0, 0, DATA.number],
    ...search(merged),
  ];
  if (program.length > MAX_INSTRUCTIONS) throw new RangeError("a filter with too many rules");
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(([code, ifTrue, ifFalse, k], i) => {
    bytes.writeUInt16LE(code, i * 8);
    bytes.writeUInt8(ifTrue, i * 8 + 2);
    bytes.writeUInt8(ifFalse, i * 8 + 3);
    bytes.writeUInt32LE(k >>> 0, i * 8 + 4);
  });
  return bytes;
}
