// SPDX-License-Identifier: Apache-2.0
// The one error of oci.

import { RktError } from "../lib/errors.ts";

export type OciErrorCode =
  | "OCI_DIGEST_INVALID"
  | "OCI_DOCUMENT_INVALID"
  | "OCI_DOCUMENT_TOO_LARGE"
  | "OCI_SCHEMA_UNSUPPORTED"
  | "OCI_PLATFORM_INVALID"
  | "OCI_PLATFORM_MISSING";

export class OciError extends RktError<OciErrorCode> {}
