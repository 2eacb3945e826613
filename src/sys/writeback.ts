// SPDX-License-Identifier: Apache-2.0
// Asking the kernel to start writing a file to disk while the processor does something else, so that the
// fsync at the end has little left to do.
import { dlopen, FFIType } from "bun:ffi";

// int sync_file_range(int fd, off_t offset, off_t nbytes, unsigned int flags): plain integers only.
const { symbols } = dlopen("libc.so.6", {
  sync_file_range: {
    args: [FFIType.i32, FFIType.i64, FFIType.i64, FFIType.u32],
    returns: FFIType.i32,
  },
});

const SYNC_FILE_RANGE_WRITE = 2;

/**
 * sync_file_range(2): starts writing out what is dirty in `length` bytes at `offset` (0: to the end) and
 * does not wait for it. It promises nothing, so a file system that cannot do it is no error.
 */
export function startWriteback(fd: number, offset = 0, length = 0): void {
  symbols.sync_file_range(fd, offset, length, SYNC_FILE_RANGE_WRITE);
}
