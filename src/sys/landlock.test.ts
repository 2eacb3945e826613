// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { join } from "node:path";

/** Each in a process of its own: there is no way back. */
function confined(allowed: string, attempts: readonly string[]): string {
  const script = `
    import { readFileSync, writeFileSync } from "node:fs";
    import { restrictToPaths } from ${JSON.stringify(join(import.meta.dir, "landlock.ts"))};
    import { dropCapabilities } from ${JSON.stringify(join(import.meta.dir, "privileges.ts"))};
    import { listenTcp4 } from ${JSON.stringify(join(import.meta.dir, "listen.ts"))};
    dropCapabilities();
    console.log(restrictToPaths({ execute: [], read: [${JSON.stringify(allowed)}, "/nowhere"] }));
    for (const attempt of [${attempts.map((text) => `() => { ${text} }`).join(", ")}]) {
      try { attempt(); console.log("done"); } catch (error) { console.log(error.code); }
    }`;
  const { stdout, stderr } = Bun.spawnSync([process.execPath, "-e", script]);
  return stdout.toString() + stderr.toString();
}

function isLinux(major: number, minor: number): boolean {
  const [first = 0, second = 0] = release().split(".").map(Number);
  return first > major || (first === major && second >= minor);
}

test("what is not named cannot be read, written, removed, signalled or listened on", () => {
  const folder = mkdtempSync(join(tmpdir(), "landlock-"));
  try {
    writeFileSync(join(folder, "file"), "");
    const file = JSON.stringify(join(folder, "file"));
    const output = confined(folder, [
      `readFileSync(${file})`,
      `writeFileSync(${file}, "")`,
      `writeFileSync(${JSON.stringify(join(folder, "new"))}, "")`,
      `readFileSync("/etc/passwd")`,
      `process.kill(${process.pid}, 0)`,
      "listenTcp4(0)",
    ]);
    const [known, ...answers] = output.trim().split("\n");
    if (known === "false") return console.error("skip: the kernel has no Landlock");
    const [read, write, make, other, signal, port] = answers;
    expect([read, write, make, other]).toEqual(["done", "EACCES", "EACCES", "EACCES"]);
    // Of later versions of the interface, which came with these kernels.
    expect(signal).toBe(isLinux(6, 12) ? "EPERM" : "done");
    expect(port).toBe(isLinux(6, 7) ? "EACCES" : "done");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
