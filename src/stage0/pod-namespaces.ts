// SPDX-License-Identifier: Apache-2.0
// The namespaces of a pod with --private-users that joins networks. Its root has power over its network, and a /sys,
// only where the network namespace belongs to its user namespace: so both are made together, before the networks.
import { closeSync, openSync, writeFileSync } from "node:fs";
import type { IdRange } from "../lib/id-range.ts";
import type { PodNamespaces } from "../network/setup.ts";
import { sealedMemfd } from "../sys/exec.ts";
import { stage1Program } from "../sys/stage1-program.ts";
import { Stage0Error } from "./errors.ts";

export async function makePodNamespaces({ first, count }: IdRange): Promise<PodNamespaces> {
  const program = sealedMemfd("stage1", stage1Program());
  // A process must be in a namespace for its map to be written.
  const holder = Bun.spawn([`/proc/${process.pid}/fd/${program}`, "namespaces"], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
    env: {},
  });
  try {
    const { done } = await holder.stdout.getReader().read();
    if (done) throw await refused(await holder.exited);
    const process = `/proc/${holder.pid}`;
    for (const map of ["uid_map", "gid_map"]) {
      writeFileSync(`${process}/${map}`, `0 ${first} ${count}`);
    }
    return {
      users: openSync(`${process}/ns/user`, "r"),
      netns: openSync(`${process}/ns/net`, "r"),
    };
  } finally {
    closeSync(program);
    holder.kill("SIGKILL");
    await holder.exited;
  }
}

async function refused(errno: number): Promise<Stage0Error> {
  const { SysError } = await import("../sys/libc.ts");
  return new Stage0Error("USER_NAMESPACE", "cannot make the pod's user and network namespaces", {
    cause: SysError.of(errno, "unshare"),
    remedy: "leave --private-users out, or raise the limits in /proc/sys/user/max_*_namespaces",
  });
}
