// SPDX-License-Identifier: Apache-2.0
// A pod at the metadata service, for pods that ask for it: what it takes is loaded for them only.
import type { Reporter } from "../lib/reporter.ts";
import type { NetworkMode } from "../network/net-list.ts";
import type { PodNetworks } from "../network/setup.ts";
import { isRegistered } from "../pod/metadata.ts";

interface Pod {
  readonly uuid: string;
  readonly path: string;
}

/** AC_METADATA_URL of a pod that is about to start; undefined for one without. */
export async function joinMetadataService(
  pod: Pod & { readonly apps: readonly { readonly name: string }[] },
  wanted: { readonly metadataService: boolean; readonly network: NetworkMode },
  networks: PodNetworks | undefined,
): Promise<string | undefined> {
  if (!wanted.metadataService) return undefined;
  const { registerPod } = await import("./register-pod.ts");
  return registerPod(pod, { mode: wanted.network, networks });
}

/** Nothing for a pod that is not registered; a failure is a warning. */
export async function leaveMetadataService(pod: Pod, report: Reporter): Promise<void> {
  if (!isRegistered(pod.path)) return;
  const { unregisterPod } = await import("./register-pod.ts");
  await unregisterPod(pod, report);
}
