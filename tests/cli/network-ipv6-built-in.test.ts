// SPDX-License-Identifier: Apache-2.0
// IPv6 on the built-in networks by a prefix in a file, with no plugin: pods, the host and the outside reach each other as
// with IPv4, by nft and by iptables; nothing is left; a prefix that cannot be one is refused.
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { networkState } from "../support/network-state.ts";
import { newRkt, PROJECT, type Rkt, type Running } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "firewall");
const withIptables = needs("root", "sandbox", "busybox", "overlay", "iptables");
const IMAGE = "example.com/busybox";
const HOST = "fd77::1";
const OUTSIDE = "fd77::2";
const PREFIX = "fd72:6b74:0:1::";
const CONF = "/proc/sys/net/ipv6/conf";

function command(...argv: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...argv]);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return stdout.toString();
}

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
  const pair = `ip link add world7 type veth peer name up0 netns ${outside.pid}`;
  command(...pair.split(" "));
  command("ip", "addr", "add", `${HOST}/64`, "dev", "world7", "nodad");
  command("ip", "link", "set", "world7", "up");
  command(...inOutside("ip", "addr", "add", `${OUTSIDE}/64`, "dev", "up0", "nodad"));
  command(...inOutside("ip", "link", "set", "up0", "up"));
});

afterAll(() => {
  outside?.kill();
  Bun.spawnSync(["ip", "link", "del", "world7"]);
});

async function ready(rkt: Rkt, files: Readonly<Record<string, string>>): Promise<void> {
  const ports = [{ name: "web", protocol: "tcp", port: 8000, count: 1, socketActivated: false }];
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ app: { ports } }));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
  mkdirSync(`${rkt.local}/net.d`);
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(`${rkt.local}/net.d/${name}`, text);
  }
}

/** The first example of the documentation, as it stands there. */
function documented(): string {
  const text = readFileSync(`${PROJECT}/docs/networking.md`, "utf8");
  const section = text.slice(text.indexOf("## IPv6"));
  return /```json\n(.*?)```/s.exec(section)?.[1] ?? "";
}

const ECHO = "while :; do echo hello-from-pod | busybox nc -l -p 8000; done";
const SHOW = "busybox ip -o addr show dev eth0; busybox ip -6 route; echo up";

async function start(
  rkt: Rkt,
  flags: readonly string[],
  script: string,
): Promise<{ readonly pod: Running; readonly address: string }> {
  const words = ["run", ...flags, IMAGE, "--", "-c", `${SHOW}; ${script}`];
  const pod = rkt.spawn(words);
  await pod.until("up\n");
  const address = /inet6 (fd72:[0-9a-f:]+)\//.exec(pod.stdout())?.[1] ?? "";
  return { pod, address };
}

async function get(prefix: readonly string[], address: string, port: number): Promise<string> {
  for (let i = 0; i < 100; i++) {
    const client = Bun.spawn([...prefix, "busybox", "nc", "-w", "3", address, `${port}`], {
      stdin: "ignore",
      stderr: "ignore",
    });
    const said = await new Response(client.stdout).text();
    if (said !== "") return said;
    await Bun.sleep(50);
  }
  return "";
}

/** What a server outside sees of who comes. */
async function world(): Promise<import("bun").Subprocess> {
  const code = `Bun.listen({ hostname: "${OUTSIDE}", port: 7000, socket: { data() {}, open(s) { s.end("seen " + s.remoteAddress + "\\n"); } } }); console.log("up")`;
  const server = Bun.spawn(inOutside(process.execPath, "-e", code), { stdout: "pipe" });
  await server.stdout.getReader().read();
  return server;
}

