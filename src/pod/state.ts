// SPDX-License-Identifier: Apache-2.0
// The states of a pod and what each allows. A state is never written down: it is the directory that the
// pod is in, and whether somebody holds that directory's lock (rkt-runtime §2.1).

/** The folders below `pods/`, in the order in which a pod can pass through them. */
export const POD_DIRECTORIES = [
  "embryo",
  "prepare",
  "prepared",
  "run",
  "exited-garbage",
  "garbage",
] as const;

export type PodDirectory = (typeof POD_DIRECTORIES)[number];

export type PodState =
  | "embryo"
  | "preparing"
  | "aborted prepare"
  | "prepared"
  | "running"
  | "deleting"
  | "exited deleting"
  | "exited"
  | "exited garbage"
  | "garbage";

const STATES: Readonly<
  Record<PodDirectory, { readonly locked: PodState; readonly free: PodState }>
> = {
  embryo: { locked: "embryo", free: "embryo" },
  prepare: { locked: "preparing", free: "aborted prepare" },
  prepared: { locked: "prepared", free: "prepared" },
  run: { locked: "running", free: "exited" },
  "exited-garbage": { locked: "exited deleting", free: "exited garbage" },
  garbage: { locked: "deleting", free: "garbage" },
};

export function podState(directory: PodDirectory, locked: boolean): PodState {
  return locked ? STATES[directory].locked : STATES[directory].free;
}

/** The pod ran and is not running any more. */
export function isAfterRun(state: PodState): boolean {
  return (
    state === "exited" ||
    state === "exited garbage" ||
    state === "exited deleting" ||
    state === "deleting" ||
    state === "garbage"
  );
}

/** `status --wait` ends here: nothing more will happen in this pod. */
export function isFinished(state: PodState): boolean {
  return isAfterRun(state) || state === "aborted prepare";
}

/** The manifest is complete: written before a pod becomes `prepared` or `running`. */
export function hasManifest(state: PodState): boolean {
  return state === "prepared" || state === "running" || isAfterRun(state);
}

export function canExport(state: PodState): boolean {
  return state === "exited" || state === "exited garbage";
}
