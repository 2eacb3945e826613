// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createExportLayout, removeDeadExports } from "./export-layout.ts";

test("an export's directory lives as long as its export, and gc takes those that are dead", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "rkt-export-"));
  try {
    mkdirSync(join(dataDir, "tmp/export-dead00/rootfs"), { recursive: true });
    writeFileSync(join(dataDir, "tmp/export-dead00/manifest"), "{}");
    mkdirSync(join(dataDir, "tmp/export-kept00/rootfs/mounted"), { recursive: true });
    mkdirSync(join(dataDir, "tmp/somebody-else"));
    {
      using layout = createExportLayout(dataDir);
      writeFileSync(join(layout.path, "manifest"), "{}");
      removeDeadExports(dataDir);
      expect(existsSync(layout.rootfs)).toBe(true);
      expect(existsSync(join(layout.path, "manifest"))).toBe(true);
    }
    // What is not empty may be somebody's mount: it is left alone.
    expect(readdirSync(join(dataDir, "tmp")).sort()).toEqual(["export-kept00", "somebody-else"]);
  } finally {
    rmSync(dataDir, { recursive: true });
  }
});

test("there is nothing to collect in a data directory without a tmp", () => {
  expect(() => removeDeadExports("/none")).not.toThrow();
});
