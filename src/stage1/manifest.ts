// SPDX-License-Identifier: Apache-2.0
// The image manifest of the built-in stage1, as a pod shows it in stage1/manifest. There is no image behind
// it: the program is inside the executable. The annotations are rkt's (rkt-runtime §4.1), for scripts that
// ask which flavor and interface a pod has.
import { AC_VERSION } from "../appc/index.ts";
import { VERSION } from "../lib/version.ts";

export const BUILTIN_STAGE1_MANIFEST = JSON.stringify({
  acKind: "ImageManifest",
  acVersion: AC_VERSION,
  name: "coreos.com/rkt/stage1-native",
  labels: [
    { name: "version", value: VERSION },
    { name: "os", value: "linux" },
  ],
  annotations: [{ name: "coreos.com/rkt/stage1/interface-version", value: "6" }],
});