async function everythingWorks(rkt: Rkt): Promise<void> {
  await ready(rkt, { "99-default.conf": documented() });
  // Forwarding stays on, and iptables keeps tables that are empty.
  await rkt.ok(["run", "--port=web:8080", IMAGE, "--", "-c", "true"]);
  await rkt.ok(["gc", "--grace-period=0s"]);
  const before = networkState();
  const server = await world();
  {
    const first = await start(rkt, ["--port=web:8080"], ECHO);
    await using _first = first.pod;
    expect(first.address).toStartWith(PREFIX);
    expect(first.pod.stdout()).toMatch(/inet 172\.16\.28\.\d+/);
    expect(first.pod.stdout()).not.toContain("tentative fd72");
    const asks = `busybox nc -w 3 ${first.address} 8000 </dev/null; busybox nc -w 3 ${OUTSIDE} 7000 </dev/null; busybox nc -w 3 ${HOST} 8080 </dev/null; echo asked; ${ECHO}`;
    const second = await start(rkt, [`--port=web:[${HOST}]:8081`], asks);
    await using _second = second.pod;
    await second.pod.until("asked\n");
    expect(second.pod.stdout()).toMatch(/hello-from-pod\nseen fd77::1\nhello-from-pod\nasked/);
    expect(await get([], first.address, 8000)).toContain("hello-from-pod");
    expect(await get(inOutside(), HOST, 8080)).toContain("hello-from-pod");
    expect(await get(inOutside(), HOST, 8081)).toContain("hello-from-pod");
    expect(await get([], HOST, 8081)).toContain("hello-from-pod");
    expect(await get([], "127.0.0.1", 8080)).toContain("hello-from-pod");
    await rkt.fails(["run", `--port=web:[${HOST}]:8080`, IMAGE], "already mapped to pod port 8000");
    for (const { pod } of [first, second]) {
      pod.kill();
      await pod.finished;
    }
  }
  server.kill();
  await rkt.ok(["gc", "--grace-period=0s"]);
  expect(networkState()).toBe(before);
}

test("a prefix gives pods of default IPv6: pods, host, outside and ports; gc leaves nothing", async () => {
  await using rkt = newRkt();
  await everythingWorks(rkt);
});

withIptables("the same with iptables", async () => {
  await using rkt = newRkt();
  const nft = Bun.which("nft");
  if (nft !== null) command("mount", "--bind", "/dev/null", nft);
  try {
    await everythingWorks(rkt);
  } finally {
    if (nft !== null) command("umount", nft);
  }
});

test("a pod sends nothing in another's name, and nothing to the link's own address", async () => {
  await using rkt = newRkt();
  await ready(rkt, { "99-default.conf": documented() });
  // As a pod that may change its own addresses would.
  const script = "busybox ip -o link show eth0; echo shown; while :; do busybox sleep 0.1; done";
  const { pod, address } = await start(rkt, [], script);
  await using _pod = pod;
  const within = (...argv: readonly string[]) => [
    "nsenter",
    `--net=/proc/${pod.pid}/ns/net`,
    ...argv,
  ];
  command(...within("ip", "-6", "addr", "add", `${PREFIX}99/128`, "dev", "eth0", "nodad"));
  command(...within("ip", "-6", "addr", "add", "fe80::2/64", "dev", "eth0", "nodad"));
  const heard: string[] = [];
  const host = await Bun.udpSocket({
    hostname: "::",
    socket: { data: (_socket, data) => void heard.push(String(data)) },
  });
  // One process for each: one after the other.
  const say = (word: string, source: string, target: string): void => {
    const code = `const s = await Bun.udpSocket({ hostname: "${source}" }); s.send("${word}", ${host.port}, "${target}"); s.close()`;
    command(...within(process.execPath, "-e", code));
  };
  const sayAll = async (round: string): Promise<readonly string[]> => {
    heard.length = 0;
    say("own", address, HOST);
    say("forged", `${PREFIX}99`, HOST);
    say("link", "::", "fe80::1%eth0");
    say(round, address, HOST);
    while (!heard.includes(round)) await Bun.sleep(5);
    return [...heard];
  };
  expect(await sayAll("first")).toEqual(["own", "first"]);
  const links = readdirSync(CONF).filter((name) => name.startsWith("rkt-"));
  expect(links.map((name) => readFileSync(`${CONF}/${name}/accept_ra`, "utf8"))).toContain("0\n");
  if (Bun.which("nft") === null) return;
  // It was the rules, and the next pod makes them again.
  command("nft", "flush", "chain", "ip6", "rkt", "guard");
  expect(await sayAll("second")).toEqual(["own", "forged", "link", "second"]);
  await rkt.ok(["run", IMAGE, "--", "-c", "true"]);
  expect(await sayAll("third")).toEqual(["own", "third"]);
  host.close();
});

