// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Isolator, seccompIsolator } from "../../appc/index.ts";
import { AUDIT_ARCHITECTURE, assemble, RETURN, type Rule } from "./assemble.ts";
import { compileDefault, compileIsolators, NEW_NAMESPACES, unpack, X32_BIT } from "./compile.ts";
import { DEFAULT_FILTERS } from "./default-filter.ts";
import type { Architecture } from "./filter.ts";
import { NEEDED_CALLS } from "./needs.ts";
import { ALWAYS_RETAINED, DEFAULT_WHITELIST, NAMED_SETS } from "./sets.ts";
import { CALLS_ELSEWHERE, ERRNOS, SYSTEM_CALLS } from "./tables.ts";

const ARCHITECTURES = ["x86_64", "aarch64"] as const;
const ALLOW = RETURN.allow;
const KILL = RETURN.killProcess;
const EPERM = RETURN.errno(1);
const ENOSYS = RETURN.errno(38);

interface Call {
  readonly architecture: number;
  readonly number: number;
  readonly first?: number;
}

/** Runs a program as the kernel would (linux/filter.h), for the instructions that filters are made of. */
function interpret(program: Uint8Array, { architecture, number, first = 0 }: Call): number {
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const data = new Map([
    [0, number],
    [4, architecture],
    [16, first],
  ]);
  let a = 0;
  for (let at = 0; at < program.length; at += 8) {
    const k = code.getUint32(at + 4, true);
    const [yes, no] = [code.getUint8(at + 2) * 8, code.getUint8(at + 3) * 8];
    switch (code.getUint16(at, true)) {
      case 0x20: {
        const word = data.get(k);
        if (word === undefined) throw new Error(`load of ${k}`);
        a = word;
        break;
      }
      case 0x05:
        at += k * 8;
        break;
      case 0x15:
        at += a === k ? yes : no;
        break;
      case 0x35:
        at += a >= k ? yes : no;
        break;
      case 0x45:
        at += (a & k) !== 0 ? yes : no;
        break;
      case 0x06:
        return k;
      default:
        throw new Error("no such instruction");
    }
  }
  throw new Error("the program has no end");
}

const run = (program: Uint8Array, architecture: Architecture, number: number, first = 0): number =>
  interpret(program, { architecture: AUDIT_ARCHITECTURE[architecture], number, first });

const compiled = (architecture: Architecture, ...isolators: readonly Isolator[]) =>
  compileIsolators(isolators, architecture);

function programOf(architecture: Architecture, isolator: Isolator): Uint8Array {
  const { filter } = compiled(architecture, isolator);
  if (filter === undefined) throw new Error("no filter");
  return filter.program;
}

const codeOf = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return undefined;
};

