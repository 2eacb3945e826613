// SPDX-License-Identifier: Apache-2.0
// Seccomp isolators → a filter (appc.md §8, rkt-runtime.md §9). Pure; loaded only when an app has such an isolator.
import { type Isolator, parseIsolator, type SeccompIsolator } from "../../appc/index.ts";
import { quote } from "../../lib/text.ts";
import { Stage1Error } from "../errors.ts";
import { assemble, RETURN, type Rule, type Verdict } from "./assemble.ts";
import type { Architecture, FilterOfApp, SeccompFilter } from "./filter.ts";
import { NEEDED_CALLS } from "./needs.ts";
import { ALWAYS_RETAINED, DEFAULT_WHITELIST, NAMED_SETS, NO_BLACKLIST, OPT_OUT } from "./sets.ts";
import { CALLS_ELSEWHERE, ERRNOS, SYSTEM_CALLS } from "./tables.ts";

/** The CLONE_NEW* flags that clone(2) takes, without CLONE_NEWTIME: those bits are its signal. */
export const NEW_NAMESPACES = 0x7e02_0000;
/** __X32_SYSCALL_BIT. Numbers above it are no call of the 64-bit table, nor of aarch64's. */
export const X32_BIT = 0x4000_0000;
/** Calls of the x32 table, which old kernels take without the bit as well. */
export const X32_ONLY = { from: 512, to: 547 } as const;

const ALLOW: Verdict = { action: RETURN.allow };

/** `"read write 5 fstat"` → read 0, write 1, fstat 5. */
export function unpack(text: string): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  let next = 0;
  for (const word of text.split(" ")) {
    if (/^\d/.test(word)) next = Number(word);
    else numbers.set(word, next++);
  }
  return numbers;
}

/** What becomes of each call, by the intent of an isolator. */
interface Policy {
  /** The verdict for names; those of another architecture are never asked for. */
  readonly named: ReadonlyMap<string, Verdict>;
  /** For the other calls of the table. */
  readonly known: Verdict;
  /** For numbers that the table does not have. */
  readonly unknown: Verdict;
  /** For calls of another table than the architecture's own. */
  readonly foreign: Verdict;
}

/** The complete meaning of a policy, as rules for ranges of numbers. */
function rulesOf(policy: Policy, architecture: Architecture): Rule[] {
  const table = unpack(SYSTEM_CALLS[architecture]);
  const byNumber = new Map([...table].map(([name, number]) => [number, name]));
  const end = Math.max(...table.values()) + 1;
  const rules: Rule[] = [];
  for (let number = 0; number < end; number++) {
    const name = byNumber.get(number);
    const verdict = name === undefined ? policy.unknown : (policy.named.get(name) ?? policy.known);
    rules.push({ from: number, verdict });
  }
  rules.push({ from: end, verdict: policy.unknown });
  if (architecture === "x86_64") {
    rules.push({ from: X32_ONLY.from, verdict: policy.foreign });
    rules.push({ from: X32_ONLY.to + 1, verdict: policy.unknown });
  }
  return [...rules, { from: X32_BIT, verdict: policy.foreign }];
}

function filterOf(policy: Policy, architecture: Architecture, text: string): SeccompFilter {
  const table = unpack(SYSTEM_CALLS[architecture]);
  const verdict = (name: string) => policy.named.get(name) ?? policy.known;
  const passes = (name: string): boolean => {
    const { action, where } = verdict(name);
    return action === RETURN.allow || where !== undefined;
  };
  const allowed = [...table.keys()].filter(passes).length;
  return {
    program: assemble(rulesOf(policy, architecture), architecture),
    label: `${text}: ${allowed} of ${table.size} calls, else ${actionText(policy)}`,
    early: NEEDED_CALLS.every((name) => !table.has(name) || passes(name)),
  };
}

function actionText({ foreign: { action } }: Policy): string {
  if (action === RETURN.killProcess) return "SIGSYS";
  const number = action & 0xffff;
  return [...unpack(ERRNOS)].find(([, n]) => n === number)?.[0] ?? "SIGSYS";
}

const errnoVerdict = (name: string): Verdict => {
  const number = errnoNumber(name);
  return { action: RETURN.errno(number) };
};

function errnoNumber(name: string): number {
  const aliases: Readonly<Record<string, string>> = {
    EWOULDBLOCK: "EAGAIN",
    EDEADLOCK: "EDEADLK",
    ENOTSUP: "EOPNOTSUPP",
  };
  const number = unpack(ERRNOS).get(aliases[name] ?? name);
  if (number === undefined) {
    throw new Stage1Error(
      "SECCOMP_ERRNO",
      `cannot use the errno ${quote(name)} in a seccomp isolator: no such error`,
      { remedy: "errno(3) lists them, for example EPERM" },
    );
  }
  return number;
}

/** A filter cannot see the flags of clone3(2); with ENOSYS the C library falls back to clone(2). */
const useClone = (): Verdict => errnoVerdict("ENOSYS");

/** Not namespaced: a pod without a network, or with one of its own, would talk to the hypervisor all the same. */
const AF_VSOCK = 40;
/** Linux, a 32-bit machine's address space or a name of an old kernel, and the question what it is now: as Docker has it. */
const PERSONALITIES = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/**
 * The rules of the default lists about arguments. unshare(2) is not in them, and neither is the way around it by
 * clone(2). Who names a call for itself means it without a condition: `except` are the names given.
 */
