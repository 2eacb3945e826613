// SPDX-License-Identifier: Apache-2.0
// A tree of layers as an ACI file: written beside its place, checked as any ACI is, compressed, moved into place.
import { closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import {
  type ImageManifest,
  parseImageManifest,
  serializeImageManifest,
} from "../../appc/index.ts";
import { quote } from "../../lib/text.ts";
import { randomName } from "../../sys/random-name.ts";
import { validateArchive } from "../../tar/aci.ts";
import { fileChunks } from "../../tar/stream.ts";
import { TarWriter } from "../../tar/write.ts";
import { ConversionError } from "./errors.ts";
import type { Item, LayerTree } from "./layer-tree.ts";

export interface AciContent {
  readonly manifest: ImageManifest;
  readonly tree: LayerTree;
  /** The layers' uncompressed archives, by number. */
  readonly archives: readonly number[];
  /** The manifest is the last entry, as in the ACI of a layer; else the first. */
  readonly manifestLast: boolean;
}

const EPOCH = { seconds: 0, nanoseconds: 0 } as const;

/** Writes `path` whole or not at all; what was there is replaced. */
export function writeAci(path: string, content: AciContent, gzip: boolean): void {
  const temporary = `${path}.docker2aci-${randomName(6)}`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    const plain = writeExclusive(temporary, (sink) => writeEntries(content, sink));
    try {
      validateArchive(plain, parseImageManifest);
      if (gzip) {
        rmSync(temporary);
        closeSync(writeExclusive(temporary, (sink) => compress(plain, sink)));
      }
    } finally {
      closeSync(plain);
    }
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    if (cause instanceof ConversionError) throw cause;
    throw new ConversionError("CONVERSION_OUTPUT", `error writing ACI ${quote(path)}`, { cause });
  }
}

type Sink = (chunk: Uint8Array) => void;

/** The new file, open for reading too. */
function writeExclusive(path: string, write: (sink: Sink) => void): number {
  const fd = openSync(path, "wx+", 0o644);
  try {
    write((chunk) => {
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
    });
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function writeEntries({ manifest, tree, archives, manifestLast }: AciContent, sink: Sink): void {
  const writer = new TarWriter(sink);
  const text = Buffer.from(serializeImageManifest(manifest));
  const writeManifest = () =>
    writer.entry({ name: "manifest", kind: "file", mode: 0o644, mtime: EPOCH }, text);
  if (!manifestLast) writeManifest();
  writer.entry({ name: "rootfs", kind: "directory", mode: 0o755, mtime: EPOCH });
  const written = new Map<Item, string>();
  for (const { name, item } of tree.walk()) {
    const path = `rootfs/${name}`;
    if (item === undefined) {
      writer.entry({ name: path, kind: "directory", mode: 0o755, mtime: EPOCH });
      continue;
    }
    const { entry, layer } = item;
    const first = written.get(item);
    if (first !== undefined) {
      writer.entry({ ...entry, name: path, kind: "hardlink", linkName: first });
      continue;
    }
    if (entry.kind !== "directory") written.set(item, path);
    const header = { ...entry, name: path };
    const archive = archives[layer];
    if (entry.kind !== "file" || archive === undefined) writer.entry(header);
    else writer.entry(header, { fd: archive, offset: entry.dataOffset, length: entry.size });
  }
  if (manifestLast) writeManifest();
  writer.finish();
}

/** Bytes per gzip member. Members are independent, so memory stays constant without a stream. */
const MEMBER = 4 * 1024 * 1024;

function compress(from: number, sink: Sink): void {
  let parts: Uint8Array[] = [];
  let size = 0;
  const flush = () => {
    if (size > 0) sink(Bun.gzipSync(Buffer.concat(parts)));
    parts = [];
    size = 0;
  };
  for (const chunk of fileChunks(from, 0, fstatSync(from).size)) {
    parts.push(chunk);
    size += chunk.length;
    if (size >= MEMBER) flush();
  }
  flush();
}
