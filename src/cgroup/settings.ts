// SPDX-License-Identifier: Apache-2.0
// Limits → the texts that the kernel's controllers take, for cgroup v1 and v2. Pure.
// Sources: Linux Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst, scheduler/sched-bwc.rst.

/** What one app, or the pod as a whole, may use. Absent: no limit. */
export interface Limits {
  /** Bytes, swap included. */
  readonly memory?: bigint | undefined;
  /** Bytes that are left to it when memory is short. */
  readonly memoryRequest?: bigint | undefined;
  /** Thousandths of one CPU. */
  readonly cpu?: bigint | undefined;
  /** Likewise: its part when the CPUs are busy. */
  readonly cpuRequest?: bigint | undefined;
  /** Weight among its siblings, as in cgroup v1: 2 to 262144, usually 1024. */
  readonly cpuShares?: number | undefined;
  /** Bytes per second, of each block device, reading and writing each. */
  readonly blockBandwidth?: bigint | undefined;
  /** Operations per second, likewise. */
  readonly blockIops?: bigint | undefined;
}

export type Controller = "memory" | "cpu" | "io";

/** The controller's name in cgroup v1. */
export const V1_NAME: Readonly<Record<Controller, string>> = {
  memory: "memory",
  cpu: "cpu",
  io: "blkio",
};

/** One text for one file of a cgroup. */
export interface Setting {
  readonly file: string;
  readonly text: string;
  /** The isolator that asks for it. */
  readonly isolator: string;
  /** A kernel without the file keeps the limit all the same. */
  readonly optional?: true;
}

const PERIOD_US = 100_000n;
const LONG_PERIOD_US = 1_000_000n;
/** The kernel refuses a share of less than a millisecond per period. */
const MIN_QUOTA_US = 1000n;
/** More CPUs than any machine has are no limit. */
const MAX_MILLICORES = 100_000_000n;

export function cpuBandwidth(millicores: bigint): { quota: bigint; period: bigint } | undefined {
  if (millicores > MAX_MILLICORES) return undefined;
  const quota = (millicores * PERIOD_US) / 1000n;
  if (quota >= MIN_QUOTA_US) return { quota, period: PERIOD_US };
  const long = (millicores * LONG_PERIOD_US) / 1000n;
  return { quota: long < MIN_QUOTA_US ? MIN_QUOTA_US : long, period: LONG_PERIOD_US };
}

/** The kernel's own relation: a weight of 100 is 1024 shares, both being the default. */
export function cpuWeight(shares: number): number {
  return Math.min(10_000, Math.max(1, Math.round((shares * 100) / 1024)));
}

