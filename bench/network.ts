// SPDX-License-Identifier: Apache-2.0
// Networks: start and end of a pod on one, 50 pods four at a time, throughput and latency on each way, beside podman's
// bridge and Docker's, the Go plugins behind our CNI client, and two bare network namespaces. All of it in a network
// namespace of its own (scripts/sandbox), where nothing else is; Docker's daemon is in another, for its firewall.
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { signFile } from "../tests/support/signed.ts";
import { type Docker, startDocker } from "./docker.ts";
import type { Report, Row, Target } from "./report.ts";
import { backToBack, type Contender, interleave, median, must, type Sample } from "./sample.ts";
import { IMAGE, manifest, type World } from "./world.ts";

const NET_IMAGE = "bench.example/network";
const PAYLOAD = "build/bench/network-payload";
const PODS = 50;
const ROUNDS = 3;
const SECONDS = 2;
const TRIPS = 20_000;
const OURS = "rkt run --net=default";
const PODMAN = "podman run, bridge";
const DOCKER = "docker run, bridge";
/** Of podman's bridge: one start and end, and all of many. */
const ONE_WITHIN = 0.05;
const MANY_WITHIN = 0.21;

interface Description {
  readonly rkt: readonly string[];
  readonly podman: readonly string[] | undefined;
  readonly docker: readonly string[] | undefined;
  readonly plugins: boolean;
}

interface Found {
  readonly start: Readonly<Record<string, readonly Sample[]>>;
  /** Milliseconds of all 50. */
  readonly many: Readonly<Record<string, readonly number[]>>;
  readonly throughput: Readonly<Record<string, readonly number[]>>;
  readonly latency: Readonly<Record<string, readonly number[]>>;
}

function contenders({ rkt, podman, docker, plugins }: Description): Contender[] {
  const after = () => void must([...rkt, "gc", "--grace-period=0s"]);
  const run = (net: string): Contender => ({
    name: `rkt run --net=${net}`,
    command: () => [...rkt, "run", `--net=${net}`, IMAGE],
    after,
  });
  const limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
  return [
    run("default"),
    run("none"),
    ...(plugins ? [{ ...run("go"), name: "rkt run, Go plugins" }] : []),
    ...(podman === undefined
      ? []
      : [
          {
            name: PODMAN,
            command: () => [
              ...podman,
              "run",
              "--rm",
              "--network=podman",
              ...limits,
              "bench",
              "/bin/true",
            ],
          },
        ]),
    ...(docker === undefined
      ? []
      : [{ name: DOCKER, command: () => [...docker, "run", "--rm", "bench", "/bin/true"] }]),
  ];
}

