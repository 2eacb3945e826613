// SPDX-License-Identifier: Apache-2.0
// The CNI driver with the plugins that distributions ship, in namespaces made by ip-netns(8). What must
// come back as it was: links, rules, reserved addresses.
import { describe, expect } from "bun:test";
import { closeSync, existsSync, openSync, readdirSync } from "node:fs";
import { cniDriver, detachPod } from "../../src/network/cni/driver.ts";
import { pluginDirectories } from "../../src/network/cni/plugin.ts";
import { listAttachments } from "../../src/network/cni/results.ts";
import type { NetworkArguments } from "../../src/network/driver.ts";
import { parseNetworkConfig } from "../../src/network/net-config.ts";
import { needs } from "../support/needs.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

const NOTHING: NetworkArguments = { args: "", ports: [] };
const real = needs("root", "sandbox", "cniPlugins");

function run(...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  return stdout.toString();
}

/** Links and rules of the host, without counters and numbers that every interface gets anew. */
function hostState(): string {
  const links = run("ip", "-br", "link").replace(/@\S+/g, "").split("\n");
  // The bridge itself stays by design, with its address; so do tables and chains that plugins made.
  const kept = links.filter((line) => !/^(lo|cnitest|ifb)/.test(line));
  const rules = `${run("iptables-save")}${run("ip6tables-save")}`.split("\n");
  const ours = rules.filter((line) => /-[ds] (10\.99|fd99)|--dport/.test(line));
  return [...kept, ...ours].join("\n");
}

let pods = 0;

class Pod implements Disposable {
  readonly name = `rkt-cni-${process.pid}-${++pods}`;
  readonly uuid = crypto.randomUUID();
  readonly fd: number;
  constructor() {
    run("ip", "netns", "add", this.name);
    this.fd = openSync(`/run/netns/${this.name}`, "r");
  }
  target(ifName = "eth0") {
    const netnsPath = `/proc/${process.pid}/fd/${this.fd}`;
    return { uuid: this.uuid, netnsFd: this.fd, netnsPath, ifName };
  }
  run(...command: string[]): string {
    return run("ip", "netns", "exec", this.name, ...command);
  }
  [Symbol.dispose]() {
    closeSync(this.fd);
    run("ip", "netns", "del", this.name);
  }
}

function setUp(dir: TempDir, version: string, ...plugins: object[]) {
  const text = JSON.stringify({ cniVersion: version, name: "cnitest", plugins });
  const network = parseNetworkConfig(text, "/etc/rkt/net.d/10-test.conflist");
  const host = { dataDirectory: dir.path, pluginDirectories: pluginDirectories(dir.path) };
  return { network, host, driver: cniDriver(network, host) };
}

const ipam = (dir: TempDir) => ({
  type: "host-local",
  ranges: [[{ subnet: "10.99.0.0/24" }]],
  routes: [{ dst: "0.0.0.0/0" }],
  dataDir: dir.join("ipam"),
});
const bridge = (dir: TempDir) => ({
  type: "bridge",
  bridge: "cnitest0",
  isGateway: true,
  ipMasq: true,
  ipam: ipam(dir),
});

const reserved = (dir: TempDir) =>
  existsSync(dir.join("ipam/cnitest"))
    ? readdirSync(dir.join("ipam/cnitest")).filter((name) => name.startsWith("10."))
    : [];

