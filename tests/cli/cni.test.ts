// SPDX-License-Identifier: Apache-2.0
// Networks by CNI plugins as a user meets them: configuration files, --net, what the pod sees, what is
// left after it. The protocol itself is in cni-plugins.test.ts and src/network/cni.
import { expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { exists } from "../support/temp.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "cniPlugins");
const IMAGE = "example.com/busybox";
const ACI = busyboxAci();

async function ready(rkt: Rkt, aci = ACI): Promise<void> {
  writeFileSync(`${rkt.work}/busybox.aci`, aci);
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

function write(rkt: Rkt, file: string, content: unknown, mode = 0o644): void {
  mkdirSync(`${rkt.local}/net.d`, { recursive: true });
  const text = typeof content === "string" ? content : JSON.stringify(content);
  writeFileSync(`${rkt.local}/net.d/${file}`, text, { mode });
}

/** A bridge of its own with addresses from 10.N.0.0/24. */
function lan(rkt: Rkt, name: string, subnet: number, more: readonly object[] = []): object {
  const bridge = {
    type: "bridge",
    bridge: `cnicli${subnet}`,
    isGateway: true,
    ipMasq: true,
    dns: { nameservers: [`10.${subnet}.0.1`], search: ["example.com"] },
    ipam: {
      type: "host-local",
      ranges: [[{ subnet: `10.${subnet}.0.0/24` }]],
      dataDir: `${rkt.work}/ipam`,
    },
  };
  return { cniVersion: "1.0.0", name, plugins: [bridge, ...more] };
}

const sh = (rkt: Rkt, net: string, script: string) =>
  rkt.run(["run", `--net=${net}`, IMAGE, "--", "-c", script]);

function hostState(): string {
  const out = (...command: string[]) => Bun.spawnSync(command).stdout.toString().split("\n");
  const links = out("ip", "-br", "link").filter((line) => line.startsWith("veth"));
  return [...links, ...out("iptables-save").filter((line) => /10\.9\d/.test(line))].join("\n");
}

function expectNothingLeft(rkt: Rkt): void {
  expect(hostState()).toBe("");
  const ipam = `${rkt.work}/ipam`;
  const names = exists(ipam) ? readdirSync(ipam, { recursive: true }).map(String) : [];
  expect(names.filter((name) => /\/10\./.test(name))).toEqual([]);
  const results = `${rkt.data}/cni/results`;
  expect(exists(results) ? readdirSync(results) : []).toEqual([]);
}

const clean = (rkt: Rkt) => rkt.ok(["gc", "--grace-period=0s"]);

test("a pod joins the networks that it names, in the order of their files", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  write(rkt, "10-lan.conflist", lan(rkt, "lan", 98));
  write(rkt, "05-wan.conflist", lan(rkt, "wan", 97));
  const result = await sh(rkt, "lan:IP=10.98.0.50,wan", "ip -4 addr; cat /etc/resolv.conf");
  expect(result.stderr).toBe("");
  expect(result.stdout).toMatch(/10\.97\.0\.2\/24 .*eth0/);
  expect(result.stdout).toMatch(/10\.98\.0\.50\/24 .*eth1/);
  expect(result.stdout).toContain("search example.com\nnameserver 10.97.0.1\n");
  expect(await rkt.ok(["list"])).toContain("wan:ip4=10.97.0.2, lan:ip4=10.98.0.50");
  await clean(rkt);
  expectNothingLeft(rkt);
});

test("what gc undoes is what was done, whatever became of the configuration", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  write(rkt, "10-lan.conflist", lan(rkt, "lan", 98));
  expect((await sh(rkt, "lan", "true")).status).toBe(0);
  rmSync(`${rkt.local}/net.d/10-lan.conflist`);
  await clean(rkt);
  expectNothingLeft(rkt);
});

test("a file with the name of a built-in network takes its place", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  write(rkt, "50-mine.conflist", lan(rkt, "default", 98));
  expect((await rkt.ok(["run", IMAGE, "--", "-c", "ip -4 addr"])).toString()).toContain(
    "10.98.0.2/24",
  );
  await clean(rkt);
  expectNothingLeft(rkt);
});

