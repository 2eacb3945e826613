// SPDX-License-Identifier: Apache-2.0
// What a confined process could do with its power if hostile data took it over: nothing but wrong things where it works.
import { expect } from "bun:test";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { needs } from "../../tests/support/needs.ts";
import { tempDir } from "../../tests/support/temp.ts";
import { CAPABILITY, type ConfinedEnd, NOBODY, startConfined } from "./confined-child.ts";
import { copyMount } from "./mount-copy.ts";

const test = needs("root");
const PROBE = join(import.meta.dir, "../../tests/payload/confined-probe.ts");

interface Findings {
  readonly attempts: Readonly<Record<string, string>>;
  readonly root: readonly string[];
  readonly processes: readonly string[];
  readonly capabilities: readonly string[];
  readonly ids: readonly string[];
  readonly locks: readonly string[];
  readonly standard: readonly string[];
  readonly environment: readonly string[];
}

/** Runs the probe with a directory of its own, and gives what it printed. */
async function probe(
  directory: string,
  power: { readonly id: number; readonly capabilities: readonly bigint[] },
): Promise<Findings> {
  const victim = join(directory, "victim");
  writeFileSync(victim, "");
  const work = join(directory, "work");
  mkdirSync(work);
  chmodSync(work, 0o777);
  const output = join(directory, "output");
  const fds = [copyMount(work), openSync(victim, "r"), openSync(output, "w")] as const;
  let end: ConfinedEnd;
  try {
    const descriptors = [fds[0], fds[1]];
    const child = startConfined({
      ...power,
      words: [victim],
      descriptors,
      output: fds[2],
      script: PROBE,
    });
    end = await child.ended;
  } finally {
    fds.forEach(closeSync);
  }
  expect(end).toEqual({ status: 0, report: "" });
  expect(statSync(victim).uid).toBe(0);
  expect(statSync(join(work, "inside")).uid).toBe(power.id);
  return JSON.parse(readFileSync(output, "utf8"));
}

/** Whatever power it has. */
const NOWHERE = {
  "read a file": "ENOENT",
  "read a file of the caller": "ENOENT",
  "change a file's owner": "ENOENT",
  "make a file": "EROFS",
  "make a file in /usr/lib": "EROFS",
  "look above its directory": "ENOENT",
  "open a file above its directory": "ENOENT",
  "open a TCP socket": "EPERM",
  "open a unix socket": "EPERM",
  fork: "EPERM",
  "run a program": "EPERM",
  mount: "EPERM",
  "make namespaces": "EPERM",
};

test("a confined process has its directory, and nothing else of the machine", async () => {
  using t = tempDir("rkt-confined");
  const found = await probe(t.path, { id: 0, capabilities: Object.values(CAPABILITY) });
  expect(found.attempts).toMatchObject(NOWHERE);
  expect(found.attempts["change the mode of a library"]).toBe("EROFS");
  // Its own device, which it may make there, cannot be opened.
  expect(found.attempts["open a device in its directory"]).toBe("EACCES");
  expect(["ENOENT", "EROFS"]).toContain(found.attempts["change the kernel's settings"] ?? "");
  const checkout = join(import.meta.dir, "../..").split("/")[1] ?? "";
  const known = ["lib", "lib64", "proc", "usr", checkout];
  expect(found.root.filter((name) => !known.includes(name))).toEqual([]);
  expect(found.processes).toEqual(["1"]);
  expect(found.locks).toEqual(["1", "2"]);
  expect(found.environment).toEqual([]);
  // Not even /dev/null, whose mode it could change.
  expect(found.standard[0]).toStartWith("/memfd");
  const none = "0000000000000000";
  const given = Object.values(CAPABILITY)
    .reduce<bigint>((bits, number) => bits | (1n << number), 0n)
    .toString(16)
    .padStart(16, "0");
  expect(found.capabilities).toEqual([none, given, given, given, none]);
});

test("a confined process without capabilities is nobody, and cannot write to what it may read", async () => {
  using t = tempDir("rkt-confined");
  const found = await probe(t.path, { id: NOBODY, capabilities: [] });
  expect(found.attempts).toMatchObject(NOWHERE);
  expect(found.attempts["write to a file that it reads"]).toBe("EACCES");
  expect(found.attempts["open a device in its directory"]).toBe("EPERM");
  expect(found.ids).toEqual(
    Array(2)
      .fill(Array(4).fill(String(NOBODY)).join("\t"))
      .concat([""]),
  );
  expect(new Set(found.capabilities)).toEqual(new Set(["0000000000000000"]));
});

test("a confined process ends when it is killed, and takes its words as they are", async () => {
  const child = startConfined({
    words: ["decompress"],
    capabilities: [],
    id: NOBODY,
    descriptors: [],
  });
  child.kill();
  expect((await child.ended).status).not.toBe(0);
  const end = await startConfined({
    words: ["no such job"],
    capabilities: [],
    id: NOBODY,
    descriptors: [],
  }).ended;
  expect(JSON.parse(end.report)).toMatchObject({ failed: [{ kind: "bug" }] });
});
