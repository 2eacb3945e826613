// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { idOnHost } from "./id-on-host.ts";

test("an owner of an image stays within the ids of the pod", () => {
  expect(idOnHost(0, 131_072, "x")).toBe(131_072);
  expect(idOnHost(65_535, 131_072, "x")).toBe(196_607);
  // Without a user namespace an id is itself.
  expect(idOnHost(70_000, 0, "x")).toBe(70_000);
  expect(() => idOnHost(65_536, 131_072, 'volume "data"')).toThrow(
    `cannot give volume "data" its owner: the image says 65536, and a pod's ids end at 65535`,
  );
});
