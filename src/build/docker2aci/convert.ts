// SPDX-License-Identifier: Apache-2.0
// A Docker image to ACIs: one of all its layers, or one of each (tools.md §3.6, §3.7). Nothing is unpacked: entries go
// from archive to archive, so that no privilege is needed and no path of a layer is ever opened.
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ImageManifest } from "../../appc/index.ts";
import { DEFAULT_LIMIT } from "../../fetch/limits.ts";
import type { Reporter } from "../../lib/reporter.ts";
import {
  decompress,
  detectCompression,
  type FileKind,
  SNIFF_LENGTH,
} from "../../tar/compression.ts";
import { readTar } from "../../tar/read.ts";
import type { Compression } from "../../tar/stream.ts";
import { ConversionError } from "./errors.ts";
import { type DockerImage, squashedFileName } from "./image.ts";
import { type Layer, LayerTree } from "./layer-tree.ts";
import { squashedManifest } from "./manifests.ts";
import { writeAci } from "./write-aci.ts";

export interface ConversionOptions {
  readonly squash: boolean;
  readonly gzip: boolean;
  readonly outputDir: string;
  readonly report: Reporter;
}

export interface Conversion {
  /** Relative to the output directory, the lowest layer's first. */
  readonly files: readonly string[];
  /** Of the last file. */
  readonly manifest: ImageManifest;
}

export async function convert(image: DockerImage, options: ConversionOptions): Promise<Conversion> {
  if (image.layers.length === 0) {
    throw new ConversionError(
      "CONVERSION_INPUT",
      "backend image had no useful layers: not creating ACI",
    );
  }
  const archives = await openArchives(image, options.report);
  try {
    const layers = image.layers.map(({ id }, number) => readLayer(archives, number, id));
    return options.squash
      ? squash(image, { layers, archives, options })
      : layerByLayer(image, { layers, archives, options });
  } finally {
    for (const archive of archives) closeSync(archive);
  }
}

interface Work {
  readonly layers: readonly Layer[];
  readonly archives: readonly number[];
  readonly options: ConversionOptions;
}

function squash(image: DockerImage, { layers, archives, options }: Work): Conversion {
  const tree = new LayerTree();
  for (const layer of layers) tree.add(layer);
  const file = squashedFileName(image.name);
  const lower: ImageManifest[] = [];
  for (const { number } of layers) lower.push(image.manifest(number, lower));
  const top = lower.at(-1);
  if (top === undefined) throw new Error("an image without layers");
  const manifest = squashedManifest(image.name, top);
  options.report.debug("", "squashing layers");
  const content = { manifest, tree, archives, manifestLast: false };
  writeAci(join(options.outputDir, file), content, options.gzip);
  return { files: [file], manifest };
}

function layerByLayer(image: DockerImage, { layers, archives, options }: Work): Conversion {
  const whole = new LayerTree();
  const manifests: ImageManifest[] = [];
  // No file before every layer was looked at.
  const trees = layers.map((layer) => {
    const tree = new LayerTree();
    tree.add(layer, whole);
    whole.add(layer);
    const pathWhitelist = [...whole.walk()].map(({ name }) => `/${name}`).sort();
    manifests.push({ ...image.manifest(layer.number, manifests), pathWhitelist });
    return tree;
  });
  const files: string[] = [];
  let last: ImageManifest | undefined;
  for (const [number, tree] of trees.entries()) {
    const manifest = manifests[number];
    if (manifest === undefined) throw new Error("a layer without a manifest");
    const file = image.fileName(number);
    const content = { manifest, tree, archives, manifestLast: true };
    writeAci(join(options.outputDir, file), content, options.gzip);
    files.push(file);
    last = manifest;
  }
  if (last === undefined) throw new Error("an image without layers");
  return { files, manifest: last };
}

/** How many layers come at the same time. */
const AT_ONCE = 4;

/** The layers' archives in order: all of them or none. */
async function openArchives(image: DockerImage, report: Reporter): Promise<readonly number[]> {
  const archives: (number | undefined)[] = image.layers.map(() => undefined);
  const waiting = image.layers.entries();
  let failed = false;
  const take = async (): Promise<void> => {
    for (const [number, layer] of waiting) {
      if (failed) return;
      try {
        archives[number] = await openArchive(await layer.open(), layer.id, report);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, take));
  const open = archives.filter((archive) => archive !== undefined);
  const wrong = ends.find((end) => end.status === "rejected");
  if (wrong === undefined) return open;
  for (const archive of open) closeSync(archive);
  throw wrong.reason;
}

function readLayer(archives: readonly number[], number: number, id: string): Layer {
  const archive = archives[number];
  if (archive === undefined) throw new Error("a layer without its archive");
  try {
    return { number, id, entries: [...readTar(archive, { rooted: true })] };
  } catch (cause) {
    throw new ConversionError("CONVERSION_LAYER", `error reading layer ${id}`, { cause });
  }
}

/** The uncompressed archive of a layer. What is no archive at all is an empty layer, as in the reference. */
async function openArchive(from: number, id: string, report: Reporter): Promise<number> {
  try {
    const kind = kindOf(from);
    if (kind !== "unknown" && kind !== "text") return await decompressed(from, kind);
  } catch (cause) {
    throw new ConversionError("CONVERSION_LAYER", `error reading layer ${id}`, { cause });
  }
  // Two zero blocks are an archive without entries.
  const isEmpty = headOf(from).every((byte) => byte === 0);
  if (!isEmpty) report.line("", `warning: layer ${id} is no tar archive: taken as empty`);
  closeSync(from);
  return temporaryFile();
}

/** What `from` has, uncompressed: itself, or a new file that takes its place. Closes it also when it fails. */
export async function decompressed(from: number, kind: Compression | "tar"): Promise<number> {
  if (kind === "tar") return from;
  const to = temporaryFile();
  try {
    const sink = (chunk: Uint8Array) => {
      for (let at = 0; at < chunk.length; ) at += writeSync(to, chunk, at);
    };
    await decompress(from, kind, sink, { maxBytes: DEFAULT_LIMIT });
    return to;
  } catch (error) {
    closeSync(to);
    throw error;
  } finally {
    closeSync(from);
  }
}

export const kindOf = (fd: number): FileKind => detectCompression(headOf(fd));

function headOf(fd: number): Uint8Array {
  const head = Buffer.alloc(SNIFF_LENGTH);
  return head.subarray(0, readSync(fd, head, 0, head.length, 0));
}

/** A file without a name, for reading and writing. */
export function temporaryFile(): number {
  const dir = mkdtempSync(join(tmpdir(), "docker2aci-"));
  try {
    return openSync(join(dir, "layer"), "wx+", 0o600);
  } finally {
    rmSync(dir, { recursive: true });
  }
}
