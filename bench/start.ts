// SPDX-License-Identifier: Apache-2.0
// Start: run a static `true` in a pod or container of its own, without network, and wait for its end. Cold
// is one run after a second of idleness, as on a machine that now and then starts something.
//
// crun 1.8.1 does not start where both cgroup hierarchies are mounted ("hybrid"), so the contenders run
// in views of /sys/fs/cgroup: as it is, v1 only, v2 only. Inside a view all are treated alike.
import { existsSync } from "node:fs";
import type { Report, Row } from "./report.ts";
import { backToBack, type Contender, interleave, median, must, type Sample } from "./sample.ts";
import { IMAGE, type World } from "./world.ts";

type View = "as it is" | "v1 only" | "v2 only";

const VIEWS: Readonly<Record<View, string>> = {
  "as it is": "true",
  "v1 only": "umount /sys/fs/cgroup/unified",
  "v2 only": "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup",
};

/** Starts this program again inside a view; it prints its samples as JSON. */
function inView(view: View, world: World): Record<string, { cold: Sample[]; hot: Sample[] }> {
  const script = `${VIEWS[view]} && exec "$@"`;
  const self = [process.execPath, "bench/start.ts", view, JSON.stringify(describe(world))];
  const output = must([
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    script,
    "sh",
    ...self,
  ]);
  return JSON.parse(output);
}

interface Description {
  readonly rkt: readonly string[];
  readonly bundle: string;
  readonly podman: readonly string[];
}

function describe(world: World): Description {
  return {
    rkt: world.rkt(),
    bundle: world.bundle,
    podman: [
      "podman",
      "--root",
      world.dir.join("podman"),
      "--runroot",
      world.dir.join("podman-run"),
      "--cgroup-manager=cgroupfs",
      "--runtime=runc",
      "--events-backend=file",
    ],
  };
}

let container = 0;

function contenders(view: View, world: Description): Contender[] {
  const oci = (runtime: string, bundle: string) => () => {
    container += 1;
    return [runtime, "run", "--bundle", bundle, `bench-${process.pid}-${container}`];
  };
  const rkt: Contender = {
    name: "rkt run",
    command: () => [...world.rkt, "run", "--net=none", IMAGE],
    after: () => void must([...world.rkt, "gc", "--grace-period=0s"]),
  };
  const mapped: Contender = {
    ...rkt,
    name: "rkt run --private-users",
    command: () => [...world.rkt, "run", "--net=none", "--private-users", IMAGE],
  };
  const crun: Contender = { name: "crun run", command: oci("crun", world.bundle) };
  const runc: Contender = { name: "runc run", command: oci("runc", world.bundle) };
  switch (view) {
    case "v1 only":
      return [rkt, crun, runc];
    case "v2 only":
      return [rkt, { name: "crun run", command: oci("crun", `${world.bundle}-plain`) }];
    default:
      return [
        rkt,
        mapped,
        // A machine without both hierarchies has this view only.
        ...(isHybrid() ? [] : [crun]),
        {
          name: "bwrap",
          command: () => [
            "bwrap",
            "--ro-bind",
            `${world.bundle}/rootfs`,
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--unshare-all",
            "/bin/true",
          ],
        },
        {
          name: "podman run --rm",
          command: () => [
            ...world.podman,
            "run",
            "--rm",
            "--network=none",
            "--ulimit=nofile=1024:1024",
            "--ulimit=nproc=1024:1024",
            "bench",
            "/bin/true",
          ],
        },
      ];
  }
}

function row(name: string, samples: readonly Sample[], note: string): Row {
  const values = samples.map((each) => each.milliseconds);
  return {
    name,
    value: median(values),
    unit: "ms",
    range: [Math.min(...values), Math.max(...values)],
    note,
  };
}

/** Both hierarchies are mounted, as systemd does it for a while. */
function isHybrid(): boolean {
  return existsSync("/sys/fs/cgroup/unified") && existsSync("/sys/fs/cgroup/pids");
}

export function measureStart(world: World): Report[] {
  const { podman } = describe(world);
  must([...podman, "import", "--quiet", archive(world), "bench"]);
  const hybrid = isHybrid();
  const views: View[] = hybrid ? ["as it is", "v1 only", "v2 only"] : ["as it is"];
  const found = new Map(views.map((view) => [view, inView(view, world)]));
  must([...podman, "rmi", "--force", "bench"]);

  const rows = (kind: "cold" | "hot"): Row[] =>
    views.flatMap((view) =>
      Object.entries(found.get(view) ?? {}).map(([name, samples]) => {
        const note = view === "v2 only" && name === "crun run" ? ", without device rules" : "";
        return row(`${name} (${view})`, samples[kind], `cgroups ${view}${note}`);
      }),
    );
  const cold = rows("cold");
  const value = (name: string): number =>
    cold.find((each) => each.name === name)?.value ?? Number.NaN;
  // Both in the same view, where there is one that crun starts in.
  const view = hybrid ? "v1 only" : "as it is";
  const ratio = value(`rkt run (${view})`) / value(`crun run (${view})`);
  const peak = found.get("as it is")?.["rkt run"]?.cold.map((each) => each.peakBytes / 1e6) ?? [];
  return [
    {
      title: "Start of a static `true`, no network, cold (one run after 1 s of idleness)",
      rows: cold,
      reference: "rkt run (as it is)",
      targets: [
        { text: `rkt run at or under 0.75 x crun run: ${ratio.toFixed(2)}`, met: ratio <= 0.75 },
      ],
    },
    {
      title: "The same, back to back",
      rows: rows("hot"),
      reference: "rkt run (as it is)",
    },
    {
      title: "Peak memory of `rkt run`",
      rows: [
        {
          name: "rkt run",
          value: median(peak),
          unit: "MB",
          range: [Math.min(...peak), Math.max(...peak)],
        },
      ],
    },
  ];
}

function archive(world: World): string {
  const path = world.dir.join("rootfs.tar");
  must(["tar", "-cf", path, "-C", `${world.bundle}/rootfs`, "."]);
  return path;
}

if (import.meta.main) {
  const [view, json] = process.argv.slice(2) as [View, string];
  const list = contenders(view, JSON.parse(json) as Description);
  const cold = interleave(list, 15, 1000);
  const hot = backToBack(list, 20);
  const result = list.map(({ name }) => [name, { cold: cold.get(name), hot: hot.get(name) }]);
  console.log(JSON.stringify(Object.fromEntries(result)));
}
