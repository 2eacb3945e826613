// SPDX-License-Identifier: Apache-2.0
// The invariants of docs/devel/on-disk-format.md, checked on the files and without the code that keeps them.
import { Database } from "bun:sqlite";
import { createHash } from "node:crypto";
import { type Dirent, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { processesBelow, type Rkt } from "../support/rkt.ts";
import { exists, mountsBelow } from "../support/temp.ts";

/** What whole things look like, learnt from commands that nobody disturbed. */
export class Reference {
  readonly #trees = new Map<string, string>();
  #prepared: readonly string[] = [];

  learn(rkt: Rkt): void {
    for (const tree of renderedTrees(rkt)) this.#trees.set(basename(tree), digestTree(tree));
    for (const pod of podsIn(rkt, "prepared")) this.#prepared = shapeOf(pod);
  }

  /** What must hold at any moment, also right after a crash. */
  *broken(rkt: Rkt): Iterable<string> {
    const cas = join(rkt.data, "cas");
    for (const file of filesBelow(join(cas, "blob"))) {
      const hash = createHash("sha512").update(readFileSync(file)).digest("hex");
      if (basename(file) !== `sha512-${hash.slice(0, 64)}`)
        yield `B1: blob is not its name: ${file}`;
    }
    for (const file of [
      ...filesBelow(join(cas, "imageManifest")),
      ...filesBelow(join(cas, "imageRecord")),
    ]) {
      if (!file.endsWith(".tmp") && !isJson(file)) yield `B2: not whole: ${file}`;
    }
    for (const blob of filesBelow(join(cas, "blob"))) {
      for (const kind of ["imageManifest", "imageRecord"]) {
        if (!exists(blob.replace("/cas/blob/", `/cas/${kind}/`)))
          yield `B2: blob without ${kind}: ${blob}`;
      }
    }
    for (const tree of renderedTrees(rkt)) {
      const expected = this.#trees.get(basename(tree));
      if (expected !== digestTree(tree)) yield `T1: rendered, but not whole: ${tree}`;
    }
    for (const file of filesBelow(join(cas, "oci/blob"))) {
      const algorithm = basename(dirname(file));
      const hash = createHash(algorithm).update(readFileSync(file)).digest("hex");
      if (basename(file) !== hash) yield `B1: OCI blob is not its name: ${file}`;
    }
    for (const pod of podsIn(rkt, "prepared")) {
      const shape = new Set(shapeOf(pod));
      const missing = this.#prepared.filter((name) => !shape.has(name));
      if (missing.length > 0)
        yield `P2: prepared, but not whole: ${pod} lacks ${missing.join(", ")}`;
      for (const name of shape) {
        if (basename(name) !== "treeStoreID") continue;
        const tree = join(cas, "tree", readFileSync(join(pod, name), "utf8").trim());
        if (!exists(join(tree, "rendered"))) yield `P2: prepared, but its tree is gone: ${pod}`;
      }
      if (!isJson(join(pod, "pod"))) yield `P2: prepared with a broken manifest: ${pod}`;
    }
    for (const pod of podsIn(rkt, "run")) {
      if (!isJson(join(pod, "pod"))) yield `P3: in run with a broken manifest: ${pod}`;
    }
    for (const file of filesBelow(join(rkt.local, "trustedkeys"))) {
      // Names that the keystore does not read: what was being written.
      if (/\.[0-9a-f]{12}\.tmp$/.test(file)) continue;
      const text = readFileSync(file, "utf8").trimEnd();
      if (!text.endsWith("-----END PGP PUBLIC KEY BLOCK-----")) yield `K1: half a key: ${file}`;
    }
    for (const mount of mountsBelow(rkt.data)) yield `P5: mounted on the host: ${mount}`;
  }
}

/** What no command may leave when it has failed and said so, and gc may not leave at all. */
export function* waste(
  rkt: Rkt,
  options: { readonly keepsPartial: boolean; readonly keystore?: boolean },
): Iterable<string> {
  const cas = join(rkt.data, "cas");
  for (const name of [...namesIn(join(rkt.data, "tmp")), ...namesIn(join(cas, "tmp"))]) {
    if (options.keepsPartial && /^sha512-[0-9a-f]{64}(\.etag)?$/.test(name)) continue;
    yield `G1: temporary file: ${name}`;
  }
  for (const name of namesIn(join(cas, "db"))) {
    // A journal that was not begun in earnest is SQLite's own affair: the next writer takes it over.
    if (!["index.sqlite", "index.sqlite-journal", "names.json"].includes(name))
      yield `G1: beside the index: ${name}`;
  }
  for (const folder of ["embryo", "prepare", "garbage"]) {
    for (const pod of podsIn(rkt, folder)) yield `G2: pod: ${folder}/${basename(pod)}`;
  }
  for (const kind of ["imageManifest", "imageRecord"]) {
    for (const file of filesBelow(join(cas, kind))) {
      if (!exists(file.replace(`/cas/${kind}/`, "/cas/blob/")))
        yield `G3: ${kind} without a blob: ${file}`;
    }
  }
  for (const tree of namesIn(join(cas, "tree"))) {
    const names = namesIn(join(cas, "tree", tree));
    if (!names.includes("rendered")) yield `G4: tree that is not rendered: ${tree}`;
    for (const name of names.filter((each) => each.endsWith(".tmp")))
      yield `G4: in a tree: ${name}`;
  }
  for (const file of filesBelow(rkt.local)) {
    if (options.keystore && file.endsWith(".tmp")) yield `K1: temporary file: ${file}`;
  }
  for (const process of processesBelow(rkt.data)) yield `P5: process: ${process}`;
}

/** What may be there after a collection besides: nothing that is not alive. */
export function* orphans(rkt: Rkt): Iterable<string> {
  const cas = join(rkt.data, "cas");
  for (const folder of ["prepared", "run", "exited-garbage"]) {
    for (const pod of podsIn(rkt, folder)) yield `G2: pod: ${folder}/${basename(pod)}`;
  }
  const blobs = new Set(filesBelow(join(cas, "blob")).map((file) => basename(file)));
  const rows = new Set(indexRows(rkt));
  for (const key of rows) if (!blobs.has(key)) yield `I1: index row without a blob: ${key}`;
  for (const key of blobs) if (!rows.has(key)) yield `I1: blob without an index row: ${key}`;
  const named = new Set(filesBelow(join(cas, "imageRecord")).flatMap(ociDigests));
  for (const file of filesBelow(join(cas, "oci/blob"))) {
    if (!named.has(basename(file))) yield `G6: OCI blob of no image: ${file}`;
  }
  for (const layer of ociLayers(rkt)) {
    if (!exists(join(layer, "rendered"))) yield `G6: layer that is not rendered: ${layer}`;
  }
  for (const name of namesIn(join(cas, "imagelocks"))) {
    if (!blobs.has(name)) yield `G5: lock of a lost image: ${name}`;
  }
  const trees = new Set(namesIn(join(cas, "tree")));
  for (const name of namesIn(join(cas, "treestorelocks"))) {
    if (!trees.has(name)) yield `G5: lock of a lost tree: ${name}`;
  }
}

const LASTING: ReadonlySet<string> = new Set([
  "cas/db/index.sqlite",
  "cas/db/names.json",
  "locks/prepareLock",
]);

/** Once everything is collected, the data directory holds its own folders, the index and one lock file. */
export function* remains(rkt: Rkt): Iterable<string> {
  for (const file of filesBelow(rkt.data)) {
    const name = file.slice(rkt.data.length + 1);
    if (!LASTING.has(name)) yield `G: file: ${name}`;
  }
  for (const tree of namesIn(join(rkt.data, "cas/tree"))) yield `G: tree: ${tree}`;
  for (const layer of ociLayers(rkt)) yield `G: layer: ${layer}`;
  for (const key of indexRows(rkt)) yield `G: index row: ${key}`;
}

function indexRows(rkt: Rkt): string[] {
  const path = join(rkt.data, "cas/db/index.sqlite");
  if (!exists(path)) return [];
  const db = new Database(path, { readonly: true });
  try {
    return db
      .query<{ blobkey: string }, []>("SELECT blobkey FROM aciinfo")
      .all()
      .map((row) => row.blobkey);
  } finally {
    db.close();
  }
}

export function podsIn(rkt: Rkt, folder: string): string[] {
  const path = join(rkt.data, "pods", folder);
  return namesIn(path).map((name) => join(path, name));
}

/** Trees, and the layers of OCI images, which have the same rules. */
function renderedTrees(rkt: Rkt): string[] {
  const trees = join(rkt.data, "cas/tree");
  return namesIn(trees)
    .map((name) => join(trees, name))
    .concat(ociLayers(rkt))
    .filter((tree) => exists(join(tree, "rendered")));
}

function ociLayers(rkt: Rkt): string[] {
  const layers = join(rkt.data, "cas/oci/layer");
  return namesIn(layers).flatMap((algorithm) =>
    namesIn(join(layers, algorithm)).map((name) => join(layers, algorithm, name)),
  );
}

/** All digests that a record names, whatever they are of. */
function ociDigests(record: string): readonly string[] {
  return [...readFileSync(record, "utf8").matchAll(/sha(?:256|512):([0-9a-f]+)/g)].map(
    ([, hex = ""]) => hex,
  );
}

function namesIn(directory: string): string[] {
  return exists(directory) ? readdirSync(directory).sort() : [];
}

function entriesBelow(directory: string): Dirent[] {
  if (!exists(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true });
}

function filesBelow(directory: string): string[] {
  return entriesBelow(directory)
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Names only: what `run-prepared` writes into a pod in addition is no harm. */
function shapeOf(pod: string): string[] {
  return entriesBelow(pod).map((entry) => join(entry.parentPath, entry.name).slice(pod.length));
}

/** A hash over what an app would see: names, types, modes, owners, content, and in trees times: a layer has directories that it does not describe. */
function digestTree(tree: string): string {
  const hash = createHash("sha256");
  const paths = entriesBelow(tree)
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => basename(path) !== "rendered" && !path.endsWith(".tmp"))
    .sort();
  for (const path of paths) {
    const stat = lstatSync(path);
    const isImages = path.startsWith(`${tree}/rootfs/`);
    const time = isImages ? stat.mtimeMs : 0;
    hash.update(`${path.slice(tree.length)} ${stat.mode} ${stat.uid} ${stat.gid} ${time}\n`);
    if (stat.isSymbolicLink()) hash.update(readlinkSync(path));
    else if (stat.isFile()) hash.update(readFileSync(path));
  }
  return hash.digest("hex");
}

function isJson(path: string): boolean {
  try {
    JSON.parse(readFileSync(path, "utf8"));
    return true;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT")
      return false;
    throw error;
  }
}
