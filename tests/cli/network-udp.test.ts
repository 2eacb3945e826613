// SPDX-License-Identifier: Apache-2.0
// UDP ports of pods that follow each other: a client that never pauses must get to the new one.
import { expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { isErrno } from "../../src/lib/errors.ts";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "firewall");
const IMAGE = "example.com/busybox";
const WAIT = "echo up; while :; do busybox sleep 0.1; done";
const HOST_PORT = 5353;
/** Of the host; 127.0.0.1 would do too, but its flows are also masqueraded. */
const HOSTS = [
  ["10.5.5.5", "0.0.0.0"],
  ["fd75::5", "::"],
] as const;

/** A server in the pod's network that answers everything with `word`; busybox has none for UDP. */
async function serving(rkt: Rkt, word: string, any: string) {
  const file = `${rkt.work}/uuid-${word}`;
  const pod = rkt.spawn([
    "run",
    `--port=dns:${HOST_PORT}`,
    `--uuid-file-save=${file}`,
    IMAGE,
    "--",
    "-c",
    WAIT,
  ]);
  await pod.until("up\n");
  const status = await rkt.ok(["status", readFileSync(file, "utf8").trim()]);
  const pid = /^pid=(\d+)$/m.exec(status)?.[1] ?? "";
  const script = `
    const server = await Bun.udpSocket({ hostname: "${any}", port: 53, socket: { data: (_, __, port, address) => void server.send(${JSON.stringify(word)}, port, address) } });
    console.log("up");`;
  const server = Bun.spawn(["nsenter", "-t", pid, "-n", process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const _ of server.stdout) break;
  return {
    async [Symbol.asyncDispose]() {
      // Its network goes with the last process in it.
      server.kill("SIGKILL");
      await server.exited;
      pod.kill("SIGKILL");
      await pod.finished;
      while (Bun.spawnSync(["ip", "-o", "link"]).stdout.toString().includes("rkt-"))
        await Bun.sleep(10);
    },
  };
}

test.each(HOSTS)(
  "a client of a UDP port of %s gets to the pod that has it, whoever had it before",
  async (host, any) => {
    await using rkt = newRkt();
    const ports = [{ name: "dns", protocol: "udp", port: 53, count: 1, socketActivated: false }];
    writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ app: { ports } }));
    await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
    mkdirSync(`${rkt.local}/net.d`);
    const network = { name: "default", type: "built-in", ipv6: "fd72:6b74:0:1::/64" };
    writeFileSync(`${rkt.local}/net.d/99-default.conf`, JSON.stringify(network));
    const { exitCode } = Bun.spawnSync(["ip", "address", "add", host, "dev", "lo"]);
    expect(exitCode).toBe(0);
    let last = "";
    const client = await Bun.udpSocket({
      hostname: host,
      socket: {
        data(_, data) {
          last = data.toString();
        },
        // Nobody has the port just now.
        error: () => undefined,
      },
    });
    const ask = setInterval(() => {
      try {
        client.send("?", HOST_PORT, host);
      } catch (error) {
        // It is led to a pod that is gone.
        if (!isErrno(error, "ENETUNREACH", "ECONNREFUSED")) throw error;
      }
    }, 20);
    const answeredBy = async (word: string): Promise<void> => {
      // The kernel forgets a flow that nobody answers after 30 s; this one goes on, so that it never does.
      const end = performance.now() + 20_000;
      while (last !== word) {
        if (performance.now() > end) throw new Error(`no answer of ${word}, but ${last}`);
        await Bun.sleep(10);
      }
    };
    try {
      await (async () => {
        await using _first = await serving(rkt, "first", any);
        await answeredBy("first");
      })();
      await using _second = await serving(rkt, "second", any);
      await answeredBy("second");
    } finally {
      clearInterval(ask);
      client.close();
    }
  },
);
