// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { capabilityForRoot } from "./file-capability.ts";

const HOST = Buffer.from("010000020004000000000000000000000000000000".slice(0, 40), "hex");
const POD = Buffer.from(`0100000300040000000000000000000000000000${"00000a00"}`, "hex");

test("capabilities of a file go to another root and back", () => {
  expect(Buffer.from(capabilityForRoot(HOST, 0xa0000))).toEqual(POD);
  expect(Buffer.from(capabilityForRoot(POD, 0))).toEqual(HOST);
  expect(Buffer.from(capabilityForRoot(HOST, 0))).toEqual(HOST);
});

test("what is no capability of a revision that has a root stays as it is", () => {
  expect(capabilityForRoot(new Uint8Array(12), 5)).toEqual(new Uint8Array(12));
});