function argumentRules(denied: Verdict, except: readonly string[]): [string, Verdict][] {
  const { action } = denied;
  const rules: [string, Verdict][] = [];
  if (!except.includes("clone")) rules.push(["clone", { action, where: { bits: NEW_NAMESPACES } }]);
  if (!except.includes("clone3")) rules.push(["clone3", useClone()]);
  if (!except.includes("socket")) rules.push(["socket", { action, where: { is: AF_VSOCK } }]);
  if (!except.includes("personality")) {
    rules.push(["personality", { action, where: { isNone: PERSONALITIES } }]);
  }
  return rules;
}

/** What an app gets whose image and flags say nothing; `errno` as in an isolator, "" means EPERM. */
export function compileDefault(architecture: Architecture, errno = ""): SeccompFilter {
  const denied = errnoVerdict(errno === "" ? "EPERM" : errno);
  const named = new Map(DEFAULT_WHITELIST.map((name): [string, Verdict] => [name, ALLOW]));
  for (const [name, verdict] of argumentRules(denied, [])) named.set(name, verdict);
  // A C library tries a newer call first and takes ENOSYS, nothing else, for its absence.
  const unknown = errnoVerdict("ENOSYS");
  return filterOf({ named, known: denied, unknown, foreign: denied }, architecture, "default");
}

interface Expansion {
  /** Every call that the words stand for. */
  readonly calls: ReadonlySet<string>;
  /** A default list is among them. */
  readonly isDefaultList: boolean;
  readonly unknown: readonly string[];
}

function expand(set: readonly string[]): Expansion {
  const everything = new Set([
    ...unpack(SYSTEM_CALLS.x86_64).keys(),
    ...unpack(SYSTEM_CALLS.aarch64).keys(),
    ...CALLS_ELSEWHERE.split(" "),
  ]);
  const calls = new Set<string>();
  const unknown: string[] = [];
  let isDefaultList = false;
  for (const word of set) {
    const group = NAMED_SETS.get(word);
    if (group !== undefined) {
      isDefaultList ||= group.isDefaultList === true;
      for (const call of group.calls) calls.add(call);
    } else if (everything.has(word)) calls.add(word);
    else unknown.push(word);
  }
  return { calls, isDefaultList, unknown };
}

const deniedBy = (errno: string): Verdict =>
  errno === "" ? { action: RETURN.killProcess } : errnoVerdict(errno);

function compileRetain({ set, errno }: SeccompIsolator, architecture: Architecture): FilterOfApp {
  const { calls, isDefaultList, unknown } = expand(set);
  const denied = deniedBy(errno);
  const named = new Map([...ALWAYS_RETAINED, ...calls].map((name) => [name, ALLOW]));
  if (isDefaultList) {
    const clones = ["clone", "clone3"];
    // The two are one thing in two forms.
    const except = set.some((name) => clones.includes(name)) ? [...set, ...clones] : set;
    for (const [name, verdict] of argumentRules(denied, except)) named.set(name, verdict);
  }
  const policy = { named, known: denied, unknown: denied, foreign: denied };
  return {
    filter: filterOf(policy, architecture, "retain"),
    // What is not known stays forbidden: nothing is lost but what the kernel may not have anyway.
    warnings: unknown.map(
      (word) => `the seccomp retain-set names ${quote(word)}, which is no system call: ignored`,
    ),
  };
}

function compileRemove({ set, errno }: SeccompIsolator, architecture: Architecture): FilterOfApp {
  const { calls, isDefaultList, unknown } = expand(set);
  const [first] = unknown;
  if (first !== undefined) {
    throw new Stage1Error(
      "SECCOMP_UNKNOWN",
      `cannot remove ${quote(first)} from the system calls: no such call`,
      { remedy: "syscalls(2) lists them; ignoring the name would let through what it stands for" },
    );
  }
  const denied = deniedBy(errno);
  const named = new Map([...calls].map((name) => [name, denied]));
  // One that is named for itself is denied whole, and leaves the rules for the others as they are.
  if (isDefaultList) {
    for (const [name, verdict] of argumentRules(denied, set)) named.set(name, verdict);
  }
  // Else clone3(2) would be the way around it.
  if (calls.has("clone") && !calls.has("clone3")) named.set("clone3", useClone());
  const policy = { named, known: ALLOW, unknown: ALLOW, foreign: denied };
  return { filter: filterOf(policy, architecture, "remove"), warnings: [] };
}

/**
 * The filter of an app's one seccomp isolator: two of them, of whatever kind, are refused. The command line's flag has
 * replaced the image's before this is called.
 */
export function compileIsolators(
  isolators: readonly Isolator[],
  architecture: Architecture,
): FilterOfApp {
  const [isolator] = isolators;
  if (isolator === undefined || isolators.length > 1) {
    throw new Stage1Error("SECCOMP_CONFLICT", "too many seccomp isolators specified", {
      remedy: "one retain-set or one remove-set: a retain-set of what both leave",
    });
  }
  const parsed = parseIsolator(isolator) as SeccompIsolator;
  if (parsed.errno !== "") errnoNumber(parsed.errno);
  if (parsed.kind === "seccomp-retain-set") {
    if (parsed.set.includes(OPT_OUT)) return { filter: undefined, warnings: [] };
    return compileRetain(parsed, architecture);
  }
  if (parsed.set.includes(NO_BLACKLIST)) {
    return { filter: compileDefault(architecture, parsed.errno), warnings: [] };
  }
  return compileRemove(parsed, architecture);
}
