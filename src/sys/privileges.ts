// SPDX-License-Identifier: Apache-2.0
// Giving up root's power for good (capabilities(7)). It acts on the calling thread: the caller becomes another program
// afterwards, which ends all other threads and passes nothing on.
import { check, libcPrivileges, ptr } from "./libc.ts";

const PR_CAPBSET_READ = 23;
const PR_CAPBSET_DROP = 24;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const CAPABILITY_VERSION_3 = 0x20080522;
const MAX_CAPABILITIES = 64;

/** No capability is left, and none can be gained by whatever is executed: not by root, not by a set-user-ID bit. */
export function dropCapabilities(): void {
  const { prctl, capset } = libcPrivileges();
  check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl");
  for (let capability = 0; capability < MAX_CAPABILITIES; capability++) {
    const has = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    // EINVAL: the kernel knows no more.
    if (has < 0) break;
    if (has === 1) check(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl");
  }
  check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl");
  const header = new Uint32Array([CAPABILITY_VERSION_3, 0]);
  const none = new Uint32Array(6);
  check(capset(ptr(header), ptr(none)), "capset");
}
