// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync } from "node:fs";
import fc from "fast-check";
import { tempDir } from "../../tests/support/temp.ts";
import { NetworkError } from "./errors.ts";
import { parseNetworkConfig } from "./net-config.ts";
import { chooseNetworks, readNetworks } from "./net-d.ts";
import { parseNetList } from "./net-list.ts";

const conf = (name: string, more = {}) => JSON.stringify({ name, type: "bridge", ...more });

describe("a network's configuration", () => {
  test("one plugin is a chain of one, of the protocol's first version", () => {
    const network = parseNetworkConfig(
      conf("lan", { capabilities: { ips: true, mac: false } }),
      "f",
    );
    expect(network.versions).toEqual(["0.1.0"]);
    expect(network.plugins.map(({ type }) => type)).toEqual(["bridge"]);
    expect(network.plugins[0]?.capabilities).toEqual(["ips"]);
  });

  test("a list has its plugins in order and all its versions", () => {
    const text = JSON.stringify({
      cniVersion: "0.4.0",
      cniVersions: ["0.4.0", "1.0.0"],
      name: "lan",
      disableCheck: true,
      plugins: [{ type: "ptp" }, { type: "portmap", capabilities: { portMappings: true } }],
    });
    const network = parseNetworkConfig(text, "f");
    expect(network.versions).toEqual(["0.4.0", "1.0.0"]);
    expect(network.plugins.map(({ type }) => type)).toEqual(["ptp", "portmap"]);
    expect([network.disableCheck, network.disableGC]).toEqual([true, false]);
  });

  test.each([
    ["{", "it is not valid JSON"],
    ["[]", "the file must be an object"],
    ["null", "the file must be an object"],
    ["{}", "it has no name"],
    [conf("../x"), 'name "../x" is not letters'],
    [conf("a".repeat(101)), "is not letters"],
    [conf("a", { type: "../../bin/sh" }), 'plugin type "../../bin/sh" is not a file name'],
    [conf("a", { type: ".." }), 'plugin type ".." is not a file name'],
    [conf("a", { type: 1 }), "type must be a string"],
    [`{"name":"a"}`, "a plugin has no type"],
    [`{"name":"a","plugins":[]}`, "it names no plugin"],
    [`{"name":"a","plugins":{}}`, "plugins must be a list"],
    [`{"name":"a","plugins":[7]}`, "a plugin must be an object"],
    [conf("a", { capabilities: { ips: 1 } }), '"ips" must be true or false'],
    [conf("a", { cniVersion: "one" }), 'CNI version "one" is not of the form 1.0.0'],
    [conf("a", { cniVersions: [1] }), 'CNI version "1" is not of the form'],
    [conf("a", { plugins: Array(33).fill({ type: "x" }) }), "plugins has more than 32 entries"],
    [`{"x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, "it is n"],
    [conf("a", { x: "y".repeat(1 << 20) }), "it is larger than 1 MiB"],
  ])("%.60p is refused", (text, reason) => {
    expect(() => parseNetworkConfig(text, "10-a.conf")).toThrow(
      `cannot use network configuration "10-a.conf": `,
    );
    expect(() => parseNetworkConfig(text, "10-a.conf")).toThrow(reason);
  });

  test("whatever the JSON, it is taken or refused with our error", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (json) => {
        try {
          parseNetworkConfig(json, "f");
        } catch (error) {
          expect(error).toBeInstanceOf(NetworkError);
        }
      }),
    );
  });
});

describe("the net.d directories", () => {
  test("files count in the order of their names, the first of a name wins, others are left alone", () => {
    using dir = tempDir();
    dir.write("net.d/20-b.conf", conf("b"));
    dir.write("net.d/10-c.conflist", JSON.stringify({ name: "c", plugins: [{ type: "ptp" }] }));
    dir.write("net.d/30-again.conf", conf("b", { type: "macvlan" }));
    dir.write("net.d/README", "not JSON");
    dir.write("net.d/bridge", "a plugin");
    const { networks, warnings } = readNetworks([dir.path, dir.join("missing")]);
    expect(networks.map(({ name }) => name)).toEqual(["c", "b"]);
    expect(networks[1]?.plugins[0]?.type).toBe("bridge");
    expect(warnings).toEqual(['"b" network already defined, ignoring 30-again.conf']);
  });

  test("the user's directory overrides the local one by name", () => {
    using dir = tempDir();
    dir.write("local/net.d/10-a.conf", conf("a"));
    dir.write("user/net.d/50-a.conf", conf("a", { type: "ptp" }));
    const { networks, warnings } = readNetworks([dir.join("local"), dir.join("user")]);
    expect(networks.map(({ plugins }) => plugins[0]?.type)).toEqual(["ptp"]);
    expect(warnings).toEqual([`overriding "a" network with one from ${dir.join("user/net.d")}`]);
  });

  test("one that is no valid network stops all, with its name", () => {
    using dir = tempDir();
    dir.write("net.d/10-a.conf", conf("a"));
    dir.write("net.d/20-b.conf", "{");
    expect(() => readNetworks([dir.path])).toThrow("20-b.conf");
  });

  test("a link is followed; a directory, a device or a hanging pipe is refused", () => {
    using dir = tempDir();
    const file = dir.write("real", conf("a"));
    mkdirSync(dir.join("net.d"));
    symlinkSync(file, dir.join("net.d/10-a.conf"));
    expect(readNetworks([dir.path]).networks).toHaveLength(1);
    symlinkSync("/dev/zero", dir.join("net.d/20-zero.conf"));
    expect(() => readNetworks([dir.path])).toThrow("it is not a regular file");
    using pipes = tempDir();
    mkdirSync(pipes.join("net.d"));
    Bun.spawnSync(["mkfifo", pipes.join("net.d/10-pipe.conf")]);
    expect(() => readNetworks([pipes.path])).toThrow("it is not a regular file");
  });
});

describe("which networks a pod joins", () => {
  const networks = ["30-z.conf", "10-b.conf", "20-a.conf"].map((file) =>
    parseNetworkConfig(conf(file.slice(3, 4)), `/etc/rkt/net.d/${file}`),
  );
  const choose = (list: string, configured = networks) =>
    chooseNetworks(parseNetList(list), configured).map(
      (each) => `${each.kind} ${each.name}:${each.args}`,
    );

  test("those named, in the order of their files, with their arguments", () => {
    expect(choose("default,a:IP=10.0.0.5;X=1,b")).toEqual([
      "cni b:",
      "cni a:IP=10.0.0.5;X=1",
      "built-in default:",
    ]);
  });

  test("all is every network", () => {
    expect(choose("all")).toEqual([
      "cni b:",
      "cni a:",
      "cni z:",
      // "-" sorts before "." in the names of the reference's files.
      "built-in default-restricted:",
      "built-in default:",
    ]);
  });

  test("a file with the name of a built-in network takes its place", () => {
    const own = parseNetworkConfig(conf("default"), "/etc/rkt/net.d/00-mine.conf");
    expect(choose("default,a", [...networks, own])).toEqual(["cni default:", "cni a:"]);
  });

  test("all that are missing are named", () => {
    expect(() => choose("x,a,y")).toThrow("networks not found: x, y");
  });
});