test("networks that are not there are all named, a file that is no network too", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await rkt.fails(["run", "--net=nix,nada", IMAGE], "networks not found: nix, nada");
  write(rkt, "10-bad.conf", "{");
  await rkt.fails(["run", "--net=nix", IMAGE], /10-bad\.conf": it is not valid JSON/);
});

test("a plugin that fails or is missing ends the run with one sentence and leaves nothing", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  write(rkt, "broken", '#!/bin/sh\necho \'{"code":101,"msg":"no luck"}\'\nexit 1\n', 0o755);
  write(rkt, "10-lan.conflist", lan(rkt, "lan", 98, [{ type: "broken" }]));
  write(rkt, "20-gone.conf", { name: "gone", type: "no-such-plugin" });
  await rkt.fails(
    ["run", "--net=lan", IMAGE],
    'error adding network "lan": plugin "broken": no luck (code 101)',
  );
  await rkt.fails(["run", "--net=gone", IMAGE], 'could not find plugin "no-such-plugin"');
  // The plugin's DEL fails for ever: what it did not do does not keep the others from being undone.
  expect(hostState()).toBe("");
  write(rkt, "broken", "#!/bin/sh\n", 0o755);
  await clean(rkt);
  expectNothingLeft(rkt);
});

test("a pod that was killed gives its addresses back at gc", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  write(rkt, "10-lan.conflist", lan(rkt, "lan", 98));
  const file = `${rkt.work}/uuid`;
  await using pod = rkt.spawn([
    "run",
    "--net=lan",
    `--uuid-file-save=${file}`,
    IMAGE,
    "--",
    "-c",
    "echo up; sleep 1000",
  ]);
  await pod.until("up");
  const uuid = readFileSync(file, "utf8");
  expect(readdirSync(`${rkt.data}/cni/results`)).toEqual([`lan-${uuid}-eth0`]);
  pod.kill("SIGKILL");
  await pod.finished;
  await clean(rkt);
  expectNothingLeft(rkt);
});

test("ports go to the plugin that maps them, and are refused where none does", async () => {
  await using rkt = newRkt();
  const ports = [{ name: "echo", protocol: "tcp", port: 7000 }];
  await ready(rkt, busyboxAci({ app: { ports } }));
  write(rkt, "10-plain.conflist", lan(rkt, "plain", 97));
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  write(rkt, "20-lan.conflist", lan(rkt, "lan", 98, [portmap]));
  await rkt.fails(
    ["run", "--net=plain", "--port=echo:17000", IMAGE],
    'cannot map ports into network "plain": none of its plugins does that',
  );
  const command = "echo hello | nc -l -p 7000 & echo up; sleep 1000";
  // The second pod takes the port of the first, which has ended and was not collected.
  for (const _ of [1, 2]) {
    await using pod = rkt.spawn([
      "run",
      "--net=lan",
      "--port=echo:17000",
      IMAGE,
      "--",
      "-c",
      command,
    ]);
    await pod.until("up");
    // The app may not listen yet: it is asked until it answers.
    const ask = () =>
      Bun.spawnSync(["busybox", "nc", "-w", "5", "10.98.0.1", "17000"]).stdout.toString();
    let heard = ask();
    while (heard === "") {
      await Bun.sleep(20);
      heard = ask();
    }
    expect(heard).toBe("hello\n");
    pod.kill("SIGTERM");
    await pod.finished;
  }
  await clean(rkt);
  expectNothingLeft(rkt);
});

test("a run that is killed while a plugin works is undone by gc", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const go = `${rkt.work}/go`;
  const slow = `#!/bin/sh
[ $CNI_COMMAND = ADD ] || exit 0
touch ${rkt.work}/begun
while [ ! -e ${go} ]; do sleep 0.05; done
echo '{}'
`;
  write(rkt, "slow", slow, 0o755);
  write(rkt, "10-lan.conflist", lan(rkt, "lan", 98, [{ type: "slow" }]));
  await using pod = rkt.spawn(["run", "--net=lan", IMAGE]);
  while (!exists(`${rkt.work}/begun`)) await Bun.sleep(10);
  pod.kill("SIGKILL");
  await pod.finished;
  writeFileSync(go, "");
  await rkt.ok(["gc", "--grace-period=0s", "--expire-prepared=0s"]);
  await clean(rkt);
  expectNothingLeft(rkt);
});
