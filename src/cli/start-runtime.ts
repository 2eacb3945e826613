// SPDX-License-Identifier: Apache-2.0
// What it takes to start a pod from images that are in the store, and nothing else, behind one lazy import:
// each file that the bundler makes costs 50 µs of a start, and each kilobyte in it a little more. What is
// for other commands is in runtime.ts; fetching, rendering, keys and configuration are loaded when needed.

export * as prepare from "./commands/prepare.ts";
export * as run from "./commands/run.ts";
export * as runPrepared from "./commands/run-prepared.ts";
export * as flagParsers from "./flag-values.ts";
export { parseImageArguments } from "./image-args.ts";
