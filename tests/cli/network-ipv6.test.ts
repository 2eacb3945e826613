// SPDX-License-Identifier: Apache-2.0
// IPv6 on the network `default`, by the configuration file of docs/networking.md: an address, the way out under the
// host's address, a port. The host is the sandbox's network namespace; another one is the world outside.
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { networkState } from "../support/network-state.ts";
import { newRkt, PROJECT } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "cniPlugins", "iptables");
const IMAGE = "example.com/busybox";
const HOST = "fd77::1";
const OUTSIDE = "fd77::2";

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
  const pair = `ip link add world6 type veth peer name up0 netns ${outside.pid}`;
  command(...pair.split(" "));
  command("ip", "addr", "add", `${HOST}/64`, "dev", "world6", "nodad");
  command("ip", "link", "set", "world6", "up");
  command(...inOutside("ip", "addr", "add", `${OUTSIDE}/64`, "dev", "up0", "nodad"));
  command(...inOutside("ip", "link", "set", "up0", "up"));
});

afterAll(() => {
  outside?.kill();
  Bun.spawnSync(["ip", "link", "del", "world6"]);
});

/** The example of the documentation, as it stands there. */
function documented(): string {
  const text = readFileSync(`${PROJECT}/docs/networking.md`, "utf8");
  const section = text.slice(text.indexOf("### IPv6 by plugins"));
  return /```json\n(.*?)```/s.exec(section)?.[1] ?? "";
}

async function get(prefix: readonly string[], address: string): Promise<string> {
  const code = `try { const s = await Bun.connect({ hostname: "${address}", port: 8080, socket: { data(s, d) { console.log(String(d)); s.end() }, close() { process.exit() } } }) } catch { process.exit() } setTimeout(process.exit, 3000)`;
  const client = Bun.spawn([...prefix, process.execPath, "-e", code], { stderr: "ignore" });
  return new Response(client.stdout).text();
}

test("a file gives the network default IPv6 addresses, a way out and ports", async () => {
  await using rkt = newRkt();
  const ports = [{ name: "web", protocol: "tcp", port: 8000, count: 1, socketActivated: false }];
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ app: { ports } }));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
  const refused = ["run", `--port=web:[${HOST}]:8080`, IMAGE];
  await rkt.fails(refused, 'the built-in network "default" has IPv4 only');
  mkdirSync(`${rkt.local}/net.d`);
  writeFileSync(`${rkt.local}/net.d/99-default.conflist`, documented());
  // The plugins leave chains of their own that are empty, and forwarding switched on.
  await rkt.ok(["run", "--port=web:8080", IMAGE, "--", "-c", "true"]);
  await rkt.ok(["gc", "--grace-period=0s"]);
  const before = networkState();
  {
    const seen = `Bun.listen({ hostname: "${OUTSIDE}", port: 7000, socket: { data() {}, open(s) { s.end("seen " + s.remoteAddress + "\\n"); } } }); console.log("up")`;
    const server = Bun.spawn(inOutside(process.execPath, "-e", seen), { stdout: "pipe" });
    await server.stdout.getReader().read();
    const script = `busybox ip -o addr show dev eth0; busybox nc -w 3 ${OUTSIDE} 7000 </dev/null; echo up; while :; do echo hello-from-pod | busybox nc -l -p 8000; done`;
    await using pod = rkt.spawn(["run", `--port=web:[${HOST}]:8080`, IMAGE, "--", "-c", script]);
    await pod.until("up\n");
    server.kill();
    expect(pod.stdout()).toMatch(/inet 172\.16\.28\.\d+/);
    expect(pod.stdout()).toMatch(/inet6 fd72:6b74::/);
    expect(pod.stdout()).toContain(`seen ${HOST}\n`);
    let said = "";
    for (let i = 0; i < 100 && said === ""; i++) {
      said = await get(inOutside(), HOST);
      if (said === "") await Bun.sleep(50);
    }
    expect(said).toContain("hello-from-pod");
    await rkt.fails(refused, "already mapped to pod port 8000");
    pod.kill();
    await pod.finished;
  }
  await rkt.ok(["gc", "--grace-period=0s"]);
  expect(networkState()).toBe(before);
  using listener = Bun.listen({ hostname: HOST, port: 8080, socket: { data() {} } });
  expect(listener.port).toBe(8080);
  await rkt.fails(refused, "a program on this machine listens on it");
});