test("without a prefix the host's end of a link has no IPv6", async () => {
  await using rkt = newRkt();
  await ready(rkt, { "99-default.conf": JSON.stringify({ name: "default", type: "built-in" }) });
  await rkt.ok(["gc", "--grace-period=0s"]);
  const before = readdirSync(CONF);
  const { pod, address } = await start(rkt, [], ECHO);
  await using _pod = pod;
  expect(address).toBe("");
  const [link = ""] = readdirSync(CONF).filter((name) => !before.includes(name));
  expect(readFileSync(`${CONF}/${link}/disable_ipv6`, "utf8")).toBe("1\n");
});

test("default-restricted with a prefix has no way out, and its ports are reached", async () => {
  await using rkt = newRkt();
  const text = { name: "default-restricted", type: "built-in", ipv6: "fd72:6b74:0:2::/112" };
  await ready(rkt, { "r.conf": JSON.stringify(text) });
  const flags = ["--net=default-restricted", "--port=web:8082"];
  const { pod, address } = await start(rkt, flags, ECHO);
  await using _pod = pod;
  expect(address).toStartWith("fd72:6b74:0:2::");
  expect(pod.stdout()).not.toContain("default via");
  expect(await get(inOutside(), HOST, 8082)).toContain("hello-from-pod");
  // Its prefix is no other network's.
  writeFileSync(
    `${rkt.local}/net.d/99-default.conf`,
    JSON.stringify({ name: "default", type: "built-in", ipv6: "fd72:6b74::/48" }),
  );
  await rkt.fails(
    ["run", IMAGE],
    'pods of the network "default-restricted" have fd72:6b74:0:2::/112',
  );
});

test("a host that took router advertisements goes on taking them", async () => {
  await using rkt = newRkt();
  await ready(rkt, { "99-default.conf": documented() });
  const before = readFileSync(`${CONF}/all/forwarding`, "utf8");
  writeFileSync(`${CONF}/all/forwarding`, "0");
  writeFileSync(`${CONF}/world7/accept_ra`, "1");
  await rkt.ok(["run", IMAGE, "--", "-c", "true"]);
  expect(readFileSync(`${CONF}/all/forwarding`, "utf8")).toBe("1\n");
  expect(readFileSync(`${CONF}/world7/accept_ra`, "utf8")).toBe("2\n");
  writeFileSync(`${CONF}/all/forwarding`, before);
});

test("what is no prefix, or no built-in network, is refused before anything starts", async () => {
  await using rkt = newRkt();
  await ready(rkt, {});
  for (const [fields, message] of [
    [{ ipv6: "10.0.0.0/8" }, "it is not of the form"],
    [{ ipv6: "fd00::/32" }, "its length is not from 48 to 112"],
    [{ ipv6: "fd00::/120" }, "its length is not from 48 to 112"],
    [{ ipv6: "fe80::/64" }, "it is neither of unique local addresses"],
    [{ ipv6: "fd00::1/64" }, "it has bits behind the first 64"],
    [{ ipv6: "fd00::/64", ipam: {} }, 'a built-in network has no field "ipam"'],
    [{ name: "lan" }, 'no network "lan" is built in'],
  ] as const) {
    const text = JSON.stringify({ name: "default", type: "built-in", ...fields });
    writeFileSync(`${rkt.local}/net.d/a.conf`, text);
    await rkt.fails(["run", IMAGE], message);
  }
  writeFileSync(`${rkt.local}/net.d/a.conf`, documented());
  await rkt.fails(["run", "--port=web:[::1]:8080", IMAGE], "of the address ::1");
});
