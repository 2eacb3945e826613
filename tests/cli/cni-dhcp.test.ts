// SPDX-License-Identifier: Apache-2.0
// Addresses from a DHCP server, by the plugin dhcp and its daemon: the server is busybox's, in a network namespace
// on the pods' bridge.
import { expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { exists } from "../support/temp.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "cniPlugins");
const IMAGE = "example.com/busybox";
const SERVER = "10.95.0.1";
const ADDRESS = "10.95.0.100";

function command(...argv: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...argv]);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return stdout.toString();
}

/** A bridge, the server behind it with one address to give, and the plugin's daemon. */
async function newSite(rkt: Rkt): Promise<Disposable> {
  const conf = `start ${ADDRESS}
end ${ADDRESS}
interface lan
lease_file ${rkt.work}/leases
pidfile ${rkt.work}/server.pid
option subnet 255.255.255.0
option router ${SERVER}
option lease 600
`;
  writeFileSync(`${rkt.work}/udhcpd.conf`, conf);
  writeFileSync(`${rkt.work}/leases`, "");
  const script = `while ! ip addr add ${SERVER}/24 dev lan 2>/dev/null; do sleep 0.05; done
    ip link set lan up
    exec busybox udhcpd -f ${rkt.work}/udhcpd.conf`;
  const server = Bun.spawn(["unshare", "--net", "sh", "-c", script], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  const own = command("readlink", "/proc/self/ns/net");
  while (command("readlink", `/proc/${server.pid}/ns/net`) === own) await Bun.sleep(5);
  command("ip", "link", "add", "dhcptest0", "type", "bridge");
  command("ip", "link", "set", "dhcptest0", "up");
  const peer = ["type", "veth", "peer", "name", "lan", "netns", `${server.pid}`];
  command("ip", "link", "add", "dhcptest1", ...peer);
  command("ip", "link", "set", "dhcptest1", "master", "dhcptest0", "up");
  const socket = `${rkt.work}/dhcp.sock`;
  const daemon = Bun.spawn(
    ["/usr/lib/cni/dhcp", "daemon", "-timeout", "30s", "-socketpath", socket],
    {
      stdio: ["ignore", "ignore", "ignore"],
    },
  );
  while (!exists(socket)) await Bun.sleep(5);
  return {
    [Symbol.dispose]() {
      daemon.kill();
      server.kill();
      command("ip", "link", "del", "dhcptest0");
      command("sh", "-c", "ip link del dhcptest1 2>/dev/null || true");
    },
  };
}

function configure(rkt: Rkt): void {
  const network = {
    cniVersion: "1.0.0",
    name: "lan",
    type: "bridge",
    bridge: "dhcptest0",
    ipam: { type: "dhcp", daemonSocketPath: `${rkt.work}/dhcp.sock` },
  };
  mkdirSync(`${rkt.local}/net.d`, { recursive: true });
  writeFileSync(`${rkt.local}/net.d/10-lan.conf`, JSON.stringify(network));
}

test("a pod has the address and the route that a DHCP server gives, and the next one after gc", async () => {
  await using rkt = newRkt();
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci());
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
  configure(rkt);
  using _ = await newSite(rkt);
  const script = "busybox ip -4 -o addr show dev eth0; busybox ip route";
  for (const _ of [1, 2]) {
    const seen = await rkt.ok(["run", "--net=lan", IMAGE, "--", "-c", script]);
    expect(seen).toContain(`inet ${ADDRESS}/24`);
    expect(seen).toContain(`default via ${SERVER} dev eth0`);
    expect(await rkt.ok(["list", "--no-legend"])).toContain(`lan:ip4=${ADDRESS}`);
    await rkt.ok(["gc", "--grace-period=0s"]);
  }
  // The kernel takes a namespace's links away some time after the last one who held it, here the daemon.
  const links = () => command("ip", "-br", "link");
  for (let tries = 0; tries < 300 && links().includes("veth"); tries++) await Bun.sleep(100);
  expect(links()).not.toContain("veth");
});

test("where the plugin's daemon does not run, a pod is refused, and gc undoes the rest once it does", async () => {
  await using rkt = newRkt();
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci());
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
  configure(rkt);
  const run = ["run", "--net=lan", IMAGE, "--", "-c", "echo started"];
  const { stdout } = await rkt.fails(run, 'adding network "lan": plugin "bridge": error dialing');
  expect(stdout).toBe("");
  await rkt.fails(["gc", "--grace-period=0s"], "error dialing DHCP daemon");
  command("ip", "link", "del", "dhcptest0");
  using _ = await newSite(rkt);
  await rkt.ok(["gc", "--grace-period=0s"]);
});
