// SPDX-License-Identifier: Apache-2.0
// What a test needs of the machine. A test that cannot run here is skipped with its reason on a line
// `skip: REASON`; scripts/test.ts counts it and fails in CI when it is not one that CI expects.
import { test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";

const WAYS = {
  root: () => process.getuid?.() === 0 || "not running as root",
  overlay: () =>
    /\toverlay$/m.test(readFileSync("/proc/filesystems", "utf8")) || "the kernel has no overlay",
  /** scripts/sandbox made this process's mount and network namespaces. */
  sandbox: () => process.env["RKT_SANDBOX"] === "1" || "not started by scripts/sandbox",
  cniPlugins: () =>
    existsSync("/usr/lib/cni/bridge") ||
    "no CNI plugins (containernetworking-plugins) in /usr/lib/cni",
  busybox: () => existsSync("/bin/busybox") || "/bin/busybox is missing",
  /** The test payload: `make -C stage1 payload`. */
  inspect: () =>
    existsSync(join(import.meta.dir, "../../build/inspect")) || "build/inspect is missing",
  firewall: () =>
    Bun.which("nft") !== null ||
    Bun.which("iptables") !== null ||
    "neither nft nor iptables is there",
  nft: () => Bun.which("nft") !== null || "nft is missing",
  iptables: () => Bun.which("iptables") !== null || "iptables is missing",
  skopeo: () => Bun.which("skopeo") !== null || "skopeo is missing",
  debian: () =>
    existsSync("/usr/share/base-passwd/passwd.master") ||
    "this is no Debian system to take files of",
  umoci: () => Bun.which("umoci") !== null || "umoci is missing",
  strace: () => Bun.which("strace") !== null || "strace is missing",
  registry: () =>
    (Bun.which("docker-registry") !== null && Bun.which("skopeo") !== null) ||
    "docker-registry or skopeo is missing",
  cgroup2: () =>
    /- cgroup2 /.test(readFileSync("/proc/self/mountinfo", "utf8")) || "cgroup2 is not mounted",
  controllersV1: () =>
    /- cgroup \S+ .*\bmemory\b/.test(readFileSync("/proc/self/mountinfo", "utf8")) ||
    "the memory controller is not on cgroup v1",
  "user namespaces": () => existsSync("/proc/self/ns/user") || "the kernel has no user namespaces",
  /** For the temporary directory's file system, and for an overlay on it: Linux 5.19. */
  "idmapped mounts": () => {
    const [major = 0, minor = 0] = release().split(".").map(Number);
    return major > 5 || (major === 5 && minor >= 19) || "the kernel is older than 5.19";
  },
} as const;

export type Need = keyof typeof WAYS;

const memo = new Map<Need, true | string>();
const printed = new Set<string>();

/** `test`, or `test.skip` with the reason printed when the machine lacks something. */
export function needs(...list: readonly Need[]): typeof test {
  for (const need of list) {
    let answer = memo.get(need);
    if (answer === undefined) {
      answer = WAYS[need]();
      memo.set(need, answer);
    }
    if (answer === true) continue;
    if (!printed.has(answer)) console.error(`skip: ${answer}`);
    printed.add(answer);
    return test.skip as typeof test;
  }
  return test;
}
