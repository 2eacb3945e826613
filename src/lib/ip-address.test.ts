// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { isIP } from "node:net";
import fc from "fast-check";
import { isIpAddress } from "./ip-address.ts";

const agrees = (text: string) => expect(isIpAddress(text)).toBe(isIP(text) !== 0);

test("isIpAddress agrees with node:net on addresses", () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), agrees));
});

test("isIpAddress agrees with node:net on what is nearly one", () => {
  const part = fc.constantFrom("1", "255", "256", "01", "ffff", "g", ":", "::", ".", "1.2.3.4", "");
  fc.assert(
    fc.property(
      fc.array(part, { maxLength: 9 }).map((parts) => parts.join("")),
      agrees,
    ),
    {
      numRuns: 2000,
    },
  );
  for (const text of ["", "::", ":", ":::", "1::2::3", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::"]) {
    agrees(text);
  }
});
