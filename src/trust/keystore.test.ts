// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import {
  makeKey,
  refusal,
  type TestKey,
  type TestKeystore,
  temporaryDirectory,
  testKeystore,
} from "./fixture.ts";

let alice: TestKey;
let bob: TestKey;
beforeAll(async () => {
  alice = await makeKey("alice");
  bob = await makeKey("bob");
});

let directory: ReturnType<typeof temporaryDirectory>;
let store: TestKeystore;
beforeEach(() => {
  directory = temporaryDirectory();
  store = testKeystore(directory.path);
});
afterEach(() => directory[Symbol.dispose]());

function put(config: "system" | "local", path: string, content: string) {
  const full = join(store[config], "trustedkeys", path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, content);
}

const putKey = (config: "system" | "local", where: string, key: TestKey) =>
  put(config, `${where}/${key.fingerprint}`, key.armored);
const mask = (config: "system" | "local", where: string, key: TestKey) =>
  put(config, `${where}/${key.fingerprint}`, "");

async function names(prefix: string): Promise<string[]> {
  const { keys } = await store.keystore.keysFor(prefix);
  return keys.map((key) => (key.fingerprint === alice.fingerprint ? "alice" : "bob")).sort();
}

describe("keysFor", () => {
  test("is empty without directories", async () => {
    expect(await names("example.com")).toEqual([]);
  });

  test("trusts root keys for every name", async () => {
    putKey("system", "root.d", alice);
    putKey("local", "root.d", bob);
    expect(await names("example.com/app")).toEqual(["alice", "bob"]);
  });

  test("trusts a prefix for the names that start with it, as strings", async () => {
    putKey("local", "prefix.d/example.com/foo", alice);
    expect(await names("example.com/foo")).toEqual(["alice"]);
    expect(await names("example.com/foo/bar")).toEqual(["alice"]);
    expect(await names("example.com/foobar")).toEqual(["alice"]);
    expect(await names("example.com/fo")).toEqual([]);
    expect(await names("example.com/bar")).toEqual([]);
    expect(await names("example.com")).toEqual([]);
    expect(await names("example.comx/foo")).toEqual([]);
  });

  test("takes the keys of all parents", async () => {
    putKey("system", "prefix.d/example.com", alice);
    putKey("local", "prefix.d/example.com/a/b", bob);
    expect(await names("example.com/a/b")).toEqual(["alice", "bob"]);
    expect(await names("example.com/a")).toEqual(["alice"]);
  });

  test.each([
    ["system root.d by local root.d", "root.d", "root.d"],
    ["system root.d by a local prefix", "root.d", "prefix.d/example.com"],
    ["a system prefix by the local one", "prefix.d/example.com", "prefix.d/example.com"],
  ] as const)("masks a key of %s", async (_, where, by) => {
    putKey("system", where, alice);
    putKey("system", where, bob);
    expect(await names("example.com/app")).toEqual(["alice", "bob"]);
    mask("local", by, alice);
    expect(await names("example.com/app")).toEqual(["bob"]);
  });

  test("masks a prefix's key for a longer prefix only", async () => {
    for (const key of [alice, bob]) {
      putKey("local", "prefix.d/example.com", key);
      mask("local", "prefix.d/example.com/0", key);
      mask("local", "prefix.d/example.com/zzz", key);
    }
    expect(await names("example.com/app")).toEqual(["alice", "bob"]);
    expect(await names("example.com/0/app")).toEqual([]);
    expect(await names("example.com/zzz")).toEqual([]);
  });

  test("lets a later entry bring a masked key back", async () => {
    mask("system", "root.d", alice);
    putKey("local", "prefix.d/example.com", alice);
    expect(await names("example.com")).toEqual(["alice"]);
  });

  test("refuses a file that holds another key than its name says", async () => {
    put("local", `root.d/${alice.fingerprint}`, bob.armored);
    expect(await refusal(() => names("example.com"))).toBe("KEYSTORE_MISMATCH");
    expect(names("example.com")).rejects.toThrow("fingerprint mismatch: ");
  });

  test.each([
    ["junk", () => "junk"],
    ["two keys", () => alice.armored + bob.armored],
    ["a private key", () => alice.privateKey.armor()],
  ])("refuses a file that holds %s", async (_, content) => {
    put("local", `root.d/${alice.fingerprint}`, content());
    expect(await refusal(() => names("example.com"))).toBe("KEYSTORE_UNREADABLE");
  });

  test("passes over a file that is being written", async () => {
    putKey("local", "root.d", alice);
    put("local", `root.d/${bob.fingerprint}.0123456789ab.tmp`, "half a k");
    expect(await names("example.com")).toEqual(["alice"]);
    expect(store.keystore.hasKeyFor("example.com")).toBe(false);
  });

  test("follows links to keys", async () => {
    const elsewhere = join(directory.path, "alice.asc");
    writeFileSync(elsewhere, alice.armored);
    mkdirSync(join(store.local, "trustedkeys/root.d"), { recursive: true });
    symlinkSync(elsewhere, join(store.local, "trustedkeys/root.d", alice.fingerprint));
    expect(await names("example.com")).toEqual(["alice"]);
  });

  test("refuses a prefix that is no path below the keystore", async () => {
    expect(await refusal(() => names("a/../../../etc"))).toBe("PREFIX_INVALID");
    expect(await refusal(() => store.keystore.hasKeyFor("../x"))).toBe("PREFIX_INVALID");
    expect(await refusal(() => store.keystore.addPrefixKey("..", alice.armored))).toBe(
      "PREFIX_INVALID",
    );
  });
});

