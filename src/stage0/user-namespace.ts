// SPDX-License-Identifier: Apache-2.0
// Can this machine run a pod with --private-users? Whether its file systems can map owners shows only when the pod's
// mounts are made, before any process of the pod exists.
import { existsSync, readFileSync } from "node:fs";
import { isErrno } from "../lib/errors.ts";
import { Stage0Error } from "./errors.ts";

const LIMIT = "/proc/sys/user/max_user_namespaces";

export function requireUserNamespaces(): void {
  if (!existsSync("/proc/self/ns/user")) {
    throw new Stage0Error(
      "USER_NAMESPACE",
      // reference text
      "--private-users is not supported, kernel compiled without user namespace support",
      { remedy: "leave --private-users out, or use a kernel with CONFIG_USER_NS" },
    );
  }
  if (limit() !== "0") return;
  throw new Stage0Error(
    "USER_NAMESPACE",
    "cannot use --private-users: user namespaces are switched off",
    {
      remedy: `sysctl user.max_user_namespaces=10000 (${LIMIT} is 0), or leave --private-users out`,
    },
  );
}

function limit(): string | undefined {
  try {
    return readFileSync(LIMIT, "utf8").trim();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
