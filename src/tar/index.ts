// SPDX-License-Identifier: Apache-2.0
// Archives: reading, writing, safe extraction, decompression, App Container Images.
export {
  type BuildOptions,
  buildAci,
  type ManifestCheck,
  readManifest,
  validateArchive,
  validateLayout,
} from "./aci.ts";
export {
  type DecompressLimits,
  decompress,
  detectCompression,
  type FileKind,
  SNIFF_LENGTH,
} from "./compression.ts";
export type { TarEntry, TarKind, TarTime } from "./entry.ts";
export { ArchiveError, type ArchiveErrorCode } from "./errors.ts";
export {
  type ExtractOptions,
  type ExtractTarget,
  extractTree,
  type OwnerPolicy,
  TreeExtractor,
} from "./extract.ts";
export { readTar } from "./read.ts";
export type { ChunkSink, Compression } from "./stream.ts";
export { type FilePart, type TarHeader, TarWriter } from "./write.ts";
