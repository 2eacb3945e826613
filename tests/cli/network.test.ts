// SPDX-License-Identifier: Apache-2.0
// The networks that need no plugin: addresses, the way out, ports from everywhere, names, what list and status show,
// and that nothing is left. The host is the sandbox's network namespace; another one is the world outside.
import { afterAll, beforeAll, expect } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { networkState } from "../support/network-state.ts";
import { newRkt, type Rkt, type Running } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "firewall");
const IMAGE = "example.com/busybox";
const OUTSIDE = "10.99.0.2";
const HOST = "10.99.0.1";
const LEASES = "/var/lib/cni/networks";

function command(...argv: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...argv]);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return stdout.toString();
}

/** A name for the world outside, kept alive by a process in it. */
let outside: import("bun").Subprocess | undefined;

const inOutside = (...argv: readonly string[]): string[] => [
  "nsenter",
  `--net=/proc/${outside?.pid}/ns/net`,
  ...argv,
];

beforeAll(async () => {
  if (test === (await import("bun:test")).test.skip) return;
  outside = Bun.spawn(["unshare", "--net", "sleep", "infinity"]);
  const own = command("readlink", "/proc/self/ns/net");
  while (command("readlink", `/proc/${outside.pid}/ns/net`) === own) await Bun.sleep(5);
  command(
    "ip",
    "link",
    "add",
    "world",
    "type",
    "veth",
    "peer",
    "name",
    "up0",
    "netns",
    `${outside.pid}`,
  );
  command("ip", "addr", "add", `${HOST}/24`, "dev", "world");
  command("ip", "link", "set", "world", "up");
  command(...inOutside("ip", "addr", "add", `${OUTSIDE}/24`, "dev", "up0"));
  command(...inOutside("ip", "link", "set", "up0", "up"));
  command(...inOutside("ip", "link", "set", "lo", "up"));
});

afterAll(() => {
  outside?.kill();
});

async function ready(rkt: Rkt): Promise<void> {
  const ports = [
    { name: "web", protocol: "tcp", port: 8000, count: 1, socketActivated: false },
    { name: "dns", protocol: "udp", port: 5353, count: 1, socketActivated: false },
    { name: "late", protocol: "tcp", port: 8001, count: 1, socketActivated: true },
  ];
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ app: { ports } }));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

interface Pod extends Running {
  readonly uuid: string;
  readonly address: string;
}

let pods = 0;
const WAIT = "while :; do busybox sleep 0.1; done";

/** Runs a script behind which the pod stays; tells the pod's address. */
async function pod(rkt: Rkt, flags: readonly string[], script = WAIT): Promise<Pod> {
  const file = `${rkt.work}/uuid-${pods++}`;
  const show = "busybox ip -4 -o addr show dev eth0 | busybox sed 's/.*inet /address /'; echo up";
  const words = [
    "run",
    ...flags,
    `--uuid-file-save=${file}`,
    IMAGE,
    "--",
    "-c",
    `${show}; ${script}`,
  ];
  const running = rkt.spawn(words);
  await running.until("up\n");
  const address = /address ([0-9.]+)/.exec(running.stdout())?.[1] ?? "";
  return Object.assign(running, { uuid: readFileSync(file, "utf8"), address });
}

const ECHO = (port: number): string =>
  `while :; do echo hello-from-pod | busybox nc -l -p ${port}; done`;

async function eventually(ask: () => Promise<string>, wanted: string | RegExp): Promise<void> {
  const end = performance.now() + 20_000;
  for (;;) {
    const answer = await ask();
    if (typeof wanted === "string" ? answer.includes(wanted) : wanted.test(answer)) return;
    if (performance.now() > end) expect(answer).toMatch(wanted);
    await Bun.sleep(50);
  }
}

/** What a client gets from an address; "" when nobody answers. */
async function get(prefix: readonly string[], address: string, port: number): Promise<string> {
  const client = Bun.spawn([...prefix, "busybox", "nc", "-w", "3", address, `${port}`], {
    stdin: "ignore",
    stderr: "ignore",
  });
  return new Response(client.stdout).text();
}

