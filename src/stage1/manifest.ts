// SPDX-License-Identifier: Apache-2.0
// The manifest that the built-in stage1 would have if it were an image: pods store it where rkt does
// (rkt-runtime.md §3, §4.1), so that a script finds what it looks for.

/** JSON of an ImageManifest. Its entry points are names, not files: stage1 is inside the executable. */
export const BUILTIN_STAGE1_MANIFEST: string = JSON.stringify({
  acKind: "ImageManifest",
  acVersion: "0.8.11",
  name: "coreos.com/rkt/stage1-native",
  labels: [{ name: "os", value: "linux" }],
  annotations: [
    { name: "coreos.com/rkt/stage1/run", value: "/init" },
    { name: "coreos.com/rkt/stage1/enter", value: "/enter" },
    { name: "coreos.com/rkt/stage1/gc", value: "/gc" },
    { name: "coreos.com/rkt/stage1/stop", value: "/stop" },
    { name: "coreos.com/rkt/stage1/interface-version", value: "6" },
  ],
});
