// SPDX-License-Identifier: Apache-2.0
// What the kernel has counted of a process or of a cgroup, from the texts of its files. Pure.
// Sources: proc(5), Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1.

/** Clock ticks in /proc: USER_HZ, 100 on every architecture that we run on. */
const TICKS_PER_SECOND = 100;

export interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly threads: number;
  /** Of the process and of its children that it waited for. */
  readonly cpuSeconds: number;
  /** Seconds after boot. */
  readonly started: number;
}

/** The text of /proc/PID/stat; undefined for anything else. The name in it may hold any character. */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const end = text.lastIndexOf(")");
  const pid = Number.parseInt(text, 10);
  const fields = text.slice(end + 2).split(" ");
  const field = (number: number): number => Number(fields[number - 3]);
  // Field numbers are those of the manual page; the state is the third.
  const [parent, threads, started] = [field(4), field(20), field(22)];
  const ticks = field(14) + field(15) + field(16) + field(17);
  if (end < 0 || ![pid, parent, threads, started, ticks].every(Number.isSafeInteger)) {
    return undefined;
  }
  return {
    pid,
    parent,
    threads,
    cpuSeconds: ticks / TICKS_PER_SECOND,
    started: started / TICKS_PER_SECOND,
  };
}

/** The number behind a word at a line's beginning: `usage_usec 12`, `Pss:   12 kB`. */
export function numberOf(text: string | undefined, key: string): number | undefined {
  const line = text?.split("\n").find((each) => each.startsWith(key));
  const digits = /^[:\s]+(\d+)/.exec(line?.slice(key.length) ?? "")?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** A file of one number. Undefined for `max` and for what cgroup v1 writes when there is no limit. */
export function parseAmount(text: string | undefined): number | undefined {
  const number = text === undefined || !/^\d+\n?$/.test(text) ? undefined : Number(text);
  return number === undefined || number >= 2 ** 62 ? undefined : number;
}

export interface Transferred {
  readonly read: number;
  readonly written: number;
}

/** The text of /proc/PID/io: what reached, or came from, a disk. */
export function parseProcessIo(text: string | undefined): Transferred | undefined {
  const read = numberOf(text, "read_bytes");
  const written = numberOf(text, "write_bytes");
  return read === undefined || written === undefined ? undefined : { read, written };
}

/** The text of io.stat: a line for each disk. */
export function parseIoStat(text: string | undefined): Transferred | undefined {
  return text === undefined
    ? undefined
    : { read: sum(text, /\brbytes=(\d+)/g), written: sum(text, /\bwbytes=(\d+)/g) };
}

/** The text of blkio.throttle.io_service_bytes, cgroup v1: a line for each disk and kind. */
export function parseServiceBytes(text: string | undefined): Transferred | undefined {
  return text === undefined
    ? undefined
    : { read: sum(text, /:\d+ Read (\d+)/g), written: sum(text, /:\d+ Write (\d+)/g) };
}

const sum = (text: string, pattern: RegExp): number =>
  text.matchAll(pattern).reduce((total, match) => total + Number(match[1]), 0);

/** The text of /proc/PID/cgroup: controller → path; the one of cgroup v2 is "". */
export function parseCgroupPaths(text: string): ReadonlyMap<string, string> {
  const paths = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    for (const controller of controllers.split(",")) paths.set(controller, path);
  }
  return paths;
}

/** The text of /proc/self/mountinfo: where each controller of cgroup v1 is mounted as a whole. */
export function parseControllerMounts(mountinfo: string): ReadonlyMap<string, string> {
  const mounts = new Map<string, string>();
  for (const line of mountinfo.split("\n")) {
    const [mount = "", source = ""] = line.split(" - ");
    if (!source.startsWith("cgroup ")) continue;
    const [, , , root, point] = mount.split(" ");
    if (root !== "/" || point === undefined) continue;
    for (const option of source.split(" ")[2]?.split(",") ?? []) mounts.set(option, point);
  }
  return mounts;
}
