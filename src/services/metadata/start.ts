// SPDX-License-Identifier: Apache-2.0
// `rkt metadata-service` in two halves. The first, with root's power, opens what the service needs, gives up all
// capabilities and, by Landlock, all files but those that it reads; then it executes itself. The second serves. Between
// them is an execve(2) because all of that is a matter of threads, and the runtime has several.
import { readSync } from "node:fs";
import { join } from "node:path";
import type { Reporter } from "../../lib/reporter.ts";
import { ensurePodDirectories } from "../../pod/directory.ts";
import { ensureLayout, storePaths } from "../../store/layout.ts";
import { execve, sealedMemfd } from "../../sys/exec.ts";
import { restrictToPaths } from "../../sys/landlock.ts";
import { keepAcrossExec } from "../../sys/lock.ts";
import { dropCapabilities } from "../../sys/privileges.ts";
import { explained } from "./errors.ts";
import { KEY_BYTES, loadKey } from "./key.ts";
import { serveMetadata } from "./serve.ts";
import { openSockets } from "./sockets.ts";

export interface ServiceOptions {
  readonly dataDir: string;
  readonly port: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly report: Reporter;
}

/** Between the halves: descriptors, in the order of `Descriptors`. */
const VARIABLE = "RKT_METADATA_SERVICE_DESCRIPTORS";

interface Descriptors {
  readonly registration: number;
  readonly service: number;
  readonly lock: number;
  readonly key: number;
}

const PROGRAM = "/proc/self/exe";
/** What the runtime reads: libraries, processors, its own memory. */
const RUNTIME_PROGRAMS = [PROGRAM, "/lib", "/lib64", "/usr/lib", "/usr/lib64"];
/** Of other processes it sees in /proc what everybody sees: what is root's there takes a capability. */
const RUNTIME_FILES = [
  "/etc/ld.so.cache",
  "/etc/localtime",
  "/proc",
  "/sys/devices/system/cpu",
  "/sys/fs/cgroup",
];

/** Returns when a signal ends the service. */
export async function startMetadataService(options: ServiceOptions): Promise<number> {
  const { report, dataDir, port, env } = options;
  const passed = parseDescriptors(env[VARIABLE]);
  if (passed === undefined) return becomeConfined(options);
  const key = new Uint8Array(KEY_BYTES);
  readSync(passed.key, key, 0, KEY_BYTES, 0);
  return serveMetadata({ ...passed, key, dataDir, port, report });
}

function becomeConfined({ dataDir, port, env, report }: ServiceOptions): never {
  report.line("", "Metadata service starting...");
  const sockets = openSockets(port, env);
  // On a new machine nobody else has made them, and what the service is to read has to be there when it is confined.
  ensureLayout(storePaths(dataDir));
  ensurePodDirectories(dataDir);
  const key = explained("METADATA_KEY", "cannot use the key of signatures", () =>
    sealedMemfd("key", loadKey(dataDir)),
  );
  const list = [sockets.registration, sockets.service, sockets.lock, key];
  for (const fd of list) keepAcrossExec(fd);
  const confined = explained("METADATA_PRIVILEGE", "cannot give up root's power", () => {
    dropCapabilities();
    return restrictToPaths({
      execute: RUNTIME_PROGRAMS,
      read: [...RUNTIME_FILES, join(dataDir, "pods")],
    });
  });
  if (!confined) report.line("", "warning: the kernel has no Landlock: files of root can be read");
  execve(
    PROGRAM,
    ["rkt", `--dir=${dataDir}`, "metadata-service", `--listen-port=${port}`],
    [`${VARIABLE}=${list.join(",")}`],
  );
}

function parseDescriptors(text: string | undefined): Descriptors | undefined {
  if (text === undefined || !/^\d{1,4}(,\d{1,4}){3}$/.test(text)) return undefined;
  const [registration = 0, service = 0, lock = 0, key = 0] = text.split(",").map(Number);
  return { registration, service, lock, key };
}
