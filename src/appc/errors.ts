// SPDX-License-Identifier: Apache-2.0
// The one error of appc. Its sentences are the reference library's, so that scripts and people who know
// them find them again; where in a document the fault is, travels in `details.path` and the remedy.

import { RktError } from "../lib/errors.ts";

export type ManifestErrorCode =
  | "MANIFEST_SYNTAX"
  | "MANIFEST_INVALID"
  | "MANIFEST_TOO_LARGE"
  | "NAME_INVALID"
  | "VERSION_INVALID"
  | "IMAGE_ID_INVALID"
  | "UUID_INVALID"
  | "QUANTITY_INVALID"
  | "ISOLATOR_INVALID"
  | "LABELS_INVALID"
  | "PARAMETER_INVALID";

export class ManifestError extends RktError<ManifestErrorCode> {}

/** The same error, known to have happened at `step` (a field name or a list index) of a document. */
export function locate(error: unknown, step: string | number): unknown {
  if (!(error instanceof ManifestError)) return error;
  const { path: inner } = error.details ?? {};
  const head = typeof step === "number" ? `[${step}]` : step;
  const separator = typeof inner === "string" && !inner.startsWith("[") ? "." : "";
  const path = `${head}${separator}${typeof inner === "string" ? inner : ""}`;
  return new ManifestError(error.code, error.message, {
    details: { ...error.details, path },
    remedy: `correct ${path} in the manifest`,
    cause: error.cause,
  });
}
