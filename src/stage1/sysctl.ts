// SPDX-License-Identifier: Apache-2.0
// Kernel parameters of a pod (isolator os/unix/sysctl): only those that a namespace of the pod has for itself.
// Sources: namespaces(7), network_namespaces(7), ipc_namespaces(7).
import { quote } from "../lib/text.ts";
import { Stage1Error } from "./errors.ts";
import type { PlanInput } from "./plan/input.ts";

export interface Sysctl {
  /** Below /proc/sys. */
  readonly path: string;
  readonly value: string;
}

const OF_IPC = /^kernel\.(?:shm[a-z_]+|msg[a-z_]+|sem)$|^fs\.mqueue\.[a-z_]+$/;
const OF_NETWORK = /^net\.[A-Za-z0-9_./@-]+$/;

/** Dots separate; as sysctl(8) has it, a slash stands for a dot in a name: net.ipv4.conf.eth0/1.forwarding. */
function sysctlPath(name: string): string {
  return name.replace(/[./]/g, (c) => (c === "." ? "/" : "."));
}

function refuse(name: string, why: string, remedy?: string): Stage1Error {
  return new Stage1Error("SYSCTL_REFUSED", `cannot set the sysctl ${quote(name)}: ${why}`, {
    remedy,
  });
}

function checkSysctl(
  name: string,
  value: string,
  network: PlanInput["network"] | undefined,
): Sysctl {
  const path = sysctlPath(name);
  const clean = path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
  if (!clean || !(OF_IPC.test(name) || OF_NETWORK.test(name))) {
    throw refuse(
      name,
      "it belongs to the whole machine",
      "a pod has its own net.*, kernel.shm*, kernel.msg*, kernel.sem and fs.mqueue.*",
    );
  }
  if (network === "host" && OF_NETWORK.test(name)) {
    throw refuse(name, "the pod uses the host's network", "leave --net=host out");
  }
  if (/[\0\n]/.test(value) || value.length > 4096) throw refuse(name, "its value is not one line");
  return { path, value };
}

/** Throws SYSCTL_REFUSED. `network`: undefined where it is not known yet. */
export function checkSysctls(
  settings: readonly (readonly [name: string, value: string])[],
  network: PlanInput["network"] | undefined,
): readonly Sysctl[] {
  return settings.map(([name, value]) => checkSysctl(name, value, network));
}
