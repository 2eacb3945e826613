// SPDX-License-Identifier: Apache-2.0
// Pods of three hosts that a switch connects: each host is a network and a mount namespace with an rkt of its own. Who
// reaches whom, and as whom, in the ways in which networks go from host to host; a link is cut, and heals.
import { expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "firewall", "cniPlugins");
const IMAGE = "example.com/busybox";
const HOSTS = [1, 2, 3] as const;
const CGI = '#!/bin/sh\necho\necho "$(cat /etc/hostname) sees $REMOTE_ADDR"\n';

function command(...argv: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...argv]);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return stdout.toString();
}

/** What is a host's own besides its network: the addresses and ports that it gave away. */
const OWN = `set -e
ip link set lo up
mount -t tmpfs tmpfs /var/lib/cni
mount -t tmpfs tmpfs /run/rkt
mkdir /var/lib/cni/networks /run/rkt/ports
exec sleep infinity`;

/** A process that keeps namespaces; all is ready in them when it has become `sleep`. */
async function keeper(...words: readonly string[]): Promise<import("bun").Subprocess> {
  const child = Bun.spawn(["unshare", "--propagation", "private", "--net", "--mount", ...words], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  while (child.exitCode === null) {
    if (readFileSync(`/proc/${child.pid}/comm`, "utf8") === "sleep\n") return child;
    await Bun.sleep(5);
  }
  throw new Error(`${words.join(" ")}: ended with ${child.exitCode}`);
}

interface Host {
  readonly number: number;
  readonly rkt: Rkt;
  readonly address: string;
  /** Runs a command of the host. */
  run(...argv: readonly string[]): string;
}

interface World extends AsyncDisposable {
  readonly hosts: readonly Host[];
  /** Takes a host's cable out of the switch, or puts it in. */
  link(host: Host, state: "up" | "down"): void;
}

/** Three hosts, 10.90.0.1 to .3, on a switch that is in a namespace too. */
async function newWorld(): Promise<World> {
  const center = await keeper("sleep", "infinity");
  const inCenter = ["nsenter", `--net=/proc/${center.pid}/ns/net`, "ip", "link"];
  command(...inCenter, "add", "switch", "type", "bridge");
  command(...inCenter, "set", "switch", "up");
  const keepers = [center];
  const hosts: Host[] = [];
  for (const number of HOSTS) {
    const child = await keeper("sh", "-c", OWN);
    keepers.push(child);
    const { pid } = child;
    const peer = ["type", "veth", "peer", "name", "uplink", "netns", `${pid}`];
    command(...inCenter, "add", `port${number}`, ...peer);
    command(...inCenter, "set", `port${number}`, "master", "switch", "up");
    const under = ["nsenter", `--net=/proc/${pid}/ns/net`, `--mount=/proc/${pid}/ns/mnt`];
    const address = `10.90.0.${number}`;
    const run = (...argv: readonly string[]): string => command(...under, ...argv);
    run("ip", "addr", "add", `${address}/24`, "dev", "uplink");
    run("ip", "link", "set", "uplink", "up");
    hosts.push({ number, rkt: newRkt({ under }), address, run });
  }
  return {
    hosts,
    link: (host, state) => void command(...inCenter, "set", `port${host.number}`, state),
    async [Symbol.asyncDispose]() {
      for (const { rkt } of hosts) await rkt[Symbol.asyncDispose]();
      for (const child of keepers) child.kill();
    },
  };
}

interface Way {
  /** What the host's administrator does: configuration of a network, routes. */
  prepare(host: Host): object | undefined;
  readonly net: string;
  /** Where others find the pod's server, and whom it sees when the pod of `client` asks. */
  server(pod: Pod): string;
  seen(client: Pod): string;
}

const own = (pod: Pod): string => pod.address;
const direct = { net: "lan", server: (pod: Pod) => `${pod.address}:8000`, seen: own };

/** Addresses of one network for all hosts: each has its part. */
const part = ({ number, rkt }: Host) => ({
  type: "host-local",
  ranges: [
    [
      {
        subnet: "10.92.0.0/24",
        rangeStart: `10.92.0.${number}0`,
        rangeEnd: `10.92.0.${number}9`,
      },
    ],
  ],
  dataDir: `${rkt.work}/ipam`,
});

const WAYS: Readonly<Record<string, Way>> = {
  "bridges, and routes between their subnets": {
    ...direct,
    prepare(host) {
      for (const other of HOSTS.filter((number) => number !== host.number)) {
        host.run("ip", "route", "add", `10.91.${other}.0/24`, "via", `10.90.0.${other}`);
      }
      const ipam = {
        type: "host-local",
        ranges: [[{ subnet: `10.91.${host.number}.0/24` }]],
        routes: [{ dst: "0.0.0.0/0" }],
        dataDir: `${host.rkt.work}/ipam`,
      };
      return { type: "bridge", bridge: "lan0", isGateway: true, ipam };
    },
  },
  "one bridged network": {
    ...direct,
    prepare(host) {
      host.run("ip", "link", "add", "lan0", "type", "bridge");
      host.run("ip", "link", "set", "uplink", "master", "lan0");
      host.run("ip", "link", "set", "lan0", "up");
      return { type: "bridge", bridge: "lan0", ipam: part(host) };
    },
  },
  macvlan: {
    ...direct,
    prepare: (host) => ({ type: "macvlan", master: "uplink", ipam: part(host) }),
  },
  "the built-in network, by forwarded ports": {
    net: "default",
    prepare: () => undefined,
    server: ({ host }) => `${host.address}:8080`,
    seen: ({ host }) => host.address,
  },
};

interface Pod {
  readonly host: Host;
  readonly name: string;
  readonly uuid: string;
  readonly address: string;
}

async function startPod(host: Host, way: Way): Promise<Pod & AsyncDisposable> {
  const { rkt } = host;
  const network = way.prepare(host);
  if (network !== undefined) {
    mkdirSync(`${rkt.local}/net.d`, { recursive: true });
    const text = JSON.stringify({ cniVersion: "1.0.0", name: way.net, ...network });
    writeFileSync(`${rkt.local}/net.d/10-lan.conf`, text);
  }
  const file = `${rkt.work}/uuid`;
  const name = `pod${host.number}`;
  const script = `busybox hostname > /etc/hostname; busybox ip -4 -o addr show dev eth0; echo up
    exec busybox httpd -f -p 0.0.0.0:8000 -h /www`;
  const port = network === undefined ? ["--port=web:8080"] : [];
  const words = ["run", `--net=${way.net}`, `--hostname=${name}`, `--uuid-file-save=${file}`];
  const running = rkt.spawn([...words, ...port, IMAGE, "--", "-c", script]);
  await running.until("up\n");
  const address = /inet ([0-9.]+)/.exec(running.stdout())?.[1] ?? "";
  return Object.assign(running, { host, name, address, uuid: readFileSync(file, "utf8") });
}

const busybox = (pod: Pod, ...words: readonly string[]): string[] => [
  "enter",
  pod.uuid,
  "/bin/busybox",
  ...words,
];

/** What the pod `client` hears from the server of another, or "". Plain nc: a static wget looks for libraries. */
async function ask(way: Way, client: Pod, server: Pod): Promise<string> {
  const words = busybox(client, "nc", "-w", "1", ...way.server(server).split(":"));
  const stdin = "GET /cgi-bin/who HTTP/1.0\r\n\r\n";
  const { stdout } = await client.host.rkt.run(words, { stdin });
  return stdout.split("\n").find((line) => line.includes(" sees ")) ?? "";
}

/** Asks until the answer comes; the test's own timeout ends it. */
async function expectReached(way: Way, client: Pod, server: Pod): Promise<void> {
  const wanted = `${server.name} sees ${way.seen(client)}`;
  let heard = await ask(way, client, server);
  while (heard === "") heard = await ask(way, client, server);
  expect(`${client.name}: ${heard}`).toBe(`${client.name}: ${wanted}`);
}

type Pair = readonly [client: Pod, server: Pod];
const pairs = (pods: readonly Pod[]): Pair[] =>
  pods.flatMap((a) => pods.filter((b) => b !== a).map((b): Pair => [a, b]));

/** Links, rules, leases and forwarded ports of a host, without what stays by design: a plugin's bridge. */
function state({ run }: Host): string {
  const links = run("ip", "-br", "link").split("\n");
  return [
    ...links.filter((line) => !/^(lo|lan0|uplink)\b/.test(line)),
    run("sh", "-c", "nft list table ip rkt 2>/dev/null || true"),
    run("find", "/var/lib/cni/networks", "/run/rkt/ports", "-type", "f", "-not", "-name", "last_*"),
  ].join("\n");
}

for (const [name, way] of Object.entries(WAYS)) {
  test(`pods of three hosts reach each other, and again after a cut: ${name}`, async () => {
    await using world = await newWorld();
    const { hosts } = world;
    for (const { rkt } of hosts) {
      const files = [
        { name: "www", type: "dir" },
        { name: "www/cgi-bin", type: "dir" },
        { name: "www/cgi-bin/who", content: CGI, mode: 0o755 },
      ] as const;
      const ports = [{ name: "web", protocol: "tcp", port: 8000 }];
      writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ files, app: { ports } }));
      await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
    }
    const before = hosts.map(state);
    {
      await using one = await startPod(hosts[0] as Host, way);
      await using two = await startPod(hosts[1] as Host, way);
      await using three = await startPod(hosts[2] as Host, way);
      const all = pairs([one, two, three]);
      await Promise.all(all.map((pair) => expectReached(way, ...pair)));

      world.link(two.host, "down");
      const answers = await Promise.all(all.map(([a, b]) => ask(way, a, b)));
      const heard = all.filter((_, index) => answers[index] !== "");
      expect(heard.map(([a, b]) => `${a.name} ${b.name}`)).toEqual(["pod1 pod3", "pod3 pod1"]);

      world.link(two.host, "up");
      await Promise.all(all.map((pair) => expectReached(way, ...pair)));
    }
    for (const { rkt } of hosts) await rkt.ok(["gc", "--grace-period=0s"]);
    expect(hosts.map(state)).toEqual(before);
  });
}

