// SPDX-License-Identifier: Apache-2.0
import { check, cstr, libc, ptr } from "./libc.ts";

/** statfs(2): the magic number of the file system that holds `path` (linux/magic.h). */
export function fileSystemMagic(path: string): number {
  // struct statfs is 120 bytes on 64-bit; f_type is its first long.
  const buffer = Buffer.alloc(256);
  check(libc.statfs(ptr(cstr(path)), ptr(buffer)), "statfs", path);
  return Number(buffer.readBigUInt64LE(0) & 0xffffffffn);
}
