// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { SECURE } from "../lib/insecure-options.ts";
import { failure } from "../store/test-images.ts";
import { armor } from "../trust/fixture.ts";
import { makeAci, makeKey, openWorld, sign, type TestKey, type World } from "./fixture.ts";
import { fetchImage } from "./index.ts";

describe("an image from a file", () => {
  let key: TestKey;
  let stranger: TestKey;
  let world: World;
  const bytes = makeAci({ name: "example.com/app", files: { data: "x".repeat(3_000_000) } });
  beforeAll(async () => {
    key = await makeKey("publisher");
    stranger = await makeKey("stranger");
  });
  beforeEach(async () => {
    world = await openWorld();
    await world.keystore.addPrefixKey("example.com/app", key.armored);
  });
  afterEach(() => {
    expect(world.leftovers()).toEqual([]);
    world[Symbol.dispose]();
  });
  const insecure = { keystore: undefined, insecure: { ...SECURE, image: true } };

  async function signedFile(by = key, content: Uint8Array = bytes): Promise<string> {
    const path = world.file("app.aci", content);
    world.file("app.aci.asc", await armor(await sign(by, content)));
    return path;
  }

  test("is verified with the signature beside it and imported, the file stays", async () => {
    const path = await signedFile();
    const image = await fetchImage(path, world.context());
    expect(world.store.record(image)).toMatchObject({
      name: "example.com/app",
      size: bytes.length,
    });
    expect(world.store.verification(image).kind).toBe("openpgp");
    expect(Buffer.from(await Bun.file(path).bytes()).equals(bytes)).toBe(true);
  });

  test("compressed is imported plain", async () => {
    const image = await fetchImage(await signedFile(key, gzipSync(bytes)), world.context());
    expect(world.store.record(image).size).toBe(bytes.length);
  });

  test("signed with a binary signature, or a root key, is as good", async () => {
    await world.keystore.addRootKey(stranger.armored);
    const path = world.file("app.aci", bytes);
    world.file("app.aci.asc", await sign(stranger, bytes));
    const image = await fetchImage(path, world.context());
    expect(world.store.verification(image)).toMatchObject({ fingerprint: stranger.fingerprint });
  });

  test("takes another signature file with --signature", async () => {
    const path = world.file("app.aci", bytes);
    const signature = world.file("elsewhere", await armor(await sign(key, bytes)));
    await fetchImage(path, world.context(), { signature });
  });

  test("is imported under pull policy never too", async () => {
    await fetchImage(await signedFile(), world.context({ pullPolicy: "never" }));
  });

  test("without a signature is refused", async () => {
    const path = world.file("app.aci", bytes);
    const error = await failure(() => fetchImage(path, world.context()));
    expect(error.message).toBe(`error opening signature file "${path}.asc"`);
    expect(error.code).toBe("SIGNATURE_MISSING");
  });

  test("that is not there is said to be missing, not its signature", async () => {
    const path = `${world.dir}/nope.aci`;
    const error = await failure(() => fetchImage(path, world.context()));
    expect(error.message).toBe(`cannot open the image file "${path}"`);
    expect((error.cause as Error).message).toContain("no such file");
    expect(error.code).toBe("FILE_UNREADABLE");
    expect(error).toHaveProperty("remedy", undefined);
  });

  test("signed by a stranger is refused before it is read", async () => {
    const path = await signedFile(stranger);
    const error = await failure(() => fetchImage(path, world.context()));
    expect(error.code).toBe("KEY_UNTRUSTED");
  });

  test("signed with the key of another name is refused", async () => {
    await world.keystore.addPrefixKey("other.test", stranger.armored);
    const error = await failure(async () =>
      fetchImage(await signedFile(stranger), world.context()),
    );
    expect(error.code).toBe("KEY_UNTRUSTED");
    expect(world.store.listImages()).toEqual([]);
  });

  test("changed after it was signed is refused", async () => {
    await signedFile();
    const changed = Buffer.from(bytes);
    changed[2_000_000] = 0;
    const path = world.file("app.aci", changed);
    const error = await failure(() => fetchImage(path, world.context()));
    expect(error.code).toBe("SIGNATURE_INVALID");
    expect(world.store.listImages()).toEqual([]);
  });

  test("needs no signature with --insecure-options=image", async () => {
    const path = world.file("app.aci", bytes);
    const image = await fetchImage(path, world.context(insecure));
    expect(world.store.verification(image).kind).toBe("unverified");
  });

  test("that is missing, a directory or a device is refused with its name", async () => {
    world.file("dir.aci/inside", "");
    for (const path of [`${world.dir}/none.aci`, `${world.dir}/dir.aci`]) {
      const error = await failure(() => fetchImage(path, world.context(insecure)));
      expect(error.message).toStartWith(`cannot open the image file "${path}"`);
      expect(error.code).toBe("FILE_UNREADABLE");
    }
  });

  test("that is empty, text or cut short is refused and leaves nothing", async () => {
    for (const content of [Buffer.alloc(0), Buffer.from("hello"), bytes.subarray(0, 2_000_000)]) {
      const path = world.file("app.aci", content);
      await failure(() => fetchImage(path, world.context(insecure)));
    }
    expect(world.store.listImages()).toEqual([]);
  });

  test("larger than the limit is refused", async () => {
    const path = world.file("app.aci", bytes);
    const error = await failure(() =>
      fetchImage(path, world.context({ ...insecure, maxImageSize: 9 })),
    );
    expect(error.code).toBe("TOO_LARGE");
  });
});
