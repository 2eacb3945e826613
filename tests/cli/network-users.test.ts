// SPDX-License-Identifier: Apache-2.0
// --private-users together with networks: the pod's root has power over its network and none over the host's.
import { expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { networkState } from "../support/network-state.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const NEEDS = [
  ...(["root", "sandbox", "busybox", "overlay", "firewall"] as const),
  ...(["user namespaces", "idmapped mounts"] as const),
] as const;
const test = needs(...NEEDS);
const IMAGE = "example.com/busybox";

async function ready(rkt: Rkt): Promise<void> {
  const ports = [{ name: "web", protocol: "tcp", port: 80, count: 1, socketActivated: false }];
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ app: { ports } }));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

const links = (): string => Bun.spawnSync(["ip", "-o", "link"]).stdout.toString();

/** What its root may do in its network, and must not do in the host's. */
const SCRIPT = `
busybox id -u
busybox ip -4 -o addr show dev eth0 | busybox sed 's/.*inet /address /'
busybox ip link set eth0 mtu 1400 && echo changed
ls -d /sys/class/net/eth0 /sys/class/net/lo; ls /sys/class/net | busybox wc -l
echo x > /sys/x || echo sealed
busybox grep -c . /proc/self/uid_map
busybox ping -c 1 -W 5 172.16.28.1 >/dev/null 2>&1 && echo reached
echo 1 > /proc/sys/net/ipv4/ip_forward || echo read-only`;
const WORDS = [IMAGE, "--caps-retain=CAP_NET_ADMIN,CAP_NET_RAW", "--", "-c", SCRIPT];
const SAID =
  /^0\naddress 172\.16\.28\.\d+\/24.*\nchanged\n\/sys\/class\/net\/eth0\n\/sys\/class\/net\/lo\n2\nsealed\n1\nreached\nread-only\n$/;

for (const flags of [[], ["--no-overlay"]]) {
  test(`the pod's root rules its network: ${flags.join(" ") || "overlay"}`, async () => {
    await using rkt = newRkt();
    await ready(rkt);
    const before = networkState();
    const words = ["run", "--private-users", ...flags, ...WORDS];
    const { stdout, status, stderr } = await rkt.run(words);
    expect({ status, said: SAID.test(stdout) ? "" : stdout + stderr }).toEqual({
      status: 0,
      said: "",
    });
    const uuid = (await rkt.ok(["prepare", "--private-users", ...flags, ...WORDS])).trim();
    expect(await rkt.ok(["run-prepared", "--net=default", uuid])).toMatch(SAID);
    await rkt.ok(["gc", "--grace-period=0s"]);
    expect(networkState()).toBe(before);
  });
}

test("a port leads to it, also a low one, enter finds its way, and its end is the end of all of it", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const before = networkState();
  const file = `${rkt.work}/uuid`;
  {
    const serve = "echo up; while :; do echo hello-from-pod | busybox nc -l -p 80; done";
    await using pod = rkt.spawn(
      ["run", "--private-users", "--port=web:8080", `--uuid-file-save=${file}`, IMAGE].concat(
        "--",
        "-c",
        serve,
      ),
    );
    await pod.until("up\n");
    const uuid = readFileSync(file, "utf8");
    let said = "";
    for (let i = 0; i < 100 && said === ""; i++) {
      said = Bun.spawnSync(["busybox", "nc", "-w", "3", "127.0.0.1", "8080"]).stdout.toString();
      if (said === "") await Bun.sleep(50);
    }
    expect(said).toBe("hello-from-pod\n");
    expect(await rkt.ok(["enter", uuid, "/bin/busybox", "ip", "-4", "-o", "addr"])).toContain(
      "eth0",
    );
    const init = readFileSync(`${rkt.data}/pods/run/${uuid}/pid`, "utf8").trim();
    const parent = /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${init}/status`, "utf8"))?.[1];
    expect(parent).toBe(String(pod.pid));
    pod.kill("SIGKILL");
    await pod.finished;
    for (let i = 0; i < 400 && links().includes("rkt-"); i++) await Bun.sleep(10);
  }
  await rkt.ok(["gc", "--grace-period=0s"]);
  expect(networkState()).toBe(before);
});

needs(...NEEDS, "cniPlugins")("plugins configure its network", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  mkdirSync(`${rkt.local}/net.d`);
  const ipam = { type: "host-local", subnet: "10.95.0.0/24", dataDir: `${rkt.work}/ipam` };
  const lan = { cniVersion: "1.0.0", name: "lan", plugins: [{ type: "ptp", ipam }] };
  writeFileSync(`${rkt.local}/net.d/10-lan.conflist`, JSON.stringify(lan));
  const show = "busybox ip -4 -o addr; ls /sys/class/net";
  const words = ["run", "--private-users", "--net=lan,default", IMAGE, "--", "-c", show];
  expect(await rkt.ok(words)).toMatch(/10\.95\.0\.2.*eth1.*172\.16\.28|eth0.*10\.95\.0\.2/s);
  await rkt.ok(["gc", "--grace-period=0s"]);
});
