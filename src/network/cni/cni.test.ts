// SPDX-License-Identifier: Apache-2.0
// The protocol against plugins that are shell scripts: each writes down how it was called. Real plugins
// are in tests/cli/cni-plugins.test.ts.
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { type TempDir, tempDir } from "../../../tests/support/temp.ts";
import { addressBytes } from "../../lib/address-bytes.ts";
import type { NetworkArguments } from "../driver.ts";
import { parseNetworkConfig } from "../net-config.ts";
import { cniArguments } from "./arguments.ts";
import { cniDriver, collectNetwork, detachPod } from "./driver.ts";
import type { CniHost } from "./plugin.ts";
import { asPrevResult, OutputError, parseFailure, parseResult } from "./result.ts";
import { listAttachments } from "./results.ts";

const NOTHING: NetworkArguments = { args: "", ports: [] };
const UUID = "3f1b8cb0-5f4c-4c5e-a8b7-6d4f5e0a1b2c";
const TARGET = { uuid: UUID, netnsFd: 3, netnsPath: "/proc/1/fd/3", ifName: "eth0" };
const RESULT = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "veth1" }, { name: "eth0", sandbox: "/proc/1/fd/3" }],
  ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1", interface: 1 }],
};

interface Bench {
  readonly host: CniHost;
  /** `COMMAND type` of each call, in order. */
  calls(): string[];
  /** What the plugin was given on stdin and in its environment at its last call. */
  last(type: string, command: string): { stdin: Record<string, unknown>; env: string[] };
}

/** Each plugin's script is what it does at ADD; `CASE)` lines may add others. */
function bench(dir: TempDir, plugins: Readonly<Record<string, string>>, timeoutMs = 20_000): Bench {
  for (const [type, script] of Object.entries(plugins)) {
    const log = dir.join("log");
    const text = `#!/bin/sh
if [ "$CNI_COMMAND" != VERSION ]; then
echo "$CNI_COMMAND ${type}" >>${log}.calls
cat >${log}.${type}.$CNI_COMMAND
env >${log}.${type}.$CNI_COMMAND.env
fi
case $CNI_COMMAND in
${script}
esac
`;
    dir.write(`plugins/${type}`, text, 0o755);
  }
  return {
    host: {
      dataDirectory: dir.join("data"),
      pluginDirectories: [dir.join("none"), dir.join("plugins")],
      timeoutMs,
    },
    calls: () =>
      existsSync(dir.join("log.calls"))
        ? readFileSync(dir.join("log.calls"), "utf8").trim().split("\n")
        : [],
    last: (type, command) => ({
      stdin: JSON.parse(readFileSync(dir.join(`log.${type}.${command}`), "utf8")),
      env: readFileSync(dir.join(`log.${type}.${command}.env`), "utf8").split("\n"),
    }),
  };
}

const good = (result: unknown = RESULT) => `ADD) echo '${JSON.stringify(result)}';;`;
const failing = (code: number, msg: string) =>
  `ADD) printf '%s' '{"code":${code},"msg":"${msg}","details":"more"}'; exit 1;;`;

function chain(...types: string[]) {
  return chainWith({}, ...types.map((type) => ({ type })));
}

function chainWith(top: object, ...plugins: object[]) {
  return parseNetworkConfig(
    JSON.stringify({ cniVersion: "1.0.0", name: "lan", ...top, plugins }),
    "/etc/rkt/net.d/10-lan.conflist",
  );
}