test("pods on the default network reach each other, the host and the outside, which sees the host", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const before = networkState();
  {
    await using a = await pod(rkt, [], ECHO(8000));
    await using b = await pod(rkt, ["--net=default"]);
    expect(a.address).toMatch(/^172\.16\.28\.\d+$/);
    expect(b.address).toMatch(/^172\.16\.28\.\d+$/);
    expect(b.address).not.toBe(a.address);
    await eventually(() => get([], a.address, 8000), "hello-from-pod");
    const ask = async (script: string) => {
      const result = await rkt.run(["run", IMAGE, "--", "-c", script]);
      return result.stdout + result.stderr;
    };
    await eventually(() => ask(`busybox nc -w 3 ${a.address} 8000 </dev/null`), "hello-from-pod");
    const seen = `Bun.listen({ hostname: "${OUTSIDE}", port: 7000, socket: { data() {}, open(s) { s.end("seen " + s.remoteAddress + "\\n"); } } }); console.log("up")`;
    const server = Bun.spawn(inOutside(process.execPath, "-e", seen), { stdout: "pipe" });
    await eventually(() => ask(`busybox nc -w 3 ${OUTSIDE} 7000 </dev/null`), `seen ${HOST}\n`);
    server.kill();
    expect(await ask("busybox ip route")).toMatch(
      /default via 172\.16\.28\.1 dev eth0.*\n172\.16\.28\.0\/24 via 172\.16\.28\.1 dev eth0.*\n172\.16\.28\.1 dev eth0/,
    );
  }
  await rkt.ok(["gc", "--grace-period=0s"]);
  expect(networkState()).toBe(before);
});

test("list and status show addresses, and the pod has a file about them", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using a = await pod(rkt, ["--net=default-restricted,default"]);
  const list = await rkt.ok(["list", "--full", "--no-legend"]);
  expect(list).toMatch(/default-restricted:ip4=172\.31\.0\.\d+, default:ip4=172\.16\.28\.\d+/);
  expect(await rkt.ok(["status", a.uuid])).toMatch(/^networks=default-restricted:ip4=172\.31/m);
  const info = JSON.parse(readFileSync(`${rkt.data}/pods/run/${a.uuid}/net-info.json`, "utf8"));
  expect(info[1]).toMatchObject({
    netName: "default",
    netConf: "net/99-default.conf",
    ifName: "eth1",
    mask: "255.255.255.0",
    args: "",
  });
  const entered = await rkt.ok(["enter", a.uuid, "/bin/busybox", "ip", "-4", "-o", "addr"]);
  expect(entered).toContain(info[0].ip);
  expect(entered).toContain(info[1].ip);
});

test("an address can be asked for, is not given twice, and is free again after rm", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const flag = "--net=default:IP=172.16.28.77";
  {
    await using a = await pod(rkt, [flag]);
    expect(a.address).toBe("172.16.28.77");
    await rkt.fails(["run", flag, IMAGE, "--", "-c", "true"], "the address 172.16.28.77 is taken");
    await rkt.fails(["run", "--net=default:IP=10.0.0.1", IMAGE], "its addresses are 172.16.28.2");
    const twice = "--net=default:IP=172.16.28.78;IPP=x";
    await rkt.fails(["run", twice, IMAGE], "provided with invalid arguments: IPP=x");
    a.kill();
    await a.finished;
    await rkt.ok(["rm", a.uuid]);
  }
  await using again = await pod(rkt, [flag]);
  expect(again.address).toBe("172.16.28.77");
});

test("a port is reached from outside, from the host by 127.0.0.1, and by the pod itself", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const before = networkState();
  for (const net of ["default", "default-restricted"]) {
    await using a = await pod(rkt, [`--net=${net}`, "--port=web:8080"], ECHO(8000));
    await eventually(() => get([], "127.0.0.1", 8080), "hello-from-pod");
    await eventually(() => get(inOutside(), HOST, 8080), "hello-from-pod");
    await eventually(() => get([], HOST, 8080), "hello-from-pod");
    const itself = ["nsenter", `--net=/proc/${a.pid}/ns/net`];
    if (net === "default") await eventually(() => get(itself, HOST, 8080), "hello-from-pod");
    a.kill();
    await a.finished;
    await rkt.ok(["gc", "--grace-period=0s"]);
  }
  expect(networkState()).toBe(before);
});

