// SPDX-License-Identifier: Apache-2.0
// Networks when something goes wrong beside them: two who want one port, rules that somebody changed, tools that come
// and go, links with one name, plugins that outlive rkt.
import { expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt, type Running } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { exists } from "../support/temp.ts";

const NEEDS = ["root", "sandbox", "busybox", "overlay", "firewall"] as const;
const test = needs(...NEEDS);
const IMAGE = "example.com/busybox";
const WAIT = "echo up; while :; do busybox sleep 0.1; done";

function command(...argv: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...argv]);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return stdout.toString();
}

async function ready(rkt: Rkt): Promise<void> {
  const ports = [{ name: "web", protocol: "tcp", port: 8000, count: 1, socketActivated: false }];
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ app: { ports } }));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

/** A network whose only plugin is a script that says it mapped the ports. */
function pluginNetwork(rkt: Rkt, name: string, script = "", top: object = {}): void {
  const cniVersion = "1.1.0";
  const directory = `${rkt.local}/net.d`;
  mkdirSync(directory, { recursive: true });
  const plugin = { type: `play-${name}`, capabilities: { portMappings: true } };
  writeFileSync(
    `${directory}/10-${name}.conflist`,
    JSON.stringify({ cniVersion, name, ...top, plugins: [plugin] }),
  );
  const result = JSON.stringify({ cniVersion, ips: [{ address: "10.77.0.2/24" }] });
  writeFileSync(
    `${directory}/play-${name}`,
    `#!/bin/sh\necho $CNI_COMMAND >>${rkt.work}/${name}.calls\ncat >${rkt.work}/${name}.$CNI_COMMAND\ncase $CNI_COMMAND in ADD) ${script}\necho '${result}';; esac\n`,
    { mode: 0o755 },
  );
}

const calls = (rkt: Rkt, name: string): string[] =>
  exists(`${rkt.work}/${name}.calls`)
    ? readFileSync(`${rkt.work}/${name}.calls`, "utf8").trim().split("\n")
    : [];

let pods = 0;

async function pod(rkt: Rkt, flags: readonly string[]): Promise<Running & { uuid: string }> {
  const file = `${rkt.work}/uuid-${pods++}`;
  const words = ["run", ...flags, `--uuid-file-save=${file}`, IMAGE, "--", "-c", WAIT];
  const running = rkt.spawn(words);
  await running.until("up\n");
  return Object.assign(running, { uuid: readFileSync(file, "utf8") });
}

const clean = (rkt: Rkt) => rkt.ok(["gc", "--grace-period=0s"]);
const ports = (): string[] => (exists("/run/rkt/ports") ? readdirSync("/run/rkt/ports") : []);
const links = (): string => command("ip", "-o", "link");

async function eventually(ask: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!ask()) {
    if (performance.now() > end) throw new Error(`never: ${ask}`);
    await Bun.sleep(10);
  }
}

test("of pods that want one port at the same time one gets it, whoever maps it", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  pluginNetwork(rkt, "play", "sleep 0.3");
  pluginNetwork(rkt, "plug", "sleep 0.3");
  const started = await Promise.all(
    ["play", "plug", "play", "default"].map(async (net) => {
      const words = ["run", `--net=${net}`, "--port=web:8080", IMAGE, "--", "-c", "sleep 2"];
      const { status, stderr } = await rkt.run(words);
      return status === 0 ? "ran" : stderr;
    }),
  );
  expect(started.filter((end) => end === "ran")).toHaveLength(1);
  for (const end of started) if (end !== "ran") expect(end).toContain("already mapped to pod port");
  await clean(rkt);
  expect(ports()).toEqual([]);
});

test("a built-in network and one by plugins respect each other's ports, and take those of killed pods", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  pluginNetwork(rkt, "play");
  for (const [first, second] of [
    ["play", "default"],
    ["default", "play"],
  ]) {
    {
      await using a = await pod(rkt, [`--net=${first}`, "--port=web:8080"]);
      await rkt.fails(
        ["run", `--net=${second}`, "--port=web:8080", IMAGE],
        `already mapped to pod port 8000 of pod ${a.uuid}`,
      );
      a.kill("SIGKILL");
      await a.finished;
    }
    await eventually(() => !links().includes("rkt-"));
    await using b = await pod(rkt, [`--net=${second}`, "--port=web:8080"]);
    const [entry = ""] = ports();
    expect(JSON.parse(readFileSync(`/run/rkt/ports/${entry}`, "utf8")).uuid).toBe(b.uuid);
    b.kill("SIGKILL");
    await b.finished;
    await eventually(() => !links().includes("rkt-"));
  }
  // What the plugin did for the pod that was killed was undone before somebody else got its port.
  expect(calls(rkt, "play").slice(0, 2)).toEqual(["ADD", "DEL"]);
  await clean(rkt);
  expect(ports()).toEqual([]);
});

