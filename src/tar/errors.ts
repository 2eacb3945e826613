// SPDX-License-Identifier: Apache-2.0
import { RktError } from "../lib/errors.ts";

export type ArchiveErrorCode =
  /** The bytes are not what the format says: checksum, number, extended header, compressed data. */
  | "ARCHIVE_CORRUPT"
  /** The file ends inside an entry, a header or a compressed stream. */
  | "ARCHIVE_TRUNCATED"
  /** Well-formed, but of a kind that is not supported: sparse files, unknown entry types. */
  | "ARCHIVE_UNSUPPORTED"
  /** An entry would reach outside of the tree, or is there twice. */
  | "ARCHIVE_UNSAFE"
  /** A bound was passed: name, header, entry count, decompressed size. */
  | "ARCHIVE_LIMIT"
  /** A tar archive, but not an App Container Image; a layout that is none. */
  | "ARCHIVE_INVALID"
  /** The kernel refused an operation while a tree was written or read; the cause says which. */
  | "ARCHIVE_IO";

export class ArchiveError extends RktError<ArchiveErrorCode> {}
