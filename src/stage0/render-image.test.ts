// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { addImage, type TestStore, testStore } from "../store/test-images.ts";
import { renderOrForget } from "./render-image.ts";

/** A file in the way of a directory: the archive is whole, its tree is not possible. */
const BROKEN = { files: { x: "a", "x/y": "b" } };

const names = (t: TestStore) => t.store.listImages().map(({ name }) => name);

test("an image that came just now and cannot be unpacked goes, with what it needs", async () => {
  using t = testStore();
  const old = await addImage(t.store, { name: "example.com/old" });
  await Bun.sleep(2);
  const since = new Date();
  await addImage(t.store, { ...BROKEN, name: "example.com/base" });
  const dependencies = [{ imageName: "example.com/base" }, { imageName: "example.com/old" }];
  const { key } = await addImage(t.store, { name: "example.com/app", dependencies });
  const render = () => t.store.renderTree(key);
  await expect(renderOrForget({ store: t.store, key, since }, render)).rejects.toThrow(
    "cannot extract",
  );
  expect(names(t)).toEqual([old.name]);
});

test("an image that was there before stays, and so does one that only the disk had no room for", async () => {
  using t = testStore();
  const { key } = await addImage(t.store, BROKEN);
  await Bun.sleep(2);
  const render = () => t.store.renderTree(key);
  const image = { store: t.store, key };
  await expect(renderOrForget({ ...image, since: new Date() }, render)).rejects.toThrow(
    "cannot extract",
  );
  const full = async () => {
    throw new Error("no space left on device");
  };
  await expect(renderOrForget({ ...image, since: new Date(0) }, full)).rejects.toThrow("no space");
  expect(names(t)).toHaveLength(1);
});
