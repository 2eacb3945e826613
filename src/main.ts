// SPDX-License-Identifier: Apache-2.0
// The one executable: its name decides which program it is. The status is set first to failing, so that a
// promise that never settles can never look like success, and to the real value last.
import { runRkt } from "./cli/cli.ts";
import { processHost } from "./cli/host.ts";

const FAILURE = 254;
process.exitCode = FAILURE;

const LATER: ReadonlySet<string> = new Set(["actool", "acbuild"]);

/** As in sys/confined-child.ts, which a start need not read. */
const CONFINED = "rkt-confined";

const called = process.argv0;
const program = called.slice(called.lastIndexOf("/") + 1);

// Modes are part of the on-disk format (rkt-cli §1.6): the caller's umask must not lock the group rkt out.
process.umask(0o022);

let status = FAILURE;
try {
  const host = processHost(process.argv.slice(2));
  if (LATER.has(program)) host.write(2, `${program}: not available in this version\n`);
  else if (program === CONFINED) {
    status = await (await import("./tar/confined-job.ts")).runConfinedJob(process.argv.slice(2));
  } else if (program === "docker2aci") {
    status = await (await import("./cli/docker2aci.ts")).runDocker2aci(host);
  } else status = await runRkt(host);
} catch (error) {
  const text = error instanceof Error ? error.stack : String(error);
  process.stderr.write(`rkt: internal error: this is a bug, please report it\n${text}\n`);
}
process.exit(status);
