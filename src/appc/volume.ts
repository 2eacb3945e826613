// SPDX-License-Identifier: Apache-2.0
// Volumes: defaults and rules, shared by the JSON and the command-line form. (appc.md section 4.4)

import { ManifestError } from "./errors.ts";
import type { ACName, Volume } from "./types.ts";

/** A volume as it was written, before its kind decides what it may have. */
export interface RawVolume {
  readonly name: ACName;
  readonly kind: string;
  readonly source: string;
  readonly readOnly?: boolean | undefined;
  readonly recursive?: boolean | undefined;
  readonly mode?: string | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

export const EMPTY_VOLUME_DEFAULTS = { mode: "0755", uid: 0, gid: 0 } as const;

export function checkVolume(raw: RawVolume): Volume {
  const { name, kind, source } = raw;
  const common = {
    name,
    ...(raw.readOnly !== undefined && { readOnly: raw.readOnly }),
    ...(raw.recursive !== undefined && { recursive: raw.recursive }),
  };
  switch (kind) {
    case "empty":
      if (source !== "") throw invalid("source for empty volume must be empty");
      return {
        kind,
        ...common,
        mode: raw.mode ?? EMPTY_VOLUME_DEFAULTS.mode,
        uid: raw.uid ?? EMPTY_VOLUME_DEFAULTS.uid,
        gid: raw.gid ?? EMPTY_VOLUME_DEFAULTS.gid,
      };
    case "host":
      if (source === "") throw invalid("source for host volume cannot be empty");
      for (const field of ["mode", "uid", "gid"] as const) {
        if (raw[field] !== undefined) throw invalid(`${field} for host volume cannot be set`);
      }
      if (!source.startsWith("/")) {
        throw invalid("source for host volume must be absolute path");
      }
      return { kind, ...common, source };
    default:
      throw invalid(`unrecognized volume kind: should be one of "empty", "host"`);
  }
}

function invalid(message: string): ManifestError {
  return new ManifestError("MANIFEST_INVALID", message);
}
