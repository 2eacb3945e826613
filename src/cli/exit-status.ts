// SPDX-License-Identifier: Apache-2.0

/** Every failure of rkt's own (rkt-cli §1.3). */
export const EXIT_FAILURE = 254;