describe("assemble", () => {
  test("gives every number the verdict of its range, at whatever length", () => {
    const actions = fc.constantFrom(ALLOW, KILL, EPERM, ENOSYS);
    const rules = fc
      .uniqueArray(fc.integer({ min: 1, max: 2000 }), { maxLength: 900 })
      .chain((starts) =>
        fc
          .array(actions, { minLength: starts.length + 1, maxLength: starts.length + 1 })
          .map((list): Rule[] =>
            [0, ...starts.sort((a, b) => a - b)].map((from, i) => ({
              from,
              verdict: { action: list[i] ?? KILL },
            })),
          ),
      );
    fc.assert(
      fc.property(rules, fc.array(fc.integer({ min: 0, max: 2100 })), (list, numbers) => {
        const program = assemble(list, "x86_64");
        for (const number of [...numbers, 0, 0xffff_ffff]) {
          const wanted = list.findLast(({ from }) => from <= number)?.verdict.action;
          expect(run(program, "x86_64", number)).toBe(wanted as number);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("kills what calls by another architecture's table", () => {
    const program = assemble([{ from: 0, verdict: { action: ALLOW } }], "aarch64");
    // i386, x86_64 and ARM.
    for (const architecture of [0x4000_0003, 0xc000_003e, 0x4000_0028]) {
      expect(interpret(program, { architecture, number: 0 })).toBe(KILL);
    }
  });
});

describe("the tables", () => {
  test("have the numbers that the kernel's headers have", () => {
    const x86 = unpack(SYSTEM_CALLS.x86_64);
    const arm = unpack(SYSTEM_CALLS.aarch64);
    for (const [table, calls] of [
      [x86, { read: 0, execve: 59, mount: 165, statx: 332, pidfd_send_signal: 424, mseal: 462 }],
      [arm, { io_setup: 0, mount: 40, read: 63, clone: 220, execve: 221, statx: 291, clone3: 435 }],
    ] as const) {
      for (const [name, number] of Object.entries(calls)) expect(table.get(name)).toBe(number);
    }
    expect(x86.size).toBeGreaterThan(370);
    expect(arm.size).toBeGreaterThan(310);
    expect(unpack(ERRNOS).get("EPERM")).toBe(1);
    expect(unpack(ERRNOS).get("EHWPOISON")).toBe(133);
  });

  test("know every name that a set uses", () => {
    const known = new Set([
      ...unpack(SYSTEM_CALLS.x86_64).keys(),
      ...unpack(SYSTEM_CALLS.aarch64).keys(),
      ...CALLS_ELSEWHERE.split(" "),
    ]);
    const used = [...NAMED_SETS.values()].flatMap((set) => [...set.calls]);
    const unknown = [...used, ...ALWAYS_RETAINED, ...NEEDED_CALLS].filter((n) => !known.has(n));
    expect(unknown).toEqual([]);
  });
});

describe.each(ARCHITECTURES)("the default filter on %s", (architecture) => {
  const table = unpack(SYSTEM_CALLS[architecture]);
  const { program, early } = compileDefault(architecture);

  test("is the one that is checked in", () => {
    const ready = DEFAULT_FILTERS[architecture];
    expect(ready.program).toBe(Buffer.from(program).toString("base64"));
    expect(ready.label).toBe(compileDefault(architecture).label);
    expect(early).toBe(true);
  });

  test("says of every number what the list says", () => {
    const names = new Map([...table].map(([name, number]) => [number, name]));
    for (let number = 0; number < 1200; number++) {
      const name = names.get(number);
      const x32 = architecture === "x86_64" && number >= 512 && number <= 547;
      const wanted = x32
        ? EPERM
        : name === undefined || name === "clone3"
          ? ENOSYS
          : DEFAULT_WHITELIST.includes(name)
            ? ALLOW
            : EPERM;
      // With a first argument of 0; conditions have a test of their own.
      expect([name, number, run(program, architecture, number)]).toEqual([name, number, wanted]);
    }
    for (const [, number] of table) {
      expect(run(program, architecture, number | X32_BIT)).toBe(EPERM);
    }
    expect(run(program, architecture, 0xffff_ffff)).toBe(EPERM);
  });

  test("lets nothing make namespaces by clone", () => {
    const clone = table.get("clone") ?? -1;
    for (let bit = 0; bit < 32; bit++) {
      const flag = (1 << bit) >>> 0;
      const wanted = (flag & NEW_NAMESPACES) !== 0 ? EPERM : ALLOW;
      expect(run(program, architecture, clone, flag | 17)).toBe(wanted);
    }
  });

  test("has no sockets to the hypervisor, and no personality but the usual ones", () => {
    const socket = table.get("socket") ?? -1;
    // UNIX, INET, NETLINK, ALG; VSOCK.
    for (const family of [1, 2, 16, 38])
      expect(run(program, architecture, socket, family)).toBe(ALLOW);
    expect(run(program, architecture, socket, 40)).toBe(EPERM);
    const personality = table.get("personality") ?? -1;
    for (const value of [0, 8, 0x20000, 0x20008, 0xffffffff])
      expect(run(program, architecture, personality, value)).toBe(ALLOW);
    // ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC, MMAP_PAGE_ZERO, another system.
    for (const value of [0x40000, 0x400000, 0x100000, 1, 0x20001])
      expect(run(program, architecture, personality, value)).toBe(EPERM);
    expect(run(program, architecture, table.get("syslog") ?? -1)).toBe(EPERM);
  });

  test("is short", () => {
    expect(program.length / 8).toBeLessThan(200);
  });
});

describe("isolators", () => {
  const pool = [...unpack(SYSTEM_CALLS.x86_64).keys(), ...unpack(SYSTEM_CALLS.aarch64).keys()];
  const sets = fc.uniqueArray(fc.constantFrom(...pool), { minLength: 1, maxLength: 60 });
  const errnos = fc.constantFrom(["", KILL], ["EPERM", EPERM], ["ENOSYS", ENOSYS]) as fc.Arbitrary<
    [string, number]
  >;

  test("a retain-set allows what it names, and what every program needs to start and end", () => {
    fc.assert(
      fc.property(fc.constantFrom(...ARCHITECTURES), sets, errnos, (arch, set, [errno, denied]) => {
        const program = programOf(arch, seccompIsolator("retain", set, errno));
        const allowed = new Set([...set, ...ALWAYS_RETAINED]);
        for (const [name, number] of unpack(SYSTEM_CALLS[arch])) {
          expect(run(program, arch, number)).toBe(allowed.has(name) ? ALLOW : denied);
        }
        for (const number of [340, 999, X32_BIT, 0xffff_ffff]) {
          expect(run(program, arch, number)).toBe(denied);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("a remove-set forbids what it names and nothing else", () => {
    fc.assert(
      fc.property(fc.constantFrom(...ARCHITECTURES), sets, errnos, (arch, set, [errno, denied]) => {
        const program = programOf(arch, seccompIsolator("remove", set, errno));
        for (const [name, number] of unpack(SYSTEM_CALLS[arch])) {
          const around = name === "clone3" && set.includes("clone") && !set.includes(name);
          const wanted = set.includes(name) ? denied : around ? ENOSYS : ALLOW;
          expect(run(program, arch, number)).toBe(wanted);
        }
        expect(run(program, arch, 999)).toBe(ALLOW);
        // Else it would be the way around: the same calls by other numbers.
        for (const number of [X32_BIT, 0xffff_ffff])
          expect(run(program, arch, number)).toBe(denied);
        expect(run(program, arch, 521)).toBe(arch === "x86_64" ? denied : ALLOW);
      }),
      { numRuns: 40 },
    );
  });

  test.each([...NAMED_SETS])("%s is a set", (name, { calls, isDefaultList }) => {
    for (const arch of ARCHITECTURES) {
      const retain = programOf(arch, seccompIsolator("retain", [name]));
      const remove = programOf(arch, seccompIsolator("remove", [name], "EXDEV"));
      for (const [call, number] of unpack(SYSTEM_CALLS[arch])) {
        if (isDefaultList && ["clone", "clone3", "socket", "personality"].includes(call)) continue;
        // As far as the set goes: clone3 is the way around a clone that is denied.
        if (call === "clone3" && calls.includes("clone") && !calls.includes(call)) continue;
        const always = ALWAYS_RETAINED.includes(call);
        expect(run(retain, arch, number)).toBe(calls.includes(call) || always ? ALLOW : KILL);
        expect(run(remove, arch, number)).toBe(calls.includes(call) ? RETURN.errno(18) : ALLOW);
      }
      const { clone, clone3 } = Object.fromEntries(unpack(SYSTEM_CALLS[arch]));
      if (isDefaultList !== true || clone === undefined || clone3 === undefined) continue;
      expect(run(retain, arch, clone, 17)).toBe(ALLOW);
      expect(run(retain, arch, clone, NEW_NAMESPACES)).toBe(KILL);
      expect(run(remove, arch, clone, NEW_NAMESPACES)).toBe(RETURN.errno(18));
      expect(run(retain, arch, clone3)).toBe(ENOSYS);
    }
  });

  test("clone that is named for itself has no condition", () => {
    const program = programOf(
      "x86_64",
      seccompIsolator("retain", ["@rkt/default-whitelist", "clone"]),
    );
    expect(run(program, "x86_64", 56, NEW_NAMESPACES)).toBe(ALLOW);
  });

  test("what a list has on a condition, who names it has without", () => {
    const set = ["@rkt/default-whitelist", "socket", "personality", "syslog"];
    const program = programOf("x86_64", seccompIsolator("retain", set));
    for (const [call, first] of [
      [41, 40],
      [135, 0x40000],
      [103, 0],
    ] as const)
      expect(run(program, "x86_64", call, first)).toBe(ALLOW);
    expect(run(program, "x86_64", 56, NEW_NAMESPACES)).toBe(KILL);
  });

  test("a remove-set of clone alone is not gone around by clone3", () => {
    const program = programOf("x86_64", seccompIsolator("remove", ["clone"], "EPERM"));
    expect(run(program, "x86_64", 56, 17)).toBe(EPERM);
    expect(run(program, "x86_64", 435)).toBe(ENOSYS);
  });

  test.each(["clone", "clone3"])("a remove-set that names %s beside a list is stricter", (name) => {
    const set = ["@rkt/default-blacklist", name];
    const program = programOf("x86_64", seccompIsolator("remove", set, "EPERM"));
    expect(run(program, "x86_64", 56, NEW_NAMESPACES)).toBe(EPERM);
    expect(run(program, "x86_64", 56, 17)).toBe(name === "clone" ? EPERM : ALLOW);
    expect(run(program, "x86_64", 435)).toBe(name === "clone" ? ENOSYS : EPERM);
  });

  test("@appc.io/all is no filter, @appc.io/empty the default with the errno", () => {
    expect(compiled("x86_64", seccompIsolator("retain", ["read", "@appc.io/all"])).filter).toBe(
      undefined,
    );
    const empty = (errno: string) =>
      programOf("x86_64", seccompIsolator("remove", ["mkdir", "@appc.io/empty"], errno));
    expect(empty("")).toEqual(compileDefault("x86_64").program);
    const mount = unpack(SYSTEM_CALLS.x86_64).get("mount") ?? -1;
    expect(run(empty("EXDEV"), "x86_64", mount)).toBe(RETURN.errno(18));
    expect(run(empty("EXDEV"), "x86_64", 999)).toBe(ENOSYS);
  });

  test("names that are no calls are ignored in a retain-set and refused in a remove-set", () => {
    const set = ["read", "raed", "@none/of-ours"];
    const { warnings } = compiled("x86_64", seccompIsolator("retain", set));
    expect(warnings).toEqual([
      'the seccomp retain-set names "raed", which is no system call: ignored',
      'the seccomp retain-set names "@none/of-ours", which is no system call: ignored',
    ]);
    expect(codeOf(() => compiled("x86_64", seccompIsolator("remove", set)))).toBe(
      "SECCOMP_UNKNOWN",
    );
    // A call of another architecture is known.
    expect(compiled("x86_64", seccompIsolator("remove", ["chown32"])).warnings).toEqual([]);
  });

  test("two isolators, and an errno that does not exist, are refused", () => {
    const retain = seccompIsolator("retain", ["read"]);
    const remove = seccompIsolator("remove", ["read"]);
    expect(codeOf(() => compiled("x86_64", retain, remove))).toBe("SECCOMP_CONFLICT");
    expect(codeOf(() => compiled("x86_64", retain, retain))).toBe("SECCOMP_CONFLICT");
    const nonsense = seccompIsolator("retain", ["read"], "ENONSENSE");
    expect(codeOf(() => compiled("x86_64", nonsense))).toBe("SECCOMP_ERRNO");
    expect(codeOf(() => compiled("x86_64", seccompIsolator("retain", ["read"], "ENOTSUP")))).toBe(
      undefined,
    );
  });

  test("the label says what is allowed and what happens else", () => {
    const label = (isolator: Isolator) => compiled("x86_64", isolator).filter?.label;
    expect(label(seccompIsolator("retain", ["read"]))).toMatch(
      /^retain: 14 of \d+ calls, else SIGSYS$/,
    );
    expect(label(seccompIsolator("remove", ["read"], "EXDEV"))).toMatch(
      /^remove: (\d+) of \d+ calls, else EXDEV$/,
    );
  });
});
