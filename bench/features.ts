// SPDX-License-Identifier: Apache-2.0
// What isolation costs: the start of a pod with each feature on, beside crun with the same; ten apps in a pod; and a
// program that enters. crun 1.8.1 does not start where both cgroup hierarchies are mounted, so that all run in a view
// without cgroup2 there.
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Report, Row } from "./report.ts";
import { type Contender, interleave, median, must, type Sample } from "./sample.ts";
import { IMAGE, type World } from "./world.ts";

type Topic = "features" | "enter";

interface Description {
  readonly rkt: readonly string[];
  readonly bundle: string;
  readonly dir: string;
  readonly podman: readonly string[];
}

const ROUNDS = 15;

const FEATURES = [
  { name: "plain", flags: [], app: [] },
  { name: "memory limit", flags: [], app: ["--memory=64Mi"] },
  { name: "two volumes", flags: ["volumes"], app: [] },
  { name: "user namespace", flags: ["--private-users"], app: [] },
  { name: "all of them", flags: ["volumes", "--private-users"], app: ["--memory=64Mi"] },
] as const;

type Feature = (typeof FEATURES)[number];

function rktStart({ rkt, dir }: Description, { flags, app }: Feature): readonly string[] {
  const volumes = ["a", "b"].flatMap((name) => [
    `--volume=${name},kind=host,source=${join(dir, `volume-${name}`)}`,
    `--mount=volume=${name},target=/volume-${name}`,
  ]);
  const words = flags.flatMap((flag) => (flag === "volumes" ? volumes : [flag]));
  return [...rkt, "run", "--net=none", ...words, IMAGE, ...app];
}

/** A bundle whose config.json has what rkt's flags ask for; its path. */
function crunBundle({ bundle, dir }: Description, feature: Feature): string {
  const path = join(dir, `bundle-${feature.name.replaceAll(" ", "-")}`);
  const flags: readonly string[] = feature.flags;
  mkdirSync(path);
  symlinkSync(join(bundle, "rootfs"), join(path, "rootfs"));
  const spec = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8"));
  // rkt filters system calls by default.
  spec.linux.seccomp = {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{ names: ["kexec_load", "init_module", "bpf", "reboot"], action: "SCMP_ACT_ERRNO" }],
  };
  if (feature.app.length > 0) spec.linux.resources.memory = { limit: 64 * 1024 * 1024 };
  if (flags.includes("volumes")) {
    for (const name of ["a", "b"]) {
      spec.mounts.push({
        destination: `/volume-${name}`,
        source: join(dir, `volume-${name}`),
        type: "bind",
        options: ["rbind"],
      });
    }
  }
  if (flags.includes("--private-users")) {
    const ids = [{ containerID: 0, hostID: 1_000_000, size: 65_536 }];
    spec.linux.namespaces.push({ type: "user" });
    Object.assign(spec.linux, { uidMappings: ids, gidMappings: ids });
  }
  writeFileSync(join(path, "config.json"), JSON.stringify(spec));
  return path;
}