describe("the plugins of distributions", () => {
  real.each(["0.3.1", "0.4.0", "1.0.0"])(
    "bridge and host-local by protocol %s",
    async (version) => {
      using dir = tempDir();
      using a = new Pod();
      using b = new Pod();
      const before = hostState();
      const { driver, host } = setUp(dir, version, bridge(dir));
      const one = await driver.attach(a.target(), NOTHING);
      const two = await driver.attach(b.target(), { args: "IP=10.99.0.77", ports: [] });
      expect(one.addresses).toEqual([{ address: "10.99.0.2", prefix: 24, gateway: "10.99.0.1" }]);
      expect(two.addresses[0]?.address).toBe("10.99.0.77");
      expect(one.pluginPath).toBe("/usr/lib/cni/bridge");
      expect(a.run("ip", "-4", "-o", "addr", "show", "eth0")).toContain("10.99.0.2/24");
      expect(a.run("ip", "route")).toContain("default via 10.99.0.1");
      await driver.check(a.target());
      if (version !== "0.3.1") {
        a.run("ip", "addr", "del", "10.99.0.2/24", "dev", "eth0");
        await expect(driver.check(a.target())).rejects.toThrow('error checking network "cnitest"');
        // The plugin goes by the interface's addresses to find the rules that it made.
        a.run("ip", "addr", "add", "10.99.0.2/24", "dev", "eth0");
      }
      await driver.detach(a.target(), NOTHING);
      await driver.detach(b.target(), { args: "IP=10.99.0.77", ports: [] });
      await driver.detach(b.target(), NOTHING);
      expect(reserved(dir)).toEqual([]);
      expect(hostState()).toBe(before);
      expect(listAttachments(host.dataDirectory)).toEqual([]);
    },
  );

  real("ptp by the first protocols, where one plugin is all", async () => {
    for (const version of [undefined, "0.1.0", "0.2.0"]) {
      using dir = tempDir();
      using pod = new Pod();
      const before = hostState();
      const text = JSON.stringify({
        cniVersion: version,
        name: "cnitest",
        type: "ptp",
        ipMasq: true,
        ipam: { ...ipam(dir), ranges: undefined, subnet: "10.99.0.0/24" },
      });
      const host = { dataDirectory: dir.path, pluginDirectories: pluginDirectories(dir.path) };
      const driver = cniDriver(parseNetworkConfig(text, "10-test.conf"), host);
      const { addresses } = await driver.attach(pod.target(), NOTHING);
      expect(addresses).toEqual([{ address: "10.99.0.2", prefix: 24, gateway: "10.99.0.1" }]);
      await driver.detach(pod.target(), NOTHING);
      expect(hostState()).toBe(before);
    }
  });

  real("a chain of bridge, tuning, firewall, portmap and bandwidth", async () => {
    using dir = tempDir();
    using pod = new Pod();
    const before = hostState();
    const { driver } = setUp(
      dir,
      "1.0.0",
      bridge(dir),
      {
        type: "tuning",
        capabilities: { mac: true },
        sysctl: { "net.ipv4.conf.eth0.arp_filter": "1" },
      },
      { type: "firewall", backend: "iptables" },
      { type: "portmap", capabilities: { portMappings: true } },
      { type: "bandwidth", capabilities: { bandwidth: true } },
    );
    const asked: NetworkArguments = {
      args: "MAC=02-00-00-00-00-42;ingressRate=8000000;ingressBurst=8000000;egressRate=8000000;egressBurst=8000000",
      ports: [{ hostIP: "0.0.0.0", hostPort: 18080, podPort: 80, protocol: "tcp" }],
    };
    const { addresses } = await driver.attach(pod.target(), asked);
    expect(addresses.map(({ address }) => address)).toEqual(["10.99.0.2"]);
    expect(pod.run("ip", "link", "show", "eth0")).toContain("02:00:00:00:00:42");
    expect(pod.run("sysctl", "-n", "net.ipv4.conf.eth0.arp_filter").trim()).toBe("1");
    expect(run("iptables-save")).toMatch(/--dport 18080 .*--to-destination 10\.99\.0\.2:80/);
    expect(run("tc", "qdisc")).toContain("tbf");
    // No CHECK: portmap 1.1.1 looks for an IPv6 rule that it does not make for an IPv4 address.
    await driver.detach(pod.target(), asked);
    expect(hostState()).toBe(before);
    expect(reserved(dir)).toEqual([]);
  });

  real("a network that fails at its end leaves nothing of its beginning", async () => {
    using dir = tempDir();
    using pod = new Pod();
    const before = hostState();
    const { driver, host } = setUp(dir, "1.0.0", bridge(dir), {
      type: "tuning",
      sysctl: { "net.ipv4.conf.eth0.no_such_switch": "1" },
    });
    await expect(driver.attach(pod.target(), NOTHING)).rejects.toThrow(
      'error adding network "cnitest": plugin "tuning": ',
    );
    expect(pod.run("ip", "-br", "link")).not.toContain("eth0");
    expect(hostState()).toBe(before);
    expect(reserved(dir)).toEqual([]);
    expect(listAttachments(host.dataDirectory)).toEqual([]);
  });

  real("a pod whose namespace is gone gives addresses, ports and rules back", async () => {
    using dir = tempDir();
    const before = hostState();
    const { driver, host } = setUp(
      dir,
      "1.0.0",
      {
        ...bridge(dir),
        ipam: { ...ipam(dir), ranges: [[{ subnet: "10.99.0.0/24" }], [{ subnet: "fd99::/64" }]] },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    );
    let uuid: string;
    {
      using pod = new Pod();
      uuid = pod.uuid;
      await driver.attach(pod.target(), {
        args: "",
        ports: [{ hostIP: "127.0.0.1", hostPort: 18081, podPort: 80, protocol: "udp" }],
      });
      expect(reserved(dir)).toEqual(["10.99.0.2"]);
      expect(hostState()).toContain("fd99::2");
    }
    await detachPod({ uuid, netnsFd: -1, netnsPath: "" }, host);
    await detachPod({ uuid, netnsFd: -1, netnsPath: "" }, host);
    expect(reserved(dir)).toEqual([]);
    expect(hostState()).toBe(before);
  });

  real("macvlan with a static address and DNS", async () => {
    using dir = tempDir();
    using pod = new Pod();
    run("ip", "link", "add", "cnitestm0", "type", "veth", "peer", "name", "cnitestm1");
    try {
      const { driver } = setUp(dir, "1.0.0", {
        type: "macvlan",
        master: "cnitestm0",
        capabilities: { ips: true },
        ipam: { type: "static" },
        dns: { nameservers: ["10.98.0.1"], search: ["example.com"] },
      });
      const asked = { args: "IP=10.98.0.9/24", ports: [] };
      const { addresses, dns } = await driver.attach(pod.target("eth1"), asked);
      expect(addresses).toEqual([{ address: "10.98.0.9", prefix: 24, gateway: undefined }]);
      expect(dns).toMatchObject({ servers: ["10.98.0.1"], search: ["example.com"] });
      expect(pod.run("ip", "-d", "link", "show", "eth1")).toContain("macvlan");
      await driver.detach(pod.target("eth1"), asked);
      expect(pod.run("ip", "-br", "link")).not.toContain("eth1");
    } finally {
      run("ip", "link", "del", "cnitestm0");
    }
  });
});