describe("a chain of plugins", () => {
  test("goes down at attach with the previous result, up at detach with the whole one", async () => {
    using dir = tempDir();
    const b = bench(dir, {
      one: good(),
      two: good({ ...RESULT, dns: { nameservers: ["9.9.9.9"] } }),
    });
    const driver = cniDriver(chain("one", "two"), b.host);
    expect(await driver.attach(TARGET, NOTHING)).toEqual({
      netName: "lan",
      ifName: "eth0",
      addresses: [{ address: "10.1.2.3", prefix: 24, gateway: "10.1.2.1" }],
      dns: { servers: ["9.9.9.9"], domain: "", search: [], options: [] },
      netConf: "/etc/rkt/net.d/10-lan.conflist",
      pluginPath: dir.join("plugins/one"),
      args: "",
    });
    expect(b.last("one", "ADD").stdin).toEqual({ type: "one", name: "lan", cniVersion: "1.0.0" });
    expect(b.last("two", "ADD").stdin["prevResult"]).toEqual(RESULT);
    expect(listAttachments(b.host.dataDirectory)).toHaveLength(1);
    await driver.check(TARGET);
    await driver.detach({ ...TARGET, netnsFd: -1, netnsPath: "" }, NOTHING);
    expect(b.calls()).toEqual([
      "ADD one",
      "ADD two",
      "CHECK one",
      "CHECK two",
      "DEL two",
      "DEL one",
    ]);
    expect(b.last("one", "DEL").stdin["prevResult"]).toMatchObject({
      dns: { nameservers: ["9.9.9.9"] },
    });
    expect(b.last("one", "DEL").env).toContain("CNI_NETNS=");
    expect(listAttachments(b.host.dataDirectory)).toEqual([]);
    await driver.detach(TARGET, NOTHING);
  });

  test("a plugin sees the protocol's variables and nothing of ours", async () => {
    using dir = tempDir();
    const b = bench(dir, { one: good() });
    process.env["SECRET_OF_THE_CALLER"] = "1";
    await cniDriver(chain("one"), b.host).attach(TARGET, { args: "K=V;L=W", ports: [] });
    const names = b
      .last("one", "ADD")
      .env.filter((line) => !/^(PWD|_|SHLVL|OLDPWD)=|^$/.test(line));
    expect(names.sort()).toEqual([
      "CNI_ARGS=IgnoreUnknown=1;K=V;L=W",
      "CNI_COMMAND=ADD",
      `CNI_CONTAINERID=${UUID}`,
      "CNI_IFNAME=eth0",
      "CNI_NETNS=/proc/1/fd/3",
      `CNI_PATH=${dir.join("none")}:${dir.join("plugins")}`,
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]);
  });

  test("one that fails is undone with all before it, and its error is one sentence", async () => {
    using dir = tempDir();
    const b = bench(dir, { one: good(), two: failing(11, "no more.\\n addresses"), three: good() });
    const driver = cniDriver(chain("one", "two", "three"), b.host);
    await expect(driver.attach(TARGET, NOTHING)).rejects.toThrow(
      'error adding network "lan": plugin "two": no more. addresses; more (code 11)',
    );
    expect(b.calls()).toEqual(["ADD one", "ADD two", "DEL two", "DEL one"]);
    expect(listAttachments(b.host.dataDirectory)).toEqual([]);
  });

  test("when undoing fails as well, the sentence says so and gc can try again", async () => {
    using dir = tempDir();
    const b = bench(dir, {
      one: `${good()} DEL) [ -e ${dir.join("ok")} ] || { echo '{"msg":"busy"}'; exit 1; };;`,
      two: failing(7, "bad"),
    });
    await expect(cniDriver(chain("one", "two"), b.host).attach(TARGET, NOTHING)).rejects.toThrow(
      'plugin "two": bad; more (code 7); then error removing network "lan": plugin "one": busy',
    );
    expect(listAttachments(b.host.dataDirectory, UUID)).toHaveLength(1);
    dir.write("ok", "");
    await detachPod({ uuid: UUID, netnsFd: -1, netnsPath: "" }, b.host);
    expect(listAttachments(b.host.dataDirectory)).toEqual([]);
  });

  test("a missing plugin stops it before any has run", async () => {
    using dir = tempDir();
    const b = bench(dir, { one: good() });
    await expect(cniDriver(chain("one", "nix"), b.host).attach(TARGET, NOTHING)).rejects.toThrow(
      'could not find plugin "nix"',
    );
    expect(b.calls()).toEqual([]);
    expect(listAttachments(b.host.dataDirectory)).toEqual([]);
  });
});