/** crun cannot do everything on every machine; what it cannot is left out, and said. */
function runs(command: readonly string[]): boolean {
  const run = Bun.spawnSync([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  if (run.exitCode !== 0) console.error(`bench: ${command.join(" ")}: ${run.stderr.toString()}`);
  return run.exitCode === 0;
}

let container = 0;

function starts(world: Description): Contender[] {
  for (const name of ["a", "b"]) mkdirSync(join(world.dir, `volume-${name}`));
  const collect = () => void must([...world.rkt, "gc", "--grace-period=0s"]);
  const list: Contender[] = [];
  for (const feature of FEATURES) {
    list.push({
      name: `rkt run, ${feature.name}`,
      command: () => rktStart(world, feature),
      after: collect,
    });
    const bundle = crunBundle(world, feature);
    const command = () => {
      container += 1;
      return ["crun", "run", "--bundle", bundle, `features-${process.pid}-${container}`];
    };
    if (runs(command())) list.push({ name: `crun run, ${feature.name}`, command });
  }
  const ten = Array.from({ length: 10 }, (_, i) => [IMAGE, `--name=app${i}`]).flat();
  list.push({
    name: "rkt run, ten apps",
    command: () => [...world.rkt, "run", "--net=none", ...ten],
    after: collect,
  });
  return list;
}

function enters(world: Description): Contender[] {
  const file = join(world.dir, "entered");
  const id = `entered-${process.pid}`;
  const pause = ["--exec=/bin/pause"];
  const pod = Bun.spawn(
    [...world.rkt, "run", "--net=none", `--uuid-file-save=${file}`, IMAGE, ...pause],
    { stdin: "ignore", stdout: "ignore", stderr: "ignore" },
  );
  while (!existsSync(file)) Bun.sleepSync(10);
  const uuid = readFileSync(file, "utf8").trim();
  const list: Contender[] = [
    {
      name: "rkt enter",
      command: () => [...world.rkt, "enter", uuid, "/bin/true"],
      after: () => {
        must([...world.rkt, "stop", "--force", uuid]);
        pod.unref();
      },
    },
  ];
  const bundle = join(world.dir, "bundle-pause");
  mkdirSync(bundle);
  symlinkSync(join(world.bundle, "rootfs"), join(bundle, "rootfs"));
  const spec = JSON.parse(readFileSync(join(world.bundle, "config.json"), "utf8"));
  spec.process.args = ["/bin/pause"];
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  if (runs(["sh", "-c", `crun run --detach --bundle ${bundle} ${id} > /dev/null 2>&1`])) {
    list.push({
      name: "crun exec",
      command: () => ["crun", "exec", id, "/bin/true"],
      after: () => void must(["crun", "delete", "--force", id]),
    });
  }
  const limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
  const options = ["--detach", "--network=none", `--name=${id}`, ...limits];
  if (runs([...world.podman, "run", ...options, "bench", "/bin/pause"])) {
    list.push({
      name: "podman exec",
      command: () => [...world.podman, "exec", id, "/bin/true"],
      after: () => void must([...world.podman, "rm", "--force", "--time=0", id]),
    });
  }
  return list;
}

function rows(topic: Topic, world: World): Row[] {
  const dir = world.dir.join(topic);
  mkdirSync(dir);
  const podman = [
    ...["podman", "--root", world.dir.join("podman"), "--runroot", world.dir.join("podman-run")],
    ...["--cgroup-manager=cgroupfs", "--runtime=runc", "--events-backend=file"],
  ];
  const description: Description = { rkt: world.rkt(), bundle: world.bundle, dir, podman };
  if (topic === "enter") {
    const archive = join(dir, "rootfs.tar");
    must(["tar", "-cf", archive, "-C", `${world.bundle}/rootfs`, "."]);
    must([...podman, "import", "--quiet", archive, "bench"]);
  }
  const hybrid = existsSync("/sys/fs/cgroup/unified") && existsSync("/sys/fs/cgroup/pids");
  const view = `${hybrid ? "umount /sys/fs/cgroup/unified" : "true"} && exec "$@"`;
  const self = [process.execPath, "bench/features.ts", topic, JSON.stringify(description)];
  const unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", view, "sh"];
  const found: Record<string, Sample[]> = JSON.parse(must([...unshare, ...self]));
  if (topic === "enter") must([...podman, "rmi", "--force", "bench"]);
  return Object.entries(found).map(([name, samples]) => {
    const values = samples.map((each) => each.milliseconds);
    const range = [Math.min(...values), Math.max(...values)] as const;
    return { name, value: median(values), unit: "ms", range };
  });
}

export function measureFeatures(world: World): Report[] {
  const title = "Start with each feature on, and of ten apps in a pod";
  return [{ title, rows: rows("features", world), reference: "rkt run, plain" }];
}

export function measureEnter(world: World): Report[] {
  const title = "A static `true` beside a running app";
  return [{ title, rows: rows("enter", world), reference: "rkt enter" }];
}

if (import.meta.main) {
  const [topic, json] = process.argv.slice(2) as [Topic, string];
  const world = JSON.parse(json) as Description;
  const rounds = Number(process.env["BENCH_ROUNDS"] ?? ROUNDS);
  const list = topic === "features" ? starts(world) : enters(world);
  console.log(JSON.stringify(Object.fromEntries(interleave(list, rounds, 0))));
}
