// SPDX-License-Identifier: Apache-2.0

/** The reader of our standard output is gone (`rkt list | head -1`): no message, status as for SIGPIPE. */
export class OutputClosed extends Error {}
