// SPDX-License-Identifier: Apache-2.0
// Archives of docker save made by hand: their layers are known only by what the config says of them.
import { expect } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { needs } from "../support/needs.ts";
import { ARCHITECTURE, BUSYBOX, sha256 } from "../support/oci-layout.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { tarBytes } from "../support/tar.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const ANY = "--insecure-options=image";

/** As docker before version 25 writes it, with one layer of which the config may say something else. */
function savedImage(layer: Buffer, diffID: string): Buffer {
  const config = JSON.stringify({
    os: "linux",
    architecture: ARCHITECTURE,
    config: { Entrypoint: ["/bin/sh"], Env: ["PATH=/bin"] },
    rootfs: { type: "layers", diff_ids: [diffID] },
  });
  const name = `${sha256(Buffer.from(config)).slice(7)}.json`;
  const list = [{ Config: name, RepoTags: ["example.com/saved:1"], Layers: ["one/layer.tar"] }];
  return tarBytes([
    { name, content: config },
    { name: "one", type: "dir" },
    { name: "one/layer.tar", content: layer },
    { name: "manifest.json", content: JSON.stringify(list) },
  ]);
}

function written({ work }: Rkt, name: string, bytes: Buffer): string {
  writeFileSync(`${work}/${name}`, bytes);
  return `${work}/${name}`;
}

test("a layer runs, plain and compressed, when it is what the config says", async () => {
  await using rkt = newRkt();
  const plain = tarBytes(BUSYBOX.items);
  for (const layer of [plain, gzipSync(plain)]) {
    const file = written(rkt, "saved.tar", savedImage(layer, sha256(plain)));
    const args = ["run", "--net=none", ANY, `docker-archive:${file}`, "--", "-c", "echo works"];
    expect(await rkt.ok(args)).toContain("works");
  }
});

test("a layer that is not what the config says is refused, and nothing of it stays", async () => {
  await using rkt = newRkt();
  const plain = tarBytes(BUSYBOX.items);
  const other = sha256(Buffer.from("another layer"));
  const file = written(rkt, "saved.tar", savedImage(plain, other));
  await rkt.fails(["fetch", ANY, `docker-archive:${file}`], "is not what its manifest says");
  const packed = written(rkt, "packed.tar", savedImage(gzipSync(plain), other));
  await rkt.fails(
    ["fetch", ANY, `docker-archive:${packed}`],
    "does not hold what the image config says",
  );
  const layers = `${rkt.data}/cas/oci/layer/sha256`;
  expect(existsSync(layers) ? readdirSync(layers) : []).toEqual([]);
  expect(await rkt.ok(["image", "list", "--no-legend"])).toBe("");
});
