// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { constants } from "node:os";
import { parseSignal } from "./signal.ts";

test("parseSignal() knows the machine's names, with and without SIG, and numbers", () => {
  for (const [name, number] of Object.entries(constants.signals)) {
    expect([name, parseSignal(name)]).toEqual([name, number]);
    expect(parseSignal(name.slice(3).toLowerCase())).toBe(number);
    expect(parseSignal(String(number))).toBe(number);
  }
});

test("parseSignal() counts real-time signals as systemd does in an image", () => {
  expect(parseSignal("SIGRTMIN+3")).toBe(37);
  expect(parseSignal("RTMAX-1")).toBe(63);
  expect(parseSignal("SIGRTMIN")).toBe(34);
});

test.each([
  "",
  "0",
  "65",
  "-9",
  "SIG",
  "SIGNAL",
  "TERM+1",
  "SIGRTMIN-1",
  "SIGRTMAX+1",
  "SIGRTMIN+99",
  "9\n",
  "1e1",
])("parseSignal() does not take %j", (text) => {
  expect(parseSignal(text)).toBeUndefined();
});
