// SPDX-License-Identifier: Apache-2.0
// The App Container specification as data: types, parsing, validation, writing. Pure, runs under Node too.

export { compareSemVer, parseSemVer, type SemVer } from "../lib/semver.ts";
export {
  checkAnnotations,
  getAnnotation,
  mergeAnnotations,
  parseDate,
  setAnnotation,
} from "./annotations.ts";
export {
  type DiscoveryMeta,
  type DiscoveryResult,
  discoveryPrefixes,
  type Endpoint,
  matchMeta,
  parseMeta,
  renderTemplate,
  type TemplateValues,
} from "./discovery.ts";
export { DOCKER_ANNOTATIONS } from "./docker-annotations.ts";
export { checkEnvironment, checkEnvironmentName } from "./environment.ts";
export { ManifestError, type ManifestErrorCode } from "./errors.ts";
export { imageIDFromDigest, imageKey, parseImageID, shortID } from "./image-id.ts";
export { parseImageManifest, serializeImageManifest } from "./image-manifest.ts";
export {
  type CapabilitiesIsolator,
  capabilitiesIsolator,
  checkAppIsolators,
  cpuSharesIsolator,
  DEFAULT_CAPABILITIES,
  findIsolator,
  type KnownIsolator,
  noNewPrivilegesIsolator,
  oomScoreAdjIsolator,
  parseIsolator,
  type ResourceIsolator,
  replaceIsolators,
  resourceIsolator,
  type SELinuxContext,
  type SeccompIsolator,
  seccompIsolator,
} from "./isolators.ts";
export { MAX_MANIFEST_BYTES, prettyJson } from "./json.ts";
export {
  checkLabels,
  checkOSArch,
  checkRuntimeLabels,
  formatLabels,
  getLabel,
  type Host,
  hostLabels,
  labelMismatch,
  matchLabels,
  RUNTIME_OS_ARCH,
  setLabel,
  VALID_OS_ARCH,
  withHostLabels,
} from "./labels.ts";
export { parseACIdentifier, parseACName, sanitizeACIdentifier, sanitizeACName } from "./names.ts";
export {
  type AppReference,
  formatAppString,
  formatExposedPort,
  formatMount,
  formatMountPoint,
  formatPort,
  formatVolume,
  parseAppString,
  parseExposedPort,
  parseMount,
  parseMountPoint,
  parsePort,
  parseVolume,
} from "./parameters.ts";
export { parsePodManifest, serializePodManifest } from "./pod-manifest.ts";
export { parseQuantity, Quantity } from "./quantity.ts";
export type * from "./types.ts";
export { parseUUID, uuidFromBytes } from "./uuid.ts";
export { AC_VERSION, outdatedACVersion, parseACVersion } from "./version.ts";
