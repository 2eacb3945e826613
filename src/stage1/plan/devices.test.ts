// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type DeviceRule, deviceProgram } from "./devices.ts";

interface Request {
  readonly type: number;
  readonly access: number;
  readonly major: number;
  readonly minor: number;
}

/** What the kernel would do with the few instructions that there are; throws at any other. */
function execute(words: readonly number[], request: Request): number {
  const registers = new Uint32Array(11);
  const context = new Map([
    [0, (request.access << 16) | request.type],
    [4, request.major],
    [8, request.minor],
  ]);
  const get = (register: number): number => registers[register] ?? 0;
  for (let at = 0; at * 2 < words.length; at++) {
    const first = words[at * 2] ?? 0;
    const k = words[at * 2 + 1] ?? 0;
    const [to, from, offset] = [(first >> 8) & 15, (first >> 12) & 15, first >>> 16];
    switch (first & 0xff) {
      case 0x61:
        registers[to] = context.get(offset) ?? Number.NaN;
        break;
      case 0xbc:
        registers[to] = get(from);
        break;
      case 0xb4:
        registers[to] = k;
        break;
      case 0x54:
        registers[to] = (get(to) & k) >>> 0;
        break;
      case 0x74:
        registers[to] = get(to) >>> k;
        break;
      case 0x56:
        if (get(to) !== k) at += offset;
        break;
      case 0x95:
        return get(0);
      default:
        throw new Error(`unknown instruction ${first.toString(16)}`);
    }
  }
  throw new Error("the program does not end");
}

const TYPE = { block: 1, char: 2 } as const;

const allows = (rules: readonly DeviceRule[], request: Request): boolean =>
  rules.some(
    (rule) =>
      TYPE[rule.kind] === request.type &&
      rule.major === request.major &&
      (rule.minor === undefined || rule.minor === request.minor) &&
      (request.access & ~rule.access) === 0,
  );

test("a program allows what one of its rules allows, and nothing else", () => {
  // Few numbers, so that they meet.
  const number = fc.integer({ min: 0, max: 3 });
  const rule = fc.record({
    kind: fc.constantFrom("char" as const, "block" as const),
    major: number,
    minor: fc.option(number, { nil: undefined }),
    access: fc.integer({ min: 1, max: 7 }),
  });
  const request = fc.record({
    type: fc.integer({ min: 1, max: 2 }),
    access: fc.integer({ min: 1, max: 7 }),
    major: number,
    minor: number,
  });
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 5 }), fc.array(request), (rules, requests) => {
      const program = deviceProgram(rules);
      for (const each of requests) {
        expect(execute(program, each)).toBe(allows(rules, each) ? 1 : 0);
      }
    }),
  );
});

test("an empty policy allows nothing", () => {
  expect(execute(deviceProgram([]), { type: 2, access: 2, major: 1, minor: 3 })).toBe(0);
});
