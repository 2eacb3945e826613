// SPDX-License-Identifier: Apache-2.0
import { RktError } from "../../lib/errors.ts";

export type MetadataErrorCode = "METADATA_KEY" | "METADATA_SOCKET" | "METADATA_RUNNING";

export class MetadataError extends RktError<MetadataErrorCode> {}