describe("a plugin that misbehaves", () => {
  test.each([
    [
      "hangs, its child with it",
      "ADD) sleep 1000 & sleep 1000;;",
      "it did not end within 0.3 s",
      300,
    ],
    [
      "prints 100 MB",
      "ADD) head -c 100000000 /dev/zero;;",
      "it printed more than 1048576 bytes",
      60_000,
    ],
    [
      "prints garbage",
      "ADD) printf 'no \\033[31mJSON';;",
      'it printed no JSON but "no [31mJSON"',
      60_000,
    ],
    ["prints nothing", "ADD) :;;", "it printed nothing", 60_000],
    ["fails without a word", "ADD) exit 3;;", "exit status 3", 60_000],
    ["fails on stderr", "ADD) echo oh no >&2; exit 3;;", "exit status 3: oh no", 60_000],
    ["is killed", "ADD) kill -9 $$;;", "it was ended by SIGKILL", 60_000],
    ["closes its stdin", "ADD) exec <&-; echo '[]';;", "what it printed is not an object", 60_000],
  ])("that %s is an error with a reason, and is undone", async (_what, script, reason, timeout) => {
    using dir = tempDir();
    const b = bench(dir, { one: good(), bad: script }, timeout);
    await expect(cniDriver(chain("one", "bad"), b.host).attach(TARGET, NOTHING)).rejects.toThrow(
      `error adding network "lan": plugin "bad": ${reason}`,
    );
    expect(b.calls()).toEqual(["ADD one", "ADD bad", "DEL bad", "DEL one"]);
    expect(listAttachments(b.host.dataDirectory)).toEqual([]);
  });

  test("a program that the kernel cannot start is an error with its reason", async () => {
    using dir = tempDir();
    dir.write("plugins/bad", "\x7fELF and nothing", 0o755);
    const host = { dataDirectory: dir.join("data"), pluginDirectories: [dir.join("plugins")] };
    await expect(cniDriver(chain("bad"), host).attach(TARGET, NOTHING)).rejects.toThrow(
      'plugin "bad": it could not be started',
    );
  });
});

describe("the protocol's version", () => {
  const knows = (...list: string[]) =>
    `VERSION) echo '${JSON.stringify({ cniVersion: "1.0.0", supportedVersions: list })}';; ${good()}`;

  test("is the highest that the configuration, all plugins and we know", async () => {
    using dir = tempDir();
    const b = bench(dir, {
      one: knows("0.4.0", "1.0.0", "1.1.0"),
      two: knows("0.3.1", "0.4.0", "1.0.0"),
    });
    const network = chainWith(
      { cniVersions: ["0.4.0", "1.0.0", "1.1.0", "9.0.0"] },
      { type: "one" },
      { type: "two" },
    );
    await cniDriver(network, b.host).attach(TARGET, NOTHING);
    expect(b.last("one", "ADD").stdin).toEqual({ type: "one", name: "lan", cniVersion: "1.0.0" });
  });

  test("that no plugin shares, or that we do not know, is refused with the ones there are", async () => {
    using dir = tempDir();
    const b = bench(dir, { one: knows("0.2.0"), old: "VERSION) exit 1;;" });
    const versions = { cniVersions: ["0.4.0", "1.0.0"] };
    for (const type of ["one", "old"]) {
      await expect(
        cniDriver(chainWith(versions, { type }), b.host).attach(TARGET, NOTHING),
      ).rejects.toThrow("its plugins have none of its CNI versions 0.4.0, 1.0.0 in common");
    }
    await expect(
      cniDriver(chainWith({ cniVersion: "2.0.0" }, { type: "one" }), b.host).attach(
        TARGET,
        NOTHING,
      ),
    ).rejects.toThrow("its CNI version 2.0.0 is not known");
    expect(b.calls()).toEqual([]);
  });

  test("a plugin that does not know it is asked which it knows", async () => {
    using dir = tempDir();
    const b = bench(dir, {
      one: `VERSION) echo '{"supportedVersions":["0.4.0"]}';; ${failing(1, "incompatible")}`,
    });
    const error = await cniDriver(chain("one"), b.host)
      .attach(TARGET, NOTHING)
      .catch((e) => e);
    expect(error.code).toBe("CNI_VERSION");
    expect(error.remedy).toBe(
      'the plugin knows 0.4.0: set the network\'s "cniVersion" to one of them',
    );
  });

  test("a result of another version is passed on as of the network's", () => {
    expect(asPrevResult(RESULT, "0.4.0")["ips"]).toEqual([{ version: "4", ...RESULT.ips[0] }]);
    const old = { cniVersion: "0.3.1", ips: [{ version: "6", address: "fd00::1/64" }] };
    expect(asPrevResult(old, "1.0.0")).toEqual({
      cniVersion: "1.0.0",
      ips: [{ address: "fd00::1/64" }],
    });
  });

  test("CHECK is not asked before 0.4.0 or when it is disabled, DEL gets no result before 0.4.0", async () => {
    using dir = tempDir();
    const b = bench(dir, { one: good() });
    for (const top of [{ cniVersion: "0.3.1" }, { disableCheck: true }]) {
      const driver = cniDriver(chainWith(top, { type: "one" }), b.host);
      await driver.attach(TARGET, NOTHING);
      await driver.check(TARGET);
      await driver.detach(TARGET, NOTHING);
      expect("prevResult" in b.last("one", "DEL").stdin).toBe("disableCheck" in top);
    }
    expect(b.calls()).not.toContain("CHECK one");
  });
});

