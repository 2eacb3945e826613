// SPDX-License-Identifier: Apache-2.0
import { RktError } from "../lib/errors.ts";

export type Stage1ErrorCode =
  | "USER_NOT_FOUND"
  | "GROUP_NOT_FOUND"
  | "ROOT_UNREADABLE"
  | "EXECUTABLE_NOT_FOUND"
  | "EXEC_EMPTY"
  | "CAPABILITY_UNKNOWN"
  | "CAPABILITY_CONFLICT"
  | "SECCOMP_CONFLICT"
  | "SECCOMP_ERRNO"
  | "SECCOMP_UNKNOWN"
  | "SECCOMP_UNSUPPORTED"
  | "VOLUME_NOT_FOUND"
  | "VOLUME_INVALID"
  | "SYSCTL_REFUSED"
  | "PLAN_INVALID"
  | "PLAN_TOO_LARGE"
  | "LAUNCH_FAILED";

/** A pod that cannot be compiled or started. */
export class Stage1Error extends RktError<Stage1ErrorCode> {}