/** How long 50 of them take, four at a time. */
async function fifty({ command, after }: Contender): Promise<number> {
  let left = PODS;
  const start = performance.now();
  const worker = async () => {
    while (left-- > 0) {
      const run = Bun.spawn([...command()], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
      if ((await run.exited) !== 0) throw new Error(await run.stderr.text());
    }
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  const time = performance.now() - start;
  after?.();
  return time;
}

/** A server, and how its client reaches it. */
interface Way extends Disposable {
  readonly client: (words: readonly string[]) => readonly string[];
  readonly address: string;
  readonly port: number;
}

async function serverUp(command: readonly string[]): Promise<import("bun").Subprocess> {
  const server = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  for await (const chunk of server.stdout) {
    if (Buffer.from(chunk).includes("up")) break;
  }
  return server;
}

let pods = 0;

async function podServer({ rkt }: Description, flags: readonly string[] = []) {
  const file = `/tmp/rkt-bench-uuid-${process.pid}-${pods++}`;
  const words = [
    "run",
    ...flags,
    `--uuid-file-save=${file}`,
    NET_IMAGE,
    "--exec=/bin/net",
    "--",
    "serve",
    "5000",
  ];
  const server = await serverUp([...rkt, ...words]);
  const uuid = must(["cat", file]);
  rmSync(file);
  const status = must([...rkt, "status", uuid]);
  const address = /ip4=([\d.]+)/.exec(status)?.[1] ?? "";
  const stop = () => {
    server.kill("SIGTERM");
    must([...rkt, "stop", "--force", uuid]);
  };
  return { address, stop };
}

const inPod =
  ({ rkt }: Description) =>
  (words: readonly string[]): readonly string[] => [
    ...rkt,
    "run",
    "--net=default",
    NET_IMAGE,
    "--exec=/bin/net",
    "--",
    ...words,
  ];

const here = (words: readonly string[]): readonly string[] => [PAYLOAD, ...words];

async function bareNamespaces(): Promise<Way> {
  const other = Bun.spawn(["unshare", "--net", "sleep", "infinity"]);
  const own = must(["readlink", "/proc/self/ns/net"]);
  while (must(["readlink", `/proc/${other.pid}/ns/net`]) === own) await Bun.sleep(5);
  const inOther = ["nsenter", `--net=/proc/${other.pid}/ns/net`];
  const pair = `link add bare0 type veth peer name bare1 netns ${other.pid}`;
  must(["ip", ...pair.split(" ")]);
  must(["ip", "addr", "add", "10.98.1.1/24", "dev", "bare0"]);
  must(["ip", "link", "set", "bare0", "up"]);
  must([...inOther, "ip", "addr", "add", "10.98.1.2/24", "dev", "bare1"]);
  must([...inOther, "ip", "link", "set", "bare1", "up"]);
  const server = await serverUp([...inOther, PAYLOAD, "serve", "5000"]);
  return {
    client: here,
    address: "10.98.1.2",
    port: 5000,
    [Symbol.dispose]() {
      server.kill();
      other.kill();
    },
  };
}

const ways = (world: Description): Readonly<Record<string, () => Promise<Way>>> => ({
  "two bare namespaces": bareNamespaces,
  async "pod to pod"() {
    const { address, stop } = await podServer(world);
    return { client: inPod(world), address, port: 5000, [Symbol.dispose]: stop };
  },
  async "pod to host"() {
    const server = await serverUp(here(["serve", "5001"]));
    // The network's gateway is an address of the host.
    const address = "172.16.28.1";
    return { client: inPod(world), address, port: 5001, [Symbol.dispose]: () => server.kill() };
  },
  async "host to pod"() {
    const { address, stop } = await podServer(world);
    return { client: here, address, port: 5000, [Symbol.dispose]: stop };
  },
  async "by a forwarded port"() {
    const { stop } = await podServer(world, ["--port=net:5002"]);
    // Not 127.0.0.1, whose client is masqueraded as well.
    return { client: here, address: "172.16.28.1", port: 5002, [Symbol.dispose]: stop };
  },
});

async function measureWays(world: Description): Promise<Pick<Found, "throughput" | "latency">> {
  const throughput: Record<string, number[]> = {};
  const latency: Record<string, number[]> = {};
  for (const [name, make] of Object.entries(ways(world))) {
    using way = await make();
    const target = [way.address, String(way.port)];
    const ask = (words: readonly string[]) =>
      Number(must(way.client(words)).trim().split("\n").at(-1));
    const rounds = Array.from({ length: ROUNDS });
    throughput[name] = rounds.map(() => ask(["throughput", ...target, String(SECONDS)]));
    latency[name] = rounds.map(() => ask(["latency", ...target, String(TRIPS)]));
  }
  return { throughput, latency };
}

function row(name: string, values: readonly number[], unit: Row["unit"]): Row {
  return { name, value: median(values), unit, range: [Math.min(...values), Math.max(...values)] };
}

/** The payload's image, and a network by the Go plugins that does what `default` does. */
async function prepare(world: World, plugins: boolean): Promise<void> {
  must(["gcc", "-O2", "-Wall", "-static", "-s", "-o", PAYLOAD, "bench/network-payload.c"]);
  const layout = world.dir.join("network");
  mkdirSync(`${layout}/rootfs/bin`, { recursive: true });
  must(["cp", PAYLOAD, `${layout}/rootfs/bin/net`]);
  const image = JSON.parse(manifest(NET_IMAGE, "/bin/net"));
  image.app.ports = [
    { name: "net", protocol: "tcp", port: 5000, count: 1, socketActivated: false },
  ];
  writeFileSync(`${layout}/manifest`, JSON.stringify(image));
  const file = world.dir.join("network.aci");
  must(["tar", "--owner=0", "--group=0", "-cf", file, "-C", layout, "manifest", "rootfs"]);
  await signFile(file);
  must(world.rkt("fetch", file));
  if (!plugins) return;
  mkdirSync(world.dir.join("etc/net.d"), { recursive: true });
  const ipam = {
    type: "host-local",
    subnet: "10.97.0.0/16",
    dataDir: world.dir.join("ipam"),
    routes: [{ dst: "0.0.0.0/0" }],
  };
  const config = {
    cniVersion: "1.0.0",
    name: "go",
    plugins: [{ type: "ptp", ipMasq: true, ipam }],
  };
  writeFileSync(world.dir.join("etc/net.d/10-go.conflist"), JSON.stringify(config));
}

/** Throws where podman, or what its bridge needs, is not there. */
function podmanOf(world: World): readonly string[] {
  const podman = [
    "podman",
    ...["--root", world.dir.join("podman-net"), "--runroot", world.dir.join("podman-net-run")],
    ...["--cgroup-manager=cgroupfs", "--runtime=runc", "--events-backend=file"],
  ];
  const archive = world.dir.join("rootfs-net.tar");
  must(["tar", "-cf", archive, "-C", `${world.bundle}/rootfs`, "."]);
  must([...podman, "import", "--quiet", archive, "bench"]);
  const limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
  const words = ["run", "--rm", "--network=podman", ...limits, "bench", "/bin/true"];
  must(["scripts/sandbox", ...podman, ...words]);
  return podman;
}

/** How much of podman's time ours is. */
function target(what: string, rows: readonly Row[], within: number): Target[] {
  const of = (name: string) => rows.find((each) => each.name === name)?.value;
  const [ours, podman] = [of(OURS), of(PODMAN)];
  if (ours === undefined || podman === undefined) return [];
  const ratio = ours / podman;
  return [
    {
      text: `${what} ≤ ${within} x podman's bridge: ${ratio.toFixed(3)}`,
      met: ratio <= within,
    },
  ];
}

export async function measureNetwork(world: World): Promise<Report[]> {
  const plugins = existsSync("/usr/lib/cni/ptp");
  await prepare(world, plugins);
  const missing: Record<string, string> = {};
  const attempt = async <T>(name: string, make: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await make();
    } catch (error) {
      missing[name] = error instanceof Error ? error.message : String(error);
      return undefined;
    }
  };
  const podman = await attempt(PODMAN, () => podmanOf(world));
  const docker: Docker | undefined = await attempt(DOCKER, () => startDocker(world));
  const description: Description = {
    rkt: world.rkt(),
    podman,
    docker: docker?.command,
    plugins,
  };
  let found: Found;
  try {
    found = JSON.parse(
      must(["scripts/sandbox", process.execPath, "bench/network.ts", JSON.stringify(description)]),
    );
  } finally {
    await docker?.stop();
    // Other measurements are of a machine that configures no network.
    rmSync(world.dir.join("etc/net.d"), { recursive: true, force: true });
  }
  return reportsOf(found, missing);
}

function reportsOf(found: Found, missing: Readonly<Record<string, string>>): Report[] {
  const times = (samples: readonly Sample[]) => samples.map((each) => each.milliseconds);
  const rows = (values: Readonly<Record<string, readonly number[]>>, unit: Row["unit"]) =>
    Object.entries(values).map(([name, list]) => row(name, list, unit));
  const start = Object.entries(found.start).map(([name, list]) => row(name, times(list), "ms"));
  const many = rows(found.many, "ms");
  return [
    {
      title: "Start and end of a static `true` on a network (one run after 1 s of idleness)",
      rows: start,
      reference: OURS,
      missing,
      targets: target("default", start, ONE_WITHIN),
    },
    {
      title: `${PODS} of them, four at a time`,
      rows: many,
      reference: OURS,
      missing,
      targets: target(`${PODS} on default`, many, MANY_WITHIN),
    },
    {
      title: "Throughput of one TCP connection",
      rows: rows(found.throughput, "MB/s"),
      reference: "two bare namespaces",
    },
    {
      title: "Round trip of 64 bytes by TCP",
      rows: rows(found.latency, "µs"),
      reference: "two bare namespaces",
    },
  ];
}

if (import.meta.main) {
  const description = JSON.parse(process.argv[2] ?? "") as Description;
  const list = contenders(description);
  // For figures that only show that all of it works.
  const quick = process.env["RKT_BENCH_QUICK"] === "1";
  const start = quick ? backToBack(list, 2) : interleave(list, 15, 1000);
  const many: Record<string, number[]> = {};
  for (const contender of list) {
    many[contender.name] = [];
    for (let i = 0; i < (quick ? 1 : ROUNDS); i++) {
      many[contender.name]?.push(await fifty(contender));
    }
  }
  const found: Found = {
    start: Object.fromEntries(start),
    many,
    ...(await measureWays(description)),
  };
  must([...description.rkt, "gc", "--grace-period=0s"]);
  console.log(JSON.stringify(found));
}
