// SPDX-License-Identifier: Apache-2.0
// What a confined process tries that would be somebody's attack: one line of JSON with the outcome of each attempt.
import {
  chmodSync,
  chownSync,
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";
import { openBelow } from "../../src/sys/at.ts";
import { O_RDONLY } from "../../src/sys/constants.ts";
import { check, cstr, libc, libcFiles, libcNetwork, ptr } from "../../src/sys/libc.ts";
import { makeNodeAt } from "../../src/sys/tree.ts";

const [victim = ""] = process.argv.slice(2);
const DIRECTORY = 4;
const CLONE = process.arch === "arm64" ? 220 : 56;
const BIND = 4096;

const attempts: Readonly<Record<string, () => unknown>> = {
  "read a file": () => readFileSync("/etc/passwd"),
  "read a file of the caller": () => readFileSync(victim),
  "write to a file that it reads": () => writeFileSync("/proc/self/fd/5", "x"),
  "change a file's owner": () => chownSync(victim, 1, 1),
  "make a file": () => writeFileSync("/new", ""),
  "make a file in /usr/lib": () => writeFileSync("/usr/lib/new", ""),
  "change the mode of a library": () => chmodSync("/usr/lib", 0o777),
  "change the kernel's settings": () => writeFileSync("/proc/sys/kernel/core_pattern", "|/x"),
  "look above its directory": () =>
    openBelow(DIRECTORY, "../../../../../../etc/passwd", O_RDONLY, { resolve: "in-root" }),
  "open a file above its directory": () =>
    check(libc.openat(DIRECTORY, ptr(cstr("../../../../../../etc/passwd")), 0, 0), "openat"),
  "open a device in its directory": () => {
    makeNodeAt(DIRECTORY, "zero", { kind: "char", mode: 0o666, major: 1, minor: 5 });
    return openBelow(DIRECTORY, "zero", O_RDONLY, { resolve: "in-root" });
  },
  "open a TCP socket": () => check(libcNetwork().socket(2, 1, 0), "socket"),
  "open a unix socket": () => check(libcNetwork().socket(1, 1, 0), "socket"),
  fork: () => check(libc.syscall(CLONE, 17, 0, 0, 0, 0, 0), "clone"),
  "run a program": () => Bun.spawnSync(["/proc/self/exe"]),
  mount: () =>
    check(libcFiles().mount(ptr(cstr("/usr")), ptr(cstr("/usr")), null, BIND, null), "mount"),
  "make namespaces": () => check(libcFiles().unshare(0x10000000), "unshare"),
};

function outcome(attempt: () => unknown): string {
  try {
    attempt();
    return "done";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

const status = readFileSync("/proc/self/status", "utf8");
const field = (name: string): string =>
  new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, "m").exec(status)?.[1] ?? "";
const inside = openSync("/proc/self/fd/4/inside", "w");
closeSync(inside);
console.log(
  JSON.stringify({
    attempts: Object.fromEntries(
      Object.entries(attempts).map(([name, attempt]) => [name, outcome(attempt)]),
    ),
    root: readdirSync("/").sort(),
    processes: readdirSync("/proc").filter((name) => /^\d+$/.test(name)),
    capabilities: ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(field),
    ids: [field("Uid"), field("Gid"), field("Groups")],
    locks: [field("NoNewPrivs"), field("Seccomp")],
    standard: [0, 1, 2].map((fd) => readlinkSync(`/proc/self/fd/${fd}`).replace(/:.*/, "")),
    environment: Object.keys(process.env),
  }),
);