describe("what a pod asks for", () => {
  const network = chainWith(
    {},
    { type: "one", capabilities: { ips: true, mac: true } },
    { type: "two", capabilities: { portMappings: true, bandwidth: true } },
  );

  test("each plugin gets the capabilities that it declares, the rest goes into CNI_ARGS", async () => {
    using dir = tempDir();
    const b = bench(dir, { one: good(), two: good() });
    const asked: NetworkArguments = {
      args: "IP=10.1.2.9/24;MAC=02-00-00-00-00-01;ingressRate=1000;ingressBurst=2000;X=1",
      ports: [],
    };
    const driver = cniDriver(network, b.host);
    await driver.attach(TARGET, asked);
    expect(b.last("one", "ADD").stdin["runtimeConfig"]).toEqual({
      ips: ["10.1.2.9/24"],
      mac: "02:00:00:00:00:01",
    });
    expect(b.last("two", "ADD").stdin["runtimeConfig"]).toEqual({
      bandwidth: { ingressRate: 1000, ingressBurst: 2000 },
    });
    expect("capabilities" in b.last("one", "ADD").stdin).toBe(false);
    expect(b.last("two", "ADD").env).toContain("CNI_ARGS=IgnoreUnknown=1;X=1");
    // What is undone is what was done, even when nobody remembers the arguments or the configuration.
    await detachPod({ uuid: UUID, netnsFd: -1, netnsPath: "" }, b.host);
    expect(b.last("two", "DEL").stdin["runtimeConfig"]).toEqual(
      b.last("two", "ADD").stdin["runtimeConfig"],
    );
    expect(b.last("one", "DEL").env).toContain("CNI_ARGS=IgnoreUnknown=1;X=1");
  });

  test("ports go to a plugin that maps them", () => {
    const port = { hostIP: "127.0.0.1", hostPort: 28472, podPort: 80, protocol: "tcp" } as const;
    expect(cniArguments(network, { args: "", ports: [port] }).capabilities).toEqual({
      portMappings: [{ hostPort: 28472, containerPort: 80, protocol: "tcp", hostIP: "127.0.0.1" }],
    });
  });

  test("without the capability the keys stay in CNI_ARGS", () => {
    expect(cniArguments(chain("one"), { args: "IP=10.0.0.1", ports: [] })).toEqual({
      capabilities: {},
      cniArgs: [["IP", "10.0.0.1"]],
    });
  });

  test("ports that no plugin maps are refused before any plugin runs", async () => {
    using dir = tempDir();
    const b = bench(dir, { one: good() });
    const ports = [{ hostIP: undefined, hostPort: 80, podPort: 80, protocol: "tcp" }] as const;
    await expect(
      cniDriver(chain("one"), b.host).attach(TARGET, { args: "", ports }),
    ).rejects.toThrow('cannot map ports into network "lan": none of its plugins does that');
    expect(b.calls()).toEqual([]);
  });

  test.each(["x", "=1", "a=1;", "a b=1", "a=\u0007", "IP=nonsense", "MAC=02", "egressRate=-1"])(
    "%p is refused",
    (args) => {
      expect(() => cniArguments(network, { args, ports: [] })).toThrow(
        'network "lan" provided with invalid arguments: ',
      );
    },
  );
});