test("a port of one address and of udp leads to the pod, and of another address does not", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using a = await pod(rkt, ["--port=web:127.0.0.1:8080", "--port=dns:5300"], ECHO(8000));
  await eventually(() => get([], "127.0.0.1", 8080), "hello-from-pod");
  expect(await get([], HOST, 8080)).toBe("");
  expect(await get(inOutside(), HOST, 8080)).toBe("");
  const udp = (code: string) => [process.execPath, "-e", code];
  const serve = `await Bun.udpSocket({ port: 5353, socket: { data: (s, d, port, ip) => s.send("to " + ip, port, ip) } })`;
  const server = Bun.spawn(["nsenter", `--net=/proc/${a.pid}/ns/net`, ...udp(serve)]);
  const ask = `const s = await Bun.udpSocket({ socket: { data(s, d) { console.log(String(d)); process.exit() } } });
    setInterval(() => s.send("ask", 5300, "${HOST}"), 50); setTimeout(process.exit, 10000)`;
  expect(command(...inOutside(...udp(ask)))).toBe(`to ${OUTSIDE}\n`);
  server.kill();
});

test("a port that a pod or a program has is refused before anything starts, and leaves nothing", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using a = await pod(rkt, ["--port=web:8080"]);
  const before = networkState();
  const run = (flag: string) => ["run", flag, IMAGE, "--", "-c", "echo started"];
  for (const flag of ["--port=web:8080", `--port=web:${HOST}:8080`]) {
    const { stdout } = await rkt.fails(run(flag), "already mapped to pod port 8000");
    expect(stdout).toBe("");
  }
  using listener = Bun.listen({ hostname: "0.0.0.0", port: 8090, socket: { data() {} } });
  expect(listener.port).toBe(8090);
  await rkt.fails(run("--port=web:8090"), "a program on this machine listens on it");
  await rkt.fails(run("--port=web:192.0.2.1:8091"), "192.0.2.1 is not an address of this machine");
  await rkt.fails(run("--port=late:8092"), "it is socket-activated");
  await rkt.ok(["run", "--port=dns:8080", IMAGE, "--", "-c", "true"]);
  expect(readdirSync("/run/rkt/ports")).toContain("tcp-0.0.0.0:8080");
  await rkt.ok(["gc", "--grace-period=0s"]);
  expect(networkState()).toBe(before);
  expect(a.uuid).not.toBe("");
});

test("a port whose pod has been killed is free for the next one", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  {
    await using a = await pod(rkt, ["--port=web:8080"]);
    a.kill("SIGKILL");
    await a.finished;
  }
  await eventually(async () => command("ip", "-o", "link"), /^(?!.*rkt-)/s);
  await using b = await pod(rkt, ["--port=web:8080"], ECHO(8000));
  await eventually(() => get([], "127.0.0.1", 8080), "hello-from-pod");
  expect(b.address).not.toBe("");
});

test("a killed pod's port leads nowhere after gc, though a start that was refused noticed it first", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using living = await pod(rkt, ["--port=web:8080"]);
  {
    await using a = await pod(rkt, ["--port=web:8081"]);
    a.kill("SIGKILL");
    await a.finished;
  }
  await eventually(async () => command("ip", "-o", "link"), /^(?!.*rkt-.*rkt-)/s);
  await rkt.fails(["run", "--port=web:8080", IMAGE], "already mapped");
  await rkt.ok(["gc", "--grace-period=0s"]);
  const rules = command("sh", "-c", "nft list table ip rkt 2>/dev/null || iptables-save");
  expect(rules).toMatch(/\b8080\b/);
  expect(rules).not.toMatch(/\b8081\b/);
  expect(living.uuid).not.toBe("");
});

test("hosts names the pod's address, and a network that is not there is refused", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const show = ["run", "--hostname=me", IMAGE, "--", "-c", "cat /etc/hosts"];
  expect(await rkt.ok(show)).toMatch(/^172\.16\.28\.\d+ me$/m);
  await rkt.fails(["run", "--net=nowhere", IMAGE], "networks not found: nowhere");
});

test("a pod cannot reach the host's loopback by the routing that a forwarded port needs", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using a = await pod(rkt, ["--port=web:8080"]);
  using listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data() {}, open: (socket) => void socket.end("secret") },
  });
  const inPod = (script: string) =>
    Bun.spawn(["nsenter", `--net=/proc/${a.pid}/ns/net`, "sh", "-c", script], { stderr: "ignore" });
  const attack = inPod(`
    ip addr flush dev lo
    echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet
    ip route add 127.0.0.1 via 172.16.28.1 dev eth0 src ${a.address}
    busybox nc -w 2 127.0.0.1 ${listener.port}`);
  expect(await new Response(attack.stdout).text()).toBe("");
  const own = inPod("ip route get 127.0.0.1");
  expect(await new Response(own.stdout).text()).toContain("via 172.16.28.1 dev eth0");
});

