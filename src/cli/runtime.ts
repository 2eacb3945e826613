// SPDX-License-Identifier: Apache-2.0
// Every command that does work but the ones in start-runtime.ts, behind one lazy import. The bundler makes a
// file of each set of modules that lazily loaded entries share, and each such file costs 50 µs: one entry
// instead of one for each command. What is heavy stays lazy inside: OpenPGP.js, HTTP, compression.

export * as catManifest from "./commands/cat-manifest.ts";
export * as completion from "./commands/completion.ts";
export * as config from "./commands/config.ts";
export * as enter from "./commands/enter.ts";
export * as explain from "./commands/explain.ts";
export * as exportPod from "./commands/export.ts";
export * as fetch from "./commands/fetch.ts";
export * as gc from "./commands/gc.ts";
export * as imageCatManifest from "./commands/image-cat-manifest.ts";
export * as imageExport from "./commands/image-export.ts";
export * as imageExtract from "./commands/image-extract.ts";
export * as imageGc from "./commands/image-gc.ts";
export * as imageList from "./commands/image-list.ts";
export * as imageRender from "./commands/image-render.ts";
export * as imageRm from "./commands/image-rm.ts";
export * as imageVerify from "./commands/image-verify.ts";
export * as list from "./commands/list.ts";
export * as logs from "./commands/logs.ts";
export * as metadataService from "./commands/metadata-service.ts";
export * as rm from "./commands/rm.ts";
export * as stats from "./commands/stats.ts";
export * as status from "./commands/status.ts";
export * as stop from "./commands/stop.ts";