/** A request for CPUs is a weight, one CPU being the default, unless a weight is given. */
function sharesOf(limits: Limits): { shares: number; isolator: string } | undefined {
  if (limits.cpuShares !== undefined) {
    return { shares: limits.cpuShares, isolator: "os/linux/cpu-shares" };
  }
  if (limits.cpuRequest === undefined) return undefined;
  const shares = (min(limits.cpuRequest, MAX_MILLICORES) * 1024n) / 1000n;
  return { shares: Math.min(262_144, Math.max(2, Number(shares))), isolator: "resource/cpu" };
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** An app's limits inside its pod's: never above them, which the CPU controller of v1 would refuse. */
export function boundBy(limits: Limits, pod: Limits): Limits {
  const bound = (key: "memory" | "cpu" | "blockBandwidth" | "blockIops") => {
    const [own, outer] = [limits[key], pod[key]];
    return own === undefined || outer === undefined ? own : min(own, outer);
  };
  return {
    ...limits,
    memory: bound("memory"),
    cpu: bound("cpu"),
    blockBandwidth: bound("blockBandwidth"),
    blockIops: bound("blockIops"),
  };
}

export function controllersOf(limits: Limits): readonly Controller[] {
  const found: Controller[] = [];
  if (limits.memory !== undefined || limits.memoryRequest !== undefined) found.push("memory");
  if (limits.cpu !== undefined || sharesOf(limits) !== undefined) found.push("cpu");
  if (limits.blockBandwidth !== undefined || limits.blockIops !== undefined) found.push("io");
  return found;
}

/** `devices`: "MAJOR:MINOR" of every disk. */
export function settingsV1(
  controller: Controller,
  limits: Limits,
  devices: readonly string[],
): Setting[] {
  const settings: Setting[] = [];
  if (controller === "memory") {
    const isolator = "resource/memory";
    if (limits.memory !== undefined) {
      const text = String(limits.memory);
      settings.push({ file: "memory.limit_in_bytes", text, isolator });
      // Memory and swap together. Absent where the kernel does not account for swap.
      settings.push({ file: "memory.memsw.limit_in_bytes", text, isolator, optional: true });
    }
    if (limits.memoryRequest !== undefined) {
      const text = String(limits.memoryRequest);
      settings.push({ file: "memory.soft_limit_in_bytes", text, isolator });
    }
  }
  if (controller === "cpu") {
    const bandwidth = limits.cpu === undefined ? undefined : cpuBandwidth(limits.cpu);
    if (bandwidth !== undefined) {
      const isolator = "resource/cpu";
      settings.push({ file: "cpu.cfs_period_us", text: String(bandwidth.period), isolator });
      settings.push({ file: "cpu.cfs_quota_us", text: String(bandwidth.quota), isolator });
    }
    const shares = sharesOf(limits);
    if (shares !== undefined) {
      const { isolator } = shares;
      settings.push({ file: "cpu.shares", text: String(shares.shares), isolator });
    }
  }
  if (controller === "io") {
    const throttle = (what: "bps" | "iops", amount: bigint | undefined, isolator: string) => {
      if (amount === undefined) return;
      for (const direction of ["read", "write"]) {
        for (const device of devices) {
          const file = `blkio.throttle.${direction}_${what}_device`;
          settings.push({ file, text: `${device} ${amount}`, isolator });
        }
      }
    };
    throttle("bps", limits.blockBandwidth, "resource/block-bandwidth");
    throttle("iops", limits.blockIops, "resource/block-iops");
  }
  return settings;
}

export function settingsV2(
  controller: Controller,
  limits: Limits,
  devices: readonly string[],
): Setting[] {
  const settings: Setting[] = [];
  if (controller === "memory") {
    const isolator = "resource/memory";
    if (limits.memory !== undefined) {
      settings.push({ file: "memory.max", text: String(limits.memory), isolator });
      settings.push({ file: "memory.swap.max", text: "0", isolator, optional: true });
    }
    if (limits.memoryRequest !== undefined) {
      settings.push({ file: "memory.low", text: String(limits.memoryRequest), isolator });
    }
  }
  if (controller === "cpu") {
    const bandwidth = limits.cpu === undefined ? undefined : cpuBandwidth(limits.cpu);
    if (bandwidth !== undefined) {
      const text = `${bandwidth.quota} ${bandwidth.period}`;
      settings.push({ file: "cpu.max", text, isolator: "resource/cpu" });
    }
    const shares = sharesOf(limits);
    if (shares !== undefined) {
      const text = String(cpuWeight(shares.shares));
      settings.push({ file: "cpu.weight", text, isolator: shares.isolator });
    }
  }
  if (controller === "io") {
    const throttle = (what: "bps" | "iops", amount: bigint | undefined, isolator: string) => {
      if (amount === undefined) return;
      for (const device of devices) {
        const text = `${device} r${what}=${amount} w${what}=${amount}`;
        settings.push({ file: "io.max", text, isolator });
      }
    };
    throttle("bps", limits.blockBandwidth, "resource/block-bandwidth");
    throttle("iops", limits.blockIops, "resource/block-iops");
  }
  return settings;
}