/** No other test run's. */
const SLEEP = `sleep 300.${process.pid}`;

test("a plugin that outlives rkt is ended by gc, and so is what it started", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  pluginNetwork(rkt, "play", `(${SLEEP}; touch ${rkt.work}/late) & ${SLEEP}`);
  await using run = rkt.spawn(["run", "--net=play", IMAGE, "--", "-c", "true"]);
  const sleepers = () => Bun.spawnSync(["pgrep", "-f", `^${SLEEP}$`]).stdout.toString();
  await eventually(() => sleepers().trim().split("\n").length === 2);
  run.kill("SIGKILL");
  await run.finished;
  expect(sleepers()).not.toBe("");
  await clean(rkt);
  expect(sleepers()).toBe("");
  expect(calls(rkt, "play")).toEqual(["ADD", "DEL"]);
});

test("an error while a network is left does not hide why the pod did not start", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  pluginNetwork(rkt, "play", `echo '{"code":99,"msg":"no room"}'; rm -f $0; exit 1`);
  const { stderr } = await rkt.fails(["run", "--net=play,default", IMAGE], "no room");
  expect(stderr).not.toContain("this is a bug");
  // Nor does the network whose plugin is missing now keep the pod in the other one.
  pluginNetwork(rkt, "play");
  await clean(rkt);
  expect(readdirSync("/var/lib/cni/networks/default").filter((n) => n.startsWith("172"))).toEqual(
    [],
  );
});

test("a prepared pod that could not be taken out of its networks is taken out before it joins others", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  pluginNetwork(rkt, "play");
  const uuid = (await rkt.ok(["prepare", IMAGE, "--", "-c", "true"])).trim();
  const noted = `${rkt.data}/pods/prepared/${uuid}/net`;
  mkdirSync(noted);
  writeFileSync(
    `${noted}/networks.json`,
    JSON.stringify([{ name: "default", ifName: "eth0", args: "" }]),
  );
  mkdirSync("/var/lib/cni/networks/default", { recursive: true });
  writeFileSync("/var/lib/cni/networks/default/172.16.28.99", `${uuid}\r\neth0\r\nrkt\n`);
  await rkt.ok(["run-prepared", "--net=play", uuid]);
  expect(exists("/var/lib/cni/networks/default/172.16.28.99")).toBe(false);
  await clean(rkt);
});

test("pods whose links would have one name get two, and each keeps its own", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using a = await pod(rkt, []);
  const name = `rkt-${a.uuid.slice(0, 8)}-0`;
  expect(links()).toContain(`${name}@`);
  expect(command("ip", "link", "show", name)).toContain(`alias rkt:${a.uuid}:eth0`);
  const uuid = (await rkt.ok(["prepare", IMAGE, "--", "-c", WAIT])).trim();
  // Another pod's link has the name that this pod's would have.
  command("ip", "link", "add", `rkt-${uuid.slice(0, 8)}-0`, "type", "bridge");
  await using b = rkt.spawn(["run-prepared", uuid]);
  await b.until("up\n");
  expect(links()).toContain(`rkt-${uuid.slice(9, 13)}${uuid.slice(14, 18)}-0@`);
  b.kill("SIGKILL");
  await b.finished;
  await rkt.ok(["rm", uuid]);
  expect(links()).toContain(`rkt-${uuid.slice(0, 8)}-0`);
  command("ip", "link", "del", `rkt-${uuid.slice(0, 8)}-0`);
  a.kill();
  await a.finished;
  await clean(rkt);
  expect(links()).not.toContain("rkt-");
});

needs(...NEEDS, "nft")(
  "a rule that somebody deleted is there again with the next pod",
  async () => {
    await using rkt = newRkt();
    await ready(rkt);
    // The guard of a link with forwarded ports comes back also with a pod that needs no rule itself.
    for (const net of ["default", "default-restricted"]) {
      await using a = await pod(rkt, ["--net=default-restricted", "--port=web:8080"]);
      const whole = command("nft", "list", "table", "ip", "rkt");
      expect(whole).toContain("drop");
      for (const damage of ["flush chain ip rkt guard", "delete table ip rkt", "flush ruleset"]) {
        command("nft", ...damage.split(" "));
        await rkt.ok(["run", `--net=${net}`, IMAGE, "--", "-c", "true"]);
        expect(command("nft", "list", "table", "ip", "rkt")).toBe(whole);
      }
      a.kill();
      await a.finished;
      await clean(rkt);
    }
  },
);