describe("cleaning up", () => {
  test("tells plugins of 1.1.0 which pods are there", async () => {
    using dir = tempDir();
    const b = bench(dir, { one: good({ ...RESULT, cniVersion: "1.1.0" }) });
    const network = chainWith({ cniVersion: "1.1.0" }, { type: "one" });
    const driver = cniDriver(network, b.host);
    const other = { ...TARGET, uuid: "11111111-2222-4333-8444-555555555555" };
    await driver.attach(TARGET, NOTHING);
    await driver.attach(other, NOTHING);
    await driver.detach(other, NOTHING);
    await collectNetwork(network, b.host);
    expect(b.calls().slice(2)).toEqual(["DEL one", "GC one"]);
    expect(b.last("one", "GC").stdin["cni.dev/valid-attachments"]).toEqual([
      { containerID: UUID, ifname: "eth0" },
    ]);
    expect(b.last("one", "GC").env.join()).not.toContain("CNI_CONTAINERID");
    await collectNetwork(chainWith({ cniVersion: "1.1.0", disableGC: true }, { type: "one" }), {
      ...b.host,
      dataDirectory: dir.join("empty"),
    });
    expect(b.calls()).toHaveLength(4);
  });

  test("goes on when one network fails, from the last interface to the first", async () => {
    using dir = tempDir();
    const b = bench(dir, { one: good(), bad: `${good()} DEL) exit 1;;` });
    await cniDriver(chain("one"), b.host).attach(TARGET, NOTHING);
    await cniDriver(chainWith({ name: "wan" }, { type: "bad" }), b.host).attach(
      { ...TARGET, ifName: "eth10" },
      NOTHING,
    );
    await expect(detachPod({ uuid: UUID, netnsFd: -1, netnsPath: "" }, b.host)).rejects.toThrow(
      'error removing network "wan": plugin "bad": exit status 1',
    );
    expect(b.calls().slice(2)).toEqual(["DEL bad", "DEL one"]);
    expect(readdirSync(dir.join("data/cni/results"))).toEqual([`wan-${UUID}-eth10`]);
  });

  test("a stored result that is damaged is an error that names the file", async () => {
    using dir = tempDir();
    const b = bench(dir, { one: good() });
    dir.write(`data/cni/results/lan-${UUID}-eth0`, '{"kind":"x"}');
    await expect(cniDriver(chain("one"), b.host).detach(TARGET, NOTHING)).rejects.toThrow(
      "is damaged",
    );
  });
});

test.each([
  ["10.1.0.255", "0a0100ff"],
  ["::", "00000000000000000000000000000000"],
  ["::1", "00000000000000000000000000000001"],
  ["fd00:1::2:3", "fd000001000000000000000000020003"],
  ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
  ["::ffff:10.1.2.3", "00000000000000000000ffff0a010203"],
])("the address %s has its bytes in the kernel's order", (address, hex) => {
  expect(addressBytes(address).toHex()).toBe(hex);
});

describe("what plugins print", () => {
  test("results of 0.1.0 and 0.2.0 have an address of each family", () => {
    const old = {
      ip4: { ip: "10.1.0.5/16", gateway: "10.1.0.1", routes: [{ dst: "0.0.0.0/0" }] },
      ip6: { ip: "fd00::5/64" },
      dns: { nameservers: ["10.1.0.1"], domain: "a.b", search: ["a"], options: ["ndots:2"] },
    };
    expect(parseResult(JSON.stringify(old))).toEqual({
      raw: old,
      addresses: [
        { address: "10.1.0.5", prefix: 16, gateway: "10.1.0.1" },
        { address: "fd00::5", prefix: 64, gateway: undefined },
      ],
      dns: { servers: ["10.1.0.1"], domain: "a.b", search: ["a"], options: ["ndots:2"] },
    });
  });

  test("addresses of the host's interfaces are not the pod's", () => {
    const ips = [{ address: "10.0.0.1/8", interface: 0 }, { address: "10.0.0.2/8" }];
    expect(parseResult(JSON.stringify({ ...RESULT, ips })).addresses.map((a) => a.address)).toEqual(
      ["10.0.0.2"],
    );
  });

  test.each([
    [{ ips: [{ address: "10.0.0.1" }] }, '"10.0.0.1" is not an address with its prefix length'],
    [{ ips: [{ address: "10.0.0.1/33" }] }, "is not an address"],
    [{ ips: [{ address: "10.0.0.1/8", gateway: "x" }] }, 'gateway "x" is not an IP address'],
    [{ ips: [{ address: "10.0.0.1/8", interface: 4 }] }, "names an interface that is not there"],
    [{ ips: Array(65).fill({}) }, "ips has more than 64 entries"],
    [{ ips: 1 }, "ips is not a list"],
    [{ dns: { nameservers: ["a"] } }, 'name server "a" is not an IP address'],
    [{ dns: { search: ["a\nnameserver 6.6.6.6"] } }, "search of dns has"],
    [{ dns: { options: [1] } }, "options of dns has"],
  ])("%j is refused", (value, reason) => {
    expect(() => parseResult(JSON.stringify(value))).toThrow(reason);
  });

  test("whatever it is, it is taken or refused, never a crash", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        parseFailure(text);
        try {
          parseResult(text);
        } catch (error) {
          expect(error).toBeInstanceOf(OutputError);
        }
      }),
    );
  });
});
