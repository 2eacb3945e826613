// SPDX-License-Identifier: Apache-2.0
// Becoming another program.
import { closeSync, writeSync } from "node:fs";
import {
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_EXEC,
} from "./constants.ts";
import { check, cstr, libc, ptr } from "./libc.ts";

/** A memory file that nothing can change any more (CVE-2019-5736: the program cannot be overwritten). */
export function sealedMemfd(name: string, data: Uint8Array): number {
  // Where vm.memfd_noexec is 1, a memory file is executable only when it says so; before Linux 6.3 the flag is
  // an error (memfd_create(2)).
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const path = cstr(name);
  const executable = libc.memfd_create(ptr(path), flags | MFD_EXEC);
  const fd =
    executable >= 0 ? executable : check(libc.memfd_create(ptr(path), flags), "memfd_create");
  try {
    let at = 0;
    while (at < data.length) at += writeSync(fd, data, at);
    check(
      libc.fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
      "fcntl",
    );
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function stringVector(strings: readonly string[]): { vector: BigUint64Array; keep: Uint8Array[] } {
  const keep = strings.map(cstr);
  const vector = new BigUint64Array(strings.length + 1);
  keep.forEach((bytes, i) => {
    vector[i] = BigInt(ptr(bytes));
  });
  return { vector, keep };
}

/** execve(2): returns only by throwing. Descriptors without close-on-exec stay open. */
export function execve(path: string, argv: readonly string[], env: readonly string[]): never {
  const args = stringVector(argv);
  const vars = stringVector(env);
  check(libc.execve(ptr(cstr(path)), ptr(args.vector), ptr(vars.vector)), "execve", path);
  throw new Error(`execve returned (${args.keep.length + vars.keep.length})`);
}