needs(...NEEDS, "nft")("rules that are in force are not made again", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using a = await pod(rkt, []);
  const handles = () => command("nft", "-a", "list", "table", "ip", "rkt");
  const before = handles();
  await rkt.ok(["run", IMAGE, "--", "-c", "true"]);
  expect(handles()).toBe(before);
  expect(a.uuid).not.toBe("");
});

needs(
  ...NEEDS,
  "nft",
  "iptables",
)("rules go by the tool that they came by", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const nft = Bun.which("nft") ?? "";
  const saved = () => command("iptables-save");
  command("mount", "--bind", "/dev/null", nft);
  let hidden = true;
  const show = () => {
    if (hidden) command("umount", nft);
    hidden = false;
  };
  try {
    {
      await using a = await pod(rkt, ["--port=web:8080"]);
      expect(saved()).toContain("RKT-PORTS");
      expect(a.uuid).not.toBe("");
      show();
      // nft is there now: what iptables made goes, and nft makes all of it.
      await using b = await pod(rkt, ["--port=web:8081"]);
      expect(b.uuid).not.toBe("");
      expect(saved()).not.toContain("RKT-");
      const rules = command("nft", "list", "table", "ip", "rkt");
      expect(rules).toContain("8080");
      expect(rules).toContain("8081");
    }
    command("mount", "--bind", "/dev/null", nft);
    hidden = true;
    const { status, stderr } = await rkt.run(["gc", "--grace-period=0s"]);
    expect({ status, said: stderr.includes("cannot remove rules: nft, which made them") }).toEqual({
      status: 254,
      said: true,
    });
    show();
    await clean(rkt);
    expect(command("nft", "list", "ruleset")).not.toContain("table ip rkt");
  } finally {
    show();
  }
});

test("a network that is not there is one sentence before anything starts", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const uuid = (await rkt.ok(["prepare", IMAGE])).trim();
  for (const words of [
    ["run", "--net=bogus", "example.com/is-not-there"],
    ["run", "--dry-run", "--net=default,bogus", IMAGE],
    ["explain", "--net=bogus", IMAGE],
    ["run-prepared", "--net=bogus", uuid],
  ]) {
    const { stderr, stdout } = await rkt.fails(words, "networks not found: bogus");
    expect(stdout).toBe("");
    expect(stderr.trim().split("\n")).toHaveLength(2);
  }
  expect(readdirSync(`${rkt.data}/pods/prepared`)).toEqual([uuid]);
  expect(readdirSync(`${rkt.data}/pods/run`)).toEqual([]);
});

test("gc lets plugins drop what is left where the file says so, and names the pods that stay", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  pluginNetwork(rkt, "mine", "", { disableGC: false });
  pluginNetwork(rkt, "shared");
  pluginNetwork(rkt, "kept", "", { disableGC: true });
  pluginNetwork(rkt, "old", "", { disableGC: false, cniVersion: "1.0.0" });
  await using a = await pod(rkt, ["--net=mine,shared,kept"]);
  await rkt.ok(["run", "--net=mine", IMAGE, "--", "-c", "true"]);
  await clean(rkt);
  expect(calls(rkt, "mine")).toEqual(["ADD", "ADD", "DEL", "GC"]);
  expect(calls(rkt, "shared")).toEqual(["ADD"]);
  expect(calls(rkt, "kept")).toEqual(["ADD"]);
  expect(calls(rkt, "old")).toEqual([]);
  const told = JSON.parse(readFileSync(`${rkt.work}/mine.GC`, "utf8"));
  expect(told["cni.dev/valid-attachments"]).toEqual([{ containerID: a.uuid, ifname: "eth1" }]);
});

test("after a reboot, and without its file, a network by plugins is undone as it was made", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  pluginNetwork(rkt, "play");
  {
    await using a = await pod(rkt, ["--net=play", "--port=web:8080"]);
    a.kill("SIGKILL");
    await a.finished;
  }
  command("sh", "-c", `rm -rf /run/rkt/* ${rkt.local}/net.d/*.conflist`);
  await clean(rkt);
  expect(calls(rkt, "play")).toEqual(["ADD", "DEL"]);
  const told = JSON.parse(readFileSync(`${rkt.work}/play.DEL`, "utf8"));
  expect(told.runtimeConfig.portMappings).toHaveLength(1);
  expect(told.prevResult.ips).toHaveLength(1);
  expect(readdirSync(`${rkt.data}/cni/results`)).toEqual([]);
});
