// SPDX-License-Identifier: Apache-2.0
// security.capability, the extended attribute of a program with capabilities (linux/capability.h). Revision 2 counts
// where uid 0 is the host's; revision 3 names the uid that is root where it counts.

const FLAGS = 0x00ff_ffff;
const REVISION_2 = 0x0200_0000;
const REVISION_3 = 0x0300_0000;
const SIZE_2 = 20;
const SIZE_3 = 24;

/** The same capabilities for the user namespace whose root is `root` of the host; 0 is the host itself. */
export function capabilityForRoot(value: Uint8Array, root: number): Uint8Array {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (value.length !== SIZE_2 && value.length !== SIZE_3) return value;
  const magic = view.getUint32(0, true);
  const result = new Uint8Array(root === 0 ? SIZE_2 : SIZE_3);
  result.set(value.subarray(0, result.length));
  const out = new DataView(result.buffer);
  out.setUint32(0, (magic & FLAGS) | (root === 0 ? REVISION_2 : REVISION_3), true);
  if (root !== 0) out.setUint32(SIZE_2, root, true);
  return result;
}
