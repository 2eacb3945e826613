// SPDX-License-Identifier: Apache-2.0
// An image from a local file (rkt-cli.md §2.3).
import type { ImageKey } from "../appc/index.ts";
import type { FetchContext } from "./context.ts";
import { importChecked, makeVerifier, requireSigner, verifyRaw } from "./import-image.ts";
import { DEFAULT_LIMIT } from "./limits.ts";
import { checkLocalFile, copyLocalFile } from "./local-file.ts";
import { readSignature, signatureBeside } from "./signature.ts";

export async function fetchFile(
  path: string,
  signatureFile: string | undefined,
  context: FetchContext,
): Promise<ImageKey> {
  context.report.debug("image", `using image from file ${path}`);
  checkLocalFile(path);
  const verifier = await makeVerifier(undefined, context);
  const signature =
    verifier.kind === "skip"
      ? undefined
      : await readSignature(
          { kind: "file", path: signatureFile ?? signatureBeside(path) },
          context,
        );
  if (signature === "deferred") throw new Error("a file cannot defer");
  if (signature !== undefined) requireSigner(signature, verifier, context);
  using copy = await copyLocalFile(path, {
    tmpDir: context.store.tmpDir,
    hashNames: signature?.hashNames ?? [],
    limit: context.maxImageSize ?? DEFAULT_LIMIT,
  });
  const verified = await verifyRaw(copy.raw, signature, { verifier, context });
  const checks = { latest: false, expected: undefined, signature, verifier };
  return await importChecked(verified, checks, context);
}