describe("keysForAnyName", () => {
  async function everyone(): Promise<string[]> {
    const { keys } = await store.keystore.keysForAnyName();
    return keys.map((key) => (key.fingerprint === alice.fingerprint ? "alice" : "bob")).sort();
  }

  test("has root keys and the keys of every prefix, each once", async () => {
    expect(await everyone()).toEqual([]);
    putKey("system", "root.d", alice);
    expect(await everyone()).toEqual(["alice"]);
    putKey("local", "prefix.d/example.com/a/b", bob);
    mkdirSync(join(store.local, "trustedkeys/prefix.d/Not a name"));
    expect(await everyone()).toEqual(["alice", "bob"]);
  });

  test("leaves out a key that is masked for every name, not one masked for some", async () => {
    putKey("system", "root.d", alice);
    mask("local", "prefix.d/example.com", alice);
    expect(await everyone()).toEqual(["alice"]);
    mask("local", "root.d", alice);
    expect(await everyone()).toEqual([]);
  });
});

describe("hasKeyFor", () => {
  test("knows the prefix and its parents, not its children or root keys", () => {
    putKey("system", "prefix.d/example.com/a", alice);
    putKey("system", "root.d", bob);
    expect(store.keystore.hasKeyFor("example.com/a")).toBe(true);
    expect(store.keystore.hasKeyFor("example.com/a/b")).toBe(true);
    expect(store.keystore.hasKeyFor("example.com")).toBe(false);
    expect(store.keystore.hasKeyFor("example.com/ab")).toBe(false);
  });

  test("does not count a masked key", () => {
    putKey("system", "prefix.d/example.com", alice);
    mask("local", "prefix.d/example.com", alice);
    expect(store.keystore.hasKeyFor("example.com")).toBe(false);
  });
});

describe("adding a key", () => {
  test("writes it to the local directory with the modes of rkt, whatever the umask", async () => {
    const umask = process.umask(0o077);
    try {
      const added = await store.keystore.addPrefixKey("example.com/app", alice.armored);
      const path = join(store.local, "trustedkeys/prefix.d/example.com/app", alice.fingerprint);
      expect(added).toEqual({ path, fingerprint: alice.fingerprint });
      expect(statSync(path).mode & 0o7777).toBe(0o644);
      for (let dir = dirname(path); dir !== store.local; dir = dirname(dir)) {
        expect(statSync(dir).mode & 0o7777).toBe(0o755);
      }
      expect(readdirSync(dirname(path))).toEqual([alice.fingerprint]);
      expect(readFileSync(path, "utf8")).toStartWith("-----BEGIN PGP PUBLIC KEY BLOCK-----");
    } finally {
      process.umask(umask);
    }
    expect(await names("example.com/app")).toEqual(["alice"]);
    expect(await names("example.com")).toEqual([]);
  });

  test("keeps the set-group-ID bit of the configuration directory", async () => {
    chmodSync(store.local, 0o2775);
    const { path } = await store.keystore.addRootKey(alice.armored);
    expect(path).toBe(join(store.local, "trustedkeys/root.d", alice.fingerprint));
    expect(statSync(dirname(path)).mode & 0o7777).toBe(0o2755);
    expect(await names("any.name")).toEqual(["alice"]);
  });

  test("replaces a mask and can be repeated", async () => {
    mask("local", "root.d", alice);
    await store.keystore.addRootKey(alice.armored);
    await store.keystore.addRootKey(alice.privateKey.toPublic().write());
    expect(await names("any.name")).toEqual(["alice"]);
  });

  test("refuses private keys, several keys and a file in the way", async () => {
    const { keystore } = store;
    expect(await refusal(() => keystore.addRootKey(alice.privateKey.armor()))).toBe("KEY_PRIVATE");
    expect(await refusal(() => keystore.addRootKey(alice.armored + bob.armored))).toBe(
      "KEY_MALFORMED",
    );
    put("local", "root.d", "");
    expect(await refusal(() => keystore.addRootKey(alice.armored))).toBe("KEYSTORE_UNWRITABLE");
  });
});
