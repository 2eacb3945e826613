// SPDX-License-Identifier: Apache-2.0
// The id on the host of an owner that an image names, for what rkt itself makes of it: past the pod's range are
// the ids of others.
import { IDS_PER_POD } from "../lib/id-range.ts";
import { Stage0Error } from "./errors.ts";

/** `first` is that of the pod's range, 0 for a pod without a user namespace. `what` is whose owner it is. */
export function idOnHost(id: number, first: number, what: string): number {
  if (first === 0 || id < IDS_PER_POD) return first + id;
  throw new Stage0Error(
    "USER_NAMESPACE",
    `cannot give ${what} its owner: the image says ${id}, and a pod's ids end at ${IDS_PER_POD - 1}`,
    { remedy: "leave --private-users out" },
  );
}