needs(
  "root",
  "sandbox",
  "busybox",
  "overlay",
  "iptables",
)("where nft is missing, iptables does the same", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const nft = Bun.which("nft");
  if (nft !== null) command("mount", "--bind", "/dev/null", nft);
  try {
    const before = networkState();
    {
      await using a = await pod(rkt, ["--port=web:8080"], ECHO(8000));
      expect(command("iptables-save")).toContain(`--to-destination ${a.address}:8000`);
      for (const [prefix, address] of [
        [[], "127.0.0.1"],
        [[], HOST],
        [inOutside(), HOST],
        [["nsenter", `--net=/proc/${a.pid}/ns/net`], HOST],
      ] as const) {
        await eventually(() => get(prefix, address, 8080), "hello-from-pod");
      }
    }
    await rkt.ok(["gc", "--grace-period=0s"]);
    expect(networkState()).toBe(before);
  } finally {
    if (nft !== null) command("umount", nft);
  }
});

test("after a reboot, when links, rules and /run are gone, gc frees the addresses", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const before = networkState();
  {
    await using a = await pod(rkt, ["--net=default,default-restricted", "--port=web:8080"]);
    a.kill("SIGKILL");
    await a.finished;
  }
  await eventually(async () => command("ip", "-o", "link"), /^(?!.*rkt-)/s);
  command("sh", "-c", "rm -rf /run/rkt/*; nft delete table ip rkt 2>/dev/null || true");
  await rkt.ok(["gc", "--grace-period=0s"]);
  expect(networkState()).toBe(before);
});

needs(
  "root",
  "sandbox",
  "busybox",
  "overlay",
  "firewall",
  "strace",
)(
  "a start that is killed anywhere between its first message to the kernel and stage1 leaves nothing after gc",
  async () => {
    await using rkt = newRkt();
    await ready(rkt);
    const before = networkState();
    const run = ["run", "--port=web:8080", IMAGE, "--", "-c", "echo started"];
    let killed = 0;
    for (const call of ["setns", "sendto"]) {
      for (let n = 1; ; n++) {
        const inject = [
          "-f",
          "-qq",
          "-o",
          "/dev/null",
          "-e",
          `inject=${call}:signal=KILL:when=${n}`,
        ];
        const { stdout } = await rkt.run(run, { under: ["strace", ...inject] });
        await eventually(async () => command("ip", "-o", "link"), /^(?!.*rkt-)/s);
        await rkt.ok(["gc", "--grace-period=0s"]);
        expect(networkState()).toBe(before);
        if (stdout.includes("started")) break;
        killed++;
      }
    }
    expect(killed).toBeGreaterThan(8);
  },
  120_000,
);

test("a range that pods which have ended use up is taken back, and one that lives is not", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const before = networkState();
  {
    await using a = await pod(rkt, ["--net=default:IP=172.16.28.9"]);
    const dead = "11111111-2222-4333-8444-555555555555\r\neth0\r\nrkt\n";
    const foreign = "somebody-else\r\neth0\n";
    for (let i = 2; i < 255; i++) {
      if (i === 9) continue;
      writeFileSync(`${LEASES}/default/172.16.28.${i}`, i === 20 ? foreign : dead);
    }
    await using b = await pod(rkt, []);
    expect(b.address).toMatch(/^172\.16\.28\.\d+$/);
    const left = readdirSync(`${LEASES}/default`).filter((name) => name.startsWith("172."));
    expect(left.sort()).toEqual(["172.16.28.20", a.address, b.address].sort());
    command("rm", `${LEASES}/default/172.16.28.20`);
  }
  await rkt.ok(["gc", "--grace-period=0s"]);
  expect(networkState()).toBe(before);
});

needs(
  "root",
  "sandbox",
  "busybox",
  "overlay",
  "nft",
)(
  "rules that somebody flushed are there again with the next pod, for the running ones too",
  async () => {
    await using rkt = newRkt();
    await ready(rkt);
    await using a = await pod(rkt, ["--port=web:8080"], ECHO(8000));
    command("nft", "flush", "ruleset");
    expect(await get([], HOST, 8080)).toBe("");
    await rkt.ok(["run", IMAGE, "--", "-c", "true"]);
    await eventually(() => get([], HOST, 8080), "hello-from-pod");
    expect(a.uuid).not.toBe("");
  },
);
