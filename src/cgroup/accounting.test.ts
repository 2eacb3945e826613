// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  numberOf,
  parseAmount,
  parseCgroupPaths,
  parseControllerMounts,
  parseIoStat,
  parseProcessIo,
  parseProcessStat,
  parseServiceBytes,
} from "./accounting.ts";

const STAT =
  "42 (a) R (b\n c) S 7 1 1 0 -1 4194560 1 2 3 4 150 50 25 75 20 0 3 0 12345 999 111 18446744073709551615\n";

test("a process's name cannot confuse the fields behind it", () => {
  expect(parseProcessStat(STAT)).toEqual({
    pid: 42,
    parent: 7,
    threads: 3,
    cpuSeconds: 3,
    started: 123.45,
  });
  expect(parseProcessStat(readFileSync("/proc/self/stat", "utf8"))?.pid).toBe(process.pid);
  for (const text of ["", "42", "42 (a", "42 (a) S", "x (a) S 1"]) {
    expect(parseProcessStat(text)).toBeUndefined();
  }
});

test("a number is found by the whole word before it", () => {
  expect(numberOf("user_usec 5\nusage_usec 12\n", "usage_usec")).toBe(12);
  expect(numberOf("Pss_Dirty: 1 kB\nPss:      301 kB\n", "Pss:")).toBe(301);
  expect(numberOf("inactive_file_x 1\ninactive_file 2", "inactive_file ")).toBeUndefined();
  expect(numberOf(undefined, "x")).toBeUndefined();
});

test("no limit is no number", () => {
  expect(parseAmount("4096\n")).toBe(4096);
  expect(parseAmount("max\n")).toBeUndefined();
  expect(parseAmount("9223372036854771712\n")).toBeUndefined();
  expect(parseAmount(undefined)).toBeUndefined();
});

test("what was read and written is summed over the disks", () => {
  const v2 = "8:0 rbytes=10 wbytes=1 rios=1 wios=1 dbytes=0 dios=0\n7:1 rbytes=5 wbytes=2 rios=0\n";
  expect(parseIoStat(v2)).toEqual({ read: 15, written: 3 });
  expect(parseIoStat("")).toEqual({ read: 0, written: 0 });
  const v1 =
    "8:0 Read 10\n8:0 Write 1\n8:0 Sync 9\n8:0 Total 11\n7:1 Read 5\n7:1 Write 2\nTotal 20\n";
  expect(parseServiceBytes(v1)).toEqual({ read: 15, written: 3 });
  const io = "rchar: 9\nwchar: 9\nread_bytes: 3\nwrite_bytes: 4\ncancelled_write_bytes: 1\n";
  expect(parseProcessIo(io)).toEqual({ read: 3, written: 4 });
  expect(parseProcessIo(undefined)).toBeUndefined();
});

test("a process's cgroups go by controller", () => {
  const paths = parseCgroupPaths("9:cpu,cpuacct:/a:b\n1:name=systemd:/x\n0::/pod\n");
  expect(paths.get("cpuacct")).toBe("/a:b");
  expect(paths.get("")).toBe("/pod");
  const mounts = parseControllerMounts(
    "31 30 0:26 / /c/cpu rw - cgroup cgroup rw,cpu,cpuacct\n32 30 0:27 /part /c/m rw - cgroup cgroup rw,memory\n",
  );
  expect(mounts.get("cpuacct")).toBe("/c/cpu");
  expect(mounts.has("memory")).toBe(false);
});
