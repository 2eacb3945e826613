// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failure } from "../store/test-images.ts";
import { checkSpace, HashWriter, hashExisting, newHashes } from "./hash-writer.ts";
import { hashesFor, rawFile } from "./raw-file.ts";

const hex = (name: string, data: Uint8Array) => createHash(name).update(data).digest("hex");

describe("a file written with its hashes", () => {
  test("holds the chunks in order, the hashes are over all of it", async () => {
    const dir = mkdtempSync(join(tmpdir(), "rkt-hash-"));
    const path = join(dir, "f");
    const fd = openSync(path, "w+");
    try {
      const chunks = Array.from({ length: 300 }, (_, i) => randomBytes(i * 200));
      const whole = Buffer.concat(chunks);
      const first = new HashWriter({ fd, path }, newHashes([]));
      for (const chunk of chunks.slice(0, 100)) await first.write(chunk);
      await first.finish();
      const hashes = newHashes(["sha256", "sha512", "sha256"]);
      hashExisting(fd, first.position, hashes);
      const rest = new HashWriter({ fd, path }, hashes, first.position);
      for (const chunk of chunks.slice(100)) await rest.write(chunk);
      await rest.finish();
      expect(readFileSync(path).equals(whole)).toBe(true);
      const raw = rawFile({ fd, path }, hashes);
      expect(raw.size).toBe(whole.length);
      for (const name of ["sha256", "sha384", "sha512"] as const) {
        expect((await raw.hash(name)).copy().digest("hex")).toBe(hex(name, whole));
        expect((await raw.hash(name)).copy().digest("hex")).toBe(hex(name, whole));
      }
    } finally {
      closeSync(fd);
      rmSync(dir, { recursive: true });
    }
  });

  test("says that the disk is full, from the write as well as before", async () => {
    const fd = openSync("/dev/full", "w");
    try {
      const error = await failure(async () => {
        const writer = new HashWriter({ fd, path: "/dev/full" }, newHashes([]));
        await writer.write(Buffer.alloc(10));
        await writer.finish();
      });
      expect(error.message).toBe('not enough space in "/dev"');
      expect(error.code).toBe("DISK_FULL");
    } finally {
      closeSync(fd);
    }
    expect((await failure(() => checkSpace("/tmp", 1e18))).code).toBe("DISK_FULL");
  });

  test("keeps up sha512 for an archive that is its own image ID, not for a compressed one", () => {
    expect(hashesFor(Buffer.from("manifest"), ["sha256"])).toEqual(["sha256", "sha512"]);
    expect(hashesFor(Bun.gzipSync("x"), ["sha256"])).toEqual(["sha256"]);
  });
});
