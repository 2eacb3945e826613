// SPDX-License-Identifier: Apache-2.0
// An OCI or Docker image from a local directory or archive.
import { basename } from "node:path";
import type { ImageKey } from "../appc/index.ts";
import type { FetchContext } from "./context.ts";
import { fetchOci } from "./fetch-oci.ts";
import { DEFAULT_LIMIT } from "./limits.ts";
import { dockerArchiveSource } from "./oci-sources/docker-archive.ts";
import { archiveFiles, directoryFiles, type ImageFiles } from "./oci-sources/files.ts";
import { type LocalNames, type LocalOciSource, layoutSource } from "./oci-sources/layout.ts";
import type { LocalOciReference } from "./reference.ts";

export async function fetchLocalOci(
  reference: LocalOciReference,
  context: FetchContext,
): Promise<ImageKey> {
  const { transport, path, name } = reference;
  context.report.debug("image", `using image from ${transport}:${path}`);
  const files =
    transport === "oci"
      ? directoryFiles(path)
      : await archiveFiles(path, context.store.tmpDir, context.maxImageSize ?? DEFAULT_LIMIT);
  const source = sourceOf(files, reference, {
    reference: `${transport}:${path}${name === undefined ? "" : `:${name}`}`,
    name: basename(path).replace(/\.(?:tar|tgz|tar\.[a-z0-9]+)$/, ""),
    ref: name,
  });
  return await fetchOci(source, context, { name: source.name });
}

function sourceOf(
  files: ImageFiles,
  { transport }: LocalOciReference,
  names: LocalNames,
): LocalOciSource {
  try {
    return transport === "docker-archive"
      ? dockerArchiveSource(files, names)
      : layoutSource(files, names);
  } catch (error) {
    files[Symbol.dispose]();
    throw error;
  }
}
