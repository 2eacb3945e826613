// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { failure } from "../store/test-images.ts";
import type { FetchContext } from "./context.ts";
import { makeKey, openWorld, publish, type TestKey, type World } from "./fixture.ts";
import { fetchImage } from "./index.ts";

const idOf = (bytes: Uint8Array) => `sha512-${createHash("sha512").update(bytes).digest("hex")}`;

describe("dependencies", () => {
  let key: TestKey;
  let stranger: TestKey;
  let world: World;
  beforeAll(async () => {
    key = await makeKey("publisher");
    stranger = await makeKey("stranger");
  });
  beforeEach(async () => {
    world = await openWorld();
    await world.keystore.addPrefixKey("example.com", key.armored);
  });
  afterEach(() => {
    expect(world.leftovers()).toEqual([]);
    world[Symbol.dispose]();
  });
  const names = () =>
    world.store
      .listImages()
      .map(({ name }) => name)
      .sort();
  const get = (changes: Partial<FetchContext> = {}) =>
    fetchImage("example.com/top", world.context(changes));
  const downloads = () => world.web.log.filter((line) => line.endsWith(".aci")).length;

  /** Publishes an image that needs others, by name or by more. */
  const serve = (
    name: string,
    needs: readonly (string | Readonly<Record<string, unknown>>)[] = [],
    by = key,
  ) =>
    publish(
      world,
      {
        name: `example.com/${name}`,
        dependencies: needs.map((need) =>
          typeof need === "string" ? { imageName: `example.com/${need}` } : need,
        ),
      },
      { key: by },
    );

  test("are fetched by name, theirs too, each once", async () => {
    await serve("top", ["left", "right"]);
    await serve("left", ["base"]);
    await serve("right", ["base"]);
    await serve("base");
    await get();
    expect(names()).toEqual(["base", "left", "right", "top"].map((name) => `example.com/${name}`));
    expect(downloads()).toBe(4);
  });

  test("are left alone where they are not wanted", async () => {
    await serve("top", ["left"]);
    await get({ dependencies: false });
    expect(names()).toEqual(["example.com/top"]);
  });

  test("are verified as the image is", async () => {
    await serve("top", ["left"]);
    const left = await serve("left", [], stranger);
    const error = await failure(get);
    expect(error.code).toBe("KEY_UNTRUSTED");
    expect(world.web.log).not.toContain(`GET ${left.url}`);
  });

  test("in the store are used as they are with pull policy new, and not looked for with never", async () => {
    await serve("top", ["left"]);
    await serve("left");
    await get({ dependencies: false });
    const error = await failure(() => get({ pullPolicy: "never" }));
    expect(error.message).toStartWith('unable to fetch image from image name "example.com/left": ');
    expect(error.code).toBe("IMAGE_NOT_FOUND");
    await get({ pullPolicy: "new" });
    world.web.log.length = 0;
    await get({ pullPolicy: "new" });
    await get({ pullPolicy: "never" });
    expect(world.web.log).toEqual([]);
  });

  test("pinned by image ID are taken from the store by it, and refused when another image comes", async () => {
    const left = await serve("left");
    const imageID = idOf(left.bytes);
    await serve("top", [{ imageName: "example.com/left", imageID }]);
    await get();
    await get();
    expect(downloads()).toBe(3);
    await serve("top", [{ imageName: "example.com/left", imageID: `sha512-${"0".repeat(128)}` }]);
    const error = await failure(get);
    expect(error.message).toStartWith(
      'dependency "example.com/left" doesn\'t match hash: sha512-000',
    );
    expect(error.code).toBe("DEPENDENCY_MISMATCH");
  });

  test("larger than they are said to be are refused", async () => {
    const left = await serve("left");
    await serve("top", [{ imageName: "example.com/left", size: left.bytes.length - 1 }]);
    expect((await failure(get)).code).toBe("TOO_LARGE");
    await serve("top", [{ imageName: "example.com/left", size: left.bytes.length }]);
    await get();
  });

  test("that lead back to the image are refused", async () => {
    await serve("top", ["left"]);
    await serve("left", ["top"]);
    const error = await failure(get);
    expect(error.message).toBe(
      'dependency cycle: "example.com/top" needs "example.com/left" needs "example.com/top"',
    );
    expect(error.code).toBe("DEPENDENCY_CYCLE");
  });

  test("of themselves are refused", async () => {
    await serve("top", ["top"]);
    expect((await failure(get)).code).toBe("DEPENDENCY_CYCLE");
  });

  test("that never end are refused", async () => {
    await serve("top", ["n0"]);
    for (let i = 0; i < 70; i++) await serve(`n${i}`, [`n${i + 1}`]);
    const error = await failure(get);
    expect(error.message).toBe("dependencies are nested more than 64 deep");
    expect(error.code).toBe("DEPENDENCY_LIMIT");
  });
});
