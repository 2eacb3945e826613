// SPDX-License-Identifier: Apache-2.0
// The seccomp filter of an app: the default one, which is ready made, or one that its isolators describe, for
// which the tables are loaded only then.
import type { App, Isolator } from "../../appc/index.ts";
import type { InsecureOptions } from "../../lib/insecure-options.ts";
import { Stage1Error } from "../errors.ts";
import { DEFAULT_FILTERS } from "./default-filter.ts";

export type Architecture = keyof typeof DEFAULT_FILTERS;

export interface SeccompFilter {
  /** struct sock_filter[] of classic BPF (seccomp(2)). */
  readonly program: Uint8Array;
  /** For people: what it lets through, and what happens else. */
  readonly label: string;
  /** It lets through what stage1 calls from giving up its power to execve (see needs.ts). */
  readonly early: boolean;
}

export interface FilterOfApp {
  /** Undefined: none, because the image opted out. */
  readonly filter: SeccompFilter | undefined;
  /** Sentences about names that were ignored. */
  readonly warnings: readonly string[];
}

const isSeccomp = ({ name }: Isolator): boolean =>
  name === "os/linux/seccomp-retain-set" || name === "os/linux/seccomp-remove-set";

/** Throws SECCOMP_UNSUPPORTED on a machine for which there are no tables. */
export function thisArchitecture(): Architecture {
  if (process.arch === "x64") return "x86_64";
  if (process.arch === "arm64") return "aarch64";
  throw new Stage1Error(
    "SECCOMP_UNSUPPORTED",
    `cannot filter system calls on ${process.arch}: its system calls are not known`,
    { remedy: "--insecure-options=seccomp runs the pod without a filter" },
  );
}

let ready: SeccompFilter | undefined;

function defaultFilter(): SeccompFilter {
  if (ready === undefined) {
    const { program, label } = DEFAULT_FILTERS[thisArchitecture()];
    ready = { program: Buffer.from(program, "base64"), label, early: true };
  }
  return ready;
}

/** Throws Stage1Error: SECCOMP_CONFLICT, SECCOMP_UNKNOWN, SECCOMP_ERRNO, SECCOMP_UNSUPPORTED. */
export async function filterOfApp(
  { app: { isolators } }: { readonly app: App },
  insecure: Pick<InsecureOptions, "seccomp">,
): Promise<FilterOfApp> {
  if (insecure.seccomp) return { filter: undefined, warnings: [] };
  if (!isolators.some(isSeccomp)) return { filter: defaultFilter(), warnings: [] };
  const { compileIsolators } = await import("./compile.ts");
  return compileIsolators(isolators.filter(isSeccomp), thisArchitecture());
}
