// SPDX-License-Identifier: Apache-2.0
// What a pod and the metadata service know of each other: where the service is, and the note in a registered pod's
// directory by which a service that was started again finds the pod.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../lib/errors.ts";
import { removeFile } from "../sys/remove-file.ts";
import { POD_FILES } from "./read.ts";

/** Where rkt registers pods; root's alone. */
export const REGISTRATION_SOCKET = "/run/rkt/metadata-svc.sock";
export const METADATA_PORT = 18112;

/** Whoever knows the token is the pod: nobody but root may read the note. */
const NOTE_MODE = 0o600;
const TOKEN = /^[0-9a-f]{32}$/;

interface Note {
  readonly uuid: string;
  readonly token: string;
  /** AC_METADATA_URL; not yet there while the pod is being registered. */
  readonly url?: string | undefined;
}

/** `path`: of the pod, as in all of these. */
export function isRegistered(path: string): boolean {
  return existsSync(join(path, POD_FILES.mdsRegistered));
}

/** Whole or not at all: a process can be killed in between. */
export function writeRegistration(path: string, note: Note): void {
  const file = join(path, POD_FILES.mdsRegistered);
  writeFileSync(`${file}.new`, `${JSON.stringify(note)}\n`, { mode: NOTE_MODE });
  renameSync(`${file}.new`, file);
}

/** Undefined for a pod that is not registered, and for the empty note of rkt 1.x. */
export function readRegistration(path: string, uuid: string): Note | undefined {
  let note: Partial<Note> | null;
  try {
    note = JSON.parse(readFileSync(join(path, POD_FILES.mdsRegistered), "utf8"));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR") || error instanceof SyntaxError) return undefined;
    throw error;
  }
  if (note?.uuid !== uuid || typeof note.token !== "string" || !TOKEN.test(note.token)) {
    return undefined;
  }
  const { token, url } = note;
  return { uuid, token, url: typeof url === "string" ? url : undefined };
}

export function forgetRegistration(path: string): void {
  removeFile(join(path, POD_FILES.mdsRegistered));
}
