// SPDX-License-Identifier: Apache-2.0
import { RktError } from "../../lib/errors.ts";

export type MetadataErrorCode =
  | "METADATA_KEY"
  | "METADATA_SOCKET"
  | "METADATA_RUNNING"
  | "METADATA_PRIVILEGE";

export class MetadataError extends RktError<MetadataErrorCode> {}

/** What the system refuses becomes a sentence. */
export function explained<T>(code: MetadataErrorCode, sentence: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof RktError) throw cause;
    throw new MetadataError(code, sentence, { cause });
  }
}
