// SPDX-License-Identifier: Apache-2.0
// This executable once more, to work on hostile data: stage1 (work.h) makes it a process that sees no files but the
// system's libraries, no network and no other process, starts none, and has only the capabilities that are named. It
// ends when this process does. There is no bound on its memory: the runtime's heap needs an address space without one.
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { once } from "../lib/once.ts";
import { sealedMemfd } from "./exec.ts";
import { stage1Program } from "./stage1-program.ts";

/** argv[0] of such a process (src/main.ts). */
export const CONFINED_NAME = "rkt-confined";

/** Where the first of `descriptors` is in the child. */
export const FIRST_DESCRIPTOR = 4;

/** By the numbers of linux/capability.h. */
export const CAPABILITY = {
  CHOWN: 0n,
  DAC_OVERRIDE: 1n,
  FOWNER: 3n,
  FSETID: 4n,
  MKNOD: 27n,
  SETFCAP: 31n,
} as const;

/** Nobody's, on every system. */
export const NOBODY = 65534;

export interface ConfinedCall {
  readonly words: readonly string[];
  readonly capabilities: readonly bigint[];
  readonly id: number;
  /** What it gets, in this order from FIRST_DESCRIPTOR on; the caller closes its own. */
  readonly descriptors: readonly number[];
  /** Its stdout; the caller closes its own. Otherwise what it prints goes nowhere. */
  readonly output?: number | undefined;
  /** For tests, in a checkout: a file in it that is run in place of src/main.ts. */
  readonly script?: string | undefined;
}

export interface ConfinedEnd {
  /** The program's; 128 and the signal's number when one ended it. */
  readonly status: number;
  /** What it said at its end, on stderr; cut at `MAX_REPORT`. */
  readonly report: string;
}

export interface ConfinedChild {
  /** It and all its threads are gone. */
  readonly ended: Promise<ConfinedEnd>;
  kill(): void;
}

const MAX_REPORT = 64 << 20;

/** What the runtime is linked with. */
const LIBRARIES = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];

/** In a checkout the runtime is another program, which reads this one. */
const SOURCES = import.meta.dir.startsWith("/$bunfs")
  ? undefined
  : join(import.meta.dir, "..", "..");

const stage1 = once(() => sealedMemfd("stage1", stage1Program()));

export function startConfined(call: ConfinedCall): ConfinedChild {
  const places = SOURCES === undefined ? LIBRARIES : [...LIBRARIES, SOURCES];
  const script = SOURCES === undefined ? [] : [call.script ?? join(SOURCES, "src", "main.ts")];
  const capabilities = call.capabilities.reduce((bits, number) => bits | (1n << number), 0n);
  const words = [capabilities, call.id, call.descriptors.length, places.length].map(String);
  const program = openSync("/proc/self/exe", "r");
  try {
    const child = Bun.spawn(
      [
        `/proc/${process.pid}/fd/${stage1()}`,
        "work",
        ...words,
        ...places,
        CONFINED_NAME,
        ...script,
        ...call.words,
      ],
      {
        cwd: "/",
        env: {},
        stdio: ["ignore", call.output ?? "pipe", "pipe", program, ...call.descriptors],
      },
    );
    const report = readReport(child.stderr, () => child.kill("SIGKILL"));
    return {
      ended: (async () => ({ report: await report, status: await child.exited }))(),
      kill: () => child.kill("SIGKILL"),
    };
  } finally {
    closeSync(program);
  }
}

async function readReport(
  stream: ReadableStream<Uint8Array>,
  onExcess: () => void,
): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of stream) {
    length += part.length;
    if (length > MAX_REPORT) {
      onExcess();
      break;
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}
