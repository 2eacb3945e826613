// SPDX-License-Identifier: Apache-2.0
// The directories of one benchmark run and the image that all contenders run.
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { HOST_LABELS } from "../tests/support/aci.ts";
import { signFile, trustSigner } from "../tests/support/signed.ts";
import { type TempDir, tempDir } from "../tests/support/temp.ts";
import { must } from "./sample.ts";

export interface World extends Disposable {
  readonly dir: TempDir;
  /** rkt's command line with the data directory of this world. */
  rkt(...args: readonly string[]): readonly string[];
  /** Another data directory than the world's own. */
  rktAt(data: string, ...args: readonly string[]): readonly string[];
  /** An OCI bundle around the same root file system as the image's; running /bin/true. */
  readonly bundle: string;
}

export const IMAGE = "bench.example/payload";

export function manifest(name: string, exec: string): string {
  return JSON.stringify({
    acKind: "ImageManifest",
    acVersion: "0.8.11",
    name,
    labels: HOST_LABELS,
    app: { exec: [exec], user: "0", group: "0" },
  });
}

/** Makes the world and fetches the image into it. */
export async function newWorld(): Promise<World> {
  const dir = tempDir("rkt-bench");
  const layout = dir.join("layout");
  const rootfs = join(layout, "rootfs");
  for (const name of ["bin", "proc", "sys", "dev"])
    mkdirSync(join(rootfs, name), { recursive: true });
  copyFileSync("build/bench/payload", join(rootfs, "bin/true"));
  symlinkSync("true", join(rootfs, "bin/pause"));
  writeFileSync(join(layout, "manifest"), manifest(IMAGE, "/bin/true"));
  must([
    "tar",
    "--owner=0",
    "--group=0",
    "-cf",
    dir.join("payload.aci"),
    "-C",
    layout,
    "manifest",
    "rootfs",
  ]);

  const bundle = dir.join("bundle");
  mkdirSync(bundle);
  must(["cp", "-a", rootfs, join(bundle, "rootfs")]);
  must(["crun", "spec"], { cwd: bundle });
  const spec = JSON.parse(must(["cat", join(bundle, "config.json")]));
  spec.process.terminal = false;
  spec.process.args = ["/bin/true"];
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  // Without its device rules: crun on cgroup v2 loads them as a BPF program, which needs CAP_SYS_RESOURCE.
  mkdirSync(`${bundle}-plain`);
  symlinkSync("../bundle/rootfs", join(`${bundle}-plain`, "rootfs"));
  delete spec.linux.resources;
  writeFileSync(join(`${bundle}-plain`, "config.json"), JSON.stringify(spec));

  const rktAt = (data: string, ...args: readonly string[]): readonly string[] => [
    resolve(process.env["RKT_EXECUTABLE"] ?? "dist/rkt"),
    `--dir=${data}`,
    `--local-config=${dir.join("etc")}`,
    `--system-config=${dir.join("lib")}`,
    ...args,
  ];
  const rkt = (...args: readonly string[]): readonly string[] => rktAt(dir.join("data"), ...args);
  await trustSigner(dir.join("etc"));
  await signFile(dir.join("payload.aci"));
  must(rkt("fetch", dir.join("payload.aci")));
  return {
    dir,
    bundle,
    rkt,
    rktAt,
    [Symbol.dispose]() {
      must(rkt("gc", "--grace-period=0s", "--expire-prepared=0s"));
      dir[Symbol.dispose]();
    },
  };
}