test("a connection between pods of two hosts outlives a cut, and nothing of it is lost", async () => {
  await using world = await newWorld();
  const way = WAYS["bridges, and routes between their subnets"] as Way;
  const [here, there] = world.hosts as [Host, Host];
  for (const { rkt } of [here, there]) {
    writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ files: [{ name: "www", type: "dir" }] }));
    await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
  }
  await using one = await startPod(here, way);
  await using two = await startPod(there, way);
  await using server = here.rkt.spawn(busybox(one, "nc", "-l", "-p", "9000"));
  // It listens once its socket is in the table: port 9000 in hexadecimal, state 0A.
  const table = () => here.rkt.ok(busybox(one, "cat", "/proc/net/tcp", "/proc/net/tcp6"));
  while (!/:2328 \S+ 0A/.test(await table())) await Bun.sleep(10);
  await using client = there.rkt.spawn(busybox(two, "nc", one.address, "9000"));
  const send = (line: string) => {
    client.stdin.write(line);
    client.stdin.flush();
  };
  send("before\n");
  await server.until("before\n");
  world.link(there, "down");
  send("during\n");
  expect(await ask(way, one, two)).toBe("");
  expect(server.stdout()).toBe("before\n");
  world.link(there, "up");
  await server.until("during\n");
  send("after\n");
  await server.until("after\n");
  expect(server.stdout()).toBe("before\nduring\nafter\n");
});
