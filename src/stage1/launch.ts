// SPDX-License-Identifier: Apache-2.0
// The end of TypeScript's part in `rkt run`: this process becomes stage1.
import { execve, sealedMemfd } from "../sys/exec.ts";
import { keepAcrossExec } from "../sys/lock.ts";
import { stage1Program } from "../sys/stage1-program.ts";
import { encodePlan, type Plan } from "./plan/wire.ts";

/** What a shell shows of the pod in `ps`: the last word is the pod. */
function becomeStage1(command: "run" | "enter", words: readonly string[]): never {
  const program = sealedMemfd("stage1", stage1Program());
  // The memory file is close-on-exec: nothing of the pod can open it. The environment stays here: stage1 reads
  // none, and the apps get theirs from the plan.
  execve(`/proc/self/fd/${program}`, ["stage1", command, ...words], []);
}

function planDescriptor(plan: Plan): number {
  const fd = sealedMemfd("plan", encodePlan(plan));
  keepAcrossExec(fd);
  return fd;
}

export interface LaunchOptions {
  /** The pod's directory, absolute. */
  readonly podDir: string;
  /** A descriptor that holds the pod directory's exclusive lock; stage1 keeps it as long as the pod lives. */
  readonly lockFd: number;
  readonly uuid: string;
  /** Executes in the network namespace in which stage1, and with it the pod, is to be. */
  readonly inNetwork?: ((execute: () => never) => never) | undefined;
  /** A descriptor of the user namespace that the pod is to be in, where there is one already. */
  readonly users?: number | undefined;
  /** Sockets for apps; the plan names them by their places here. */
  readonly sockets?: readonly number[] | undefined;
}

/**
 * Becomes the pod's supervisor: same pid, no way back. Throws (SysError) only when that itself fails; everything
 * later is reported by stage1 on stderr with status 254. Descriptors other than 0, 1, 2 and the lock are closed.
 */
export function launch(plan: Plan, options: LaunchOptions): never {
  process.chdir(options.podDir);
  keepAcrossExec(options.lockFd);
  const fd = planDescriptor(plan);
  const { users, sockets = [] } = options;
  if (users !== undefined) keepAcrossExec(users);
  for (const socket of sockets) keepAcrossExec(socket);
  const words = [fd, options.lockFd, options.uuid, users ?? "-", ...sockets].map(String);
  const execute = () => becomeStage1("run", words);
  return options.inNetwork === undefined ? execute() : options.inNetwork(execute);
}

/** Becomes the parent of a program inside a running pod (`compileEnterPlan`); ends with its status. */
export function launchEnter(plan: Plan, options: { readonly uuid: string }): never {
  return becomeStage1("enter", [String(planDescriptor(plan)), options.uuid]);
}
