// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import * as pgp from "openpgp";
import { ArmorError, isArmored, readArmor } from "./armor.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function armored(data: Uint8Array, checksum: boolean): Uint8Array {
  const label = pgp.enums.armor.signature;
  return bytes(pgp.armor(label, data, undefined, undefined, undefined, checksum) as string);
}

const GOOD = new TextDecoder().decode(armored(bytes("hello armor"), true));

describe("readArmor", () => {
  test("reads what the library writes, with and without a checksum", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        fc.boolean(),
        (data, checksum) => {
          expect(readArmor(armored(data, checksum), "refuse")).toEqual([
            { label: "PGP SIGNATURE", data },
          ]);
        },
      ),
    );
  });

  test("reads several blocks, CRLF, headers and trailing white space", () => {
    const text = GOOD.replace("\n\n", "\nVersion: GnuPG v1\nComment: für alle\n\n").replaceAll(
      "\n",
      " \r\n",
    );
    const blocks = readArmor(bytes(text + text), "refuse");
    expect(blocks.map(({ data }) => new TextDecoder().decode(data))).toEqual([
      "hello armor",
      "hello armor",
    ]);
  });

  test("ignores or refuses text outside of the blocks", () => {
    const text = bytes(`pub  rsa4096 a key\n\n${GOOD}the end\n`);
    expect(readArmor(text, "ignore")).toHaveLength(1);
    expect(() => readArmor(text, "refuse")).toThrow("line 1 stands outside of the armor");
  });

  test.each([
    [
      "no end",
      GOOD.replace(/-----END[\s\S]*/, ""),
      'the line "-----END PGP SIGNATURE-----" is missing',
    ],
    ["another end", GOOD.replace("END PGP SIG", "END PGP FIG"), "is missing"],
    [
      "no blank line",
      GOOD.replace("\n\n", "\n"),
      "the empty line after the armor headers is missing",
    ],
    ["a strange header", GOOD.replace("\n\n", "\nfoo\n\n"), "line 2 is not an armor header"],
    ["not base64", GOOD.replace("aGVs", "aG!s"), "line 3 is not base64"],
    ["a wrong checksum", GOOD.replace(/\n=..../, "\n=AAAA"), "the checksum does not match"],
    ["changed data", GOOD.replace("aGVs", "aGVt"), "the checksum does not match"],
    ["missing padding", GOOD.replace(/=\n=..../, ""), "the base64 text is not complete"],
    ["nothing", "", "there is no complete armor header line"],
  ])("refuses armor with %s", (_, text, message) => {
    expect(() => readArmor(bytes(text), "refuse")).toThrow(message);
    expect(() => readArmor(bytes(text), "refuse")).toThrow(ArmorError);
  });

  test("does not read stray bits in the last base64 digit", () => {
    const text = new TextDecoder().decode(armored(bytes("a"), false)).replace("YQ==", "YR==");
    expect(() => readArmor(bytes(text), "refuse")).toThrow("the base64 text is not complete");
  });

  test("bounds the number of blocks", () => {
    expect(() => readArmor(bytes(GOOD.repeat(65)), "refuse")).toThrow("more than 64 blocks");
  });
});

test("isArmored tells armor from packets", () => {
  expect(isArmored(bytes(GOOD))).toBe(true);
  expect(isArmored(bytes(`a key:\n${GOOD}`))).toBe(true);
  expect(isArmored(new Uint8Array([0x88, 1]))).toBe(false);
  expect(isArmored(bytes("hello"))).toBe(false);
  expect(isArmored(new Uint8Array())).toBe(false);
});
