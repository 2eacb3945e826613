// SPDX-License-Identifier: Apache-2.0
// Builds what other programs import from Rocket: dist/lib/appc.js, one ES module that runs under Node.

import { rename } from "node:fs/promises";

const outdir = `${import.meta.dir}/../dist/lib`;
const result = await Bun.build({
  entrypoints: [`${import.meta.dir}/../src/appc/index.ts`],
  outdir,
  target: "node",
  format: "esm",
});
if (!result.success) throw new AggregateError(result.logs, "cannot build dist/lib/appc.js");
await rename(`${outdir}/index.js`, `${outdir}/appc.js`);
