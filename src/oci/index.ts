// SPDX-License-Identifier: Apache-2.0
// The OCI image specification and Docker's schema 2 as data: types, parsing, choice of platform. Pure, runs
// under Node too.

export { OciError, type OciErrorCode } from "./errors.ts";
export {
  choosePlatform,
  formatPlatform,
  hostPlatform,
  isIndexType,
  isLayerType,
  MAX_DOCUMENT_BYTES,
  MEDIA_TYPES,
  matchesPlatform,
  parseConfig,
  parseDigest,
  parseIndex,
  parseManifest,
  parsePlatform,
} from "./parse.ts";
export type { OciSource, SourceManifest } from "./source.ts";
export {
  appOf,
  digestName,
  dockerAnnotations,
  dockerIdentifier,
  executionAnnotations,
  type ImageFacts,
  imageLabels,
  imageManifestOf,
  originAnnotations,
} from "./to-app.ts";
export type {
  Descriptor,
  Digest,
  OciConfig,
  OciExecution,
  OciHealthcheck,
  OciHistory,
  OciIndex,
  OciManifest,
  Platform,
} from "./types.ts";
