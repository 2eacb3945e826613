// SPDX-License-Identifier: Apache-2.0
// An image as the index has it, and as the store gives it on.
import type { ImageID, ImageKey } from "../appc/index.ts";
import { type ImageVerification, parseVerification } from "./image-record.ts";
import { asKey } from "./keys.ts";

export interface ImageRow {
  readonly key: ImageKey;
  /** The full image ID; the key where it is not known. */
  readonly id: ImageID;
  readonly name: string;
  readonly importTime: Date;
  readonly lastUsed: Date;
  readonly latest: boolean;
  readonly size: number;
  readonly treeSize: number;
  readonly verification: ImageVerification;
}

/** A row of the table `aciinfo`. Times are milliseconds since 1970, booleans 0 and 1. */
export interface IndexRow {
  readonly blobkey: string;
  readonly name: string;
  readonly importtime: number;
  readonly lastused: number;
  readonly latest: number;
  readonly size: number;
  readonly treestoresize: number;
  readonly imageid: string;
  readonly verification: string | null;
}

export function toImageRow(row: IndexRow): ImageRow {
  return {
    key: row.blobkey as ImageKey,
    id: row.imageid as ImageID,
    name: row.name,
    importTime: new Date(row.importtime),
    lastUsed: new Date(row.lastused),
    latest: row.latest !== 0,
    size: row.size,
    treeSize: row.treestoresize,
    verification: parseVerification(row.verification),
  };
}

const COLUMNS = {
  blobkey: "string",
  name: "string",
  importtime: "number",
  lastused: "number",
  latest: "number",
  size: "number",
  treestoresize: "number",
  imageid: "string",
} as const satisfies Partial<Record<keyof IndexRow, "string" | "number">>;

/** Rows that were written to a file as JSON; undefined when they are not what they should be. */
export function acceptRows(value: unknown): readonly IndexRow[] | undefined {
  if (!Array.isArray(value)) return undefined;
  for (const row of value) {
    if (typeof row !== "object" || row === null) return undefined;
    for (const column in COLUMNS) {
      if (typeof row[column] !== COLUMNS[column as keyof typeof COLUMNS]) return undefined;
    }
    const { blobkey, verification } = row;
    if (asKey(blobkey) === undefined) return undefined;
    if (verification !== null && typeof verification !== "string") return undefined;
  }
  return value;
}
