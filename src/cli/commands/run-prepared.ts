// SPDX-License-Identifier: Apache-2.0
// `rkt run-prepared` (rkt-cli §5.3): starts a pod that `rkt prepare` made, and becomes its supervisor.
import { parseNetList } from "../../network/net-list.ts";
import { moveToRun, notPrepared, resolvePod, takePrepared } from "../../pod/directory.ts";
import { PodError } from "../../pod/errors.ts";
import { readPrivateUsers } from "../../pod/read.ts";
import { joinMetadataService, leaveMetadataService } from "../../stage0/metadata-service.ts";
import { checkNetworks, joinNetworks, tryLeaveNetworks } from "../../stage0/networks.ts";
import { preparedApps, preparedManifest } from "../../stage0/prepared.ts";
import { planPod, startPod, takeSockets } from "../../stage0/start.ts";
import type { Run } from "../command.ts";
import type { runPreparedFlags } from "../flag-sets.ts";
import { checkStartFlags, startOptions } from "../pod-request.ts";

export const run: Run<typeof runPreparedFlags> = async ({ context, flags, args, usage }) => {
  const [uuid] = args;
  if (uuid === undefined || args.length > 1) return usage();
  const networks = parseNetList(flags.net);
  checkStartFlags({ ...flags, port: [] }, networks);
  const options = startOptions(context, flags, networks);
  await checkNetworks(options);
  const dataDir = await context.dataDir();
  const pod = resolvePod(dataDir, uuid);
  if (pod.state !== "prepared") throw notPrepared(pod.uuid, pod.state);
  using taken = takePrepared(pod);
  const manifest = preparedManifest(pod);
  const apps = preparedApps(pod, manifest);
  if (flags.interactive && apps.length > 1) {
    throw new PodError("POD_STATE", "interactive option only supports pods with one app");
  }
  const userNamespace = readPrivateUsers(pod.path);
  const start = { uuid: pod.uuid, path: pod.path, manifest, apps, userNamespace };
  try {
    const sockets = await takeSockets(start, options, context.reporter);
    const joined = await joinNetworks(start, options, {
      dataDir,
      report: context.reporter,
      sockets,
    });
    const metadataUrl = await joinMetadataService(start, options, joined);
    const plan = await planPod(start, options, {
      dataDir,
      report: context.reporter,
      networks: joined,
      metadataUrl,
      sockets,
    });
    return startPod(moveToRun(dataDir, taken), plan, {
      mode: options.network,
      networks: joined,
      sockets,
    });
  } catch (error) {
    // The pod stays prepared, and can be run again.
    await leaveMetadataService(pod, context.reporter);
    await tryLeaveNetworks(pod);
    throw error;
  }
};
