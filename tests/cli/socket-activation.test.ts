// SPDX-License-Identifier: Apache-2.0
// Ports that an image declares socket-activated: who starts rkt listens, and the app gets the socket (LISTEN_FDS).
import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { exists } from "../support/temp.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const IMAGE = "example.com/busybox";
const PYTHON = "/usr/bin/python3";

async function ready(rkt: Rkt): Promise<void> {
  const tcp = { protocol: "tcp", count: 1, socketActivated: true };
  const ports = [
    { ...tcp, name: "late", port: 8001 },
    { ...tcp, name: "later", port: 8002 },
    { ...tcp, name: "packets", port: 8003, protocol: "udp" },
  ];
  writeFileSync(`${rkt.work}/busybox.aci`, busyboxAci({ app: { ports } }));
  await fetchSigned(rkt, `${rkt.work}/busybox.aci`);
}

/** Plays systemd: listens on tcp 8003, 8002, 9001 and udp 8003, all passed to what it becomes; says so to nobody else. */
const LISTENER = `
import os, socket, sys
fds = []
for kind, port in ((socket.SOCK_STREAM, 8003), (socket.SOCK_STREAM, 8002), (socket.SOCK_STREAM, 9001), (socket.SOCK_DGRAM, 8003)):
    s = socket.socket(socket.AF_INET, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    if kind == socket.SOCK_STREAM: s.listen(5)
    fds.append(os.dup(s.fileno()))
high = [os.dup2(fd, 50 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high): os.dup2(fd, 3 + i, inheritable=True)
os.closerange(3 + len(high), 100)
os.environ["LISTEN_FDS"] = str(len(high))
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
`;

/** A word for each descriptor from 3 on, and what the environment says. */
const SHOW = `echo "$LISTEN_FDS $LISTEN_FDNAMES"; [ "$LISTEN_PID" = $$ ] && echo mine
for fd in /proc/self/fd/*; do n=\${fd##*/}; [ $n -ge 3 ] && [ $n -lt 20 ] && readlink /proc/$$/fd/$n; done; :`;

async function run(rkt: Rkt, words: readonly string[], offset = 0) {
  const { status, stdout, stderr } = await rkt.run(words, {
    under: [PYTHON, "-c", LISTENER, String(offset)],
  });
  return { status, stdout: stdout.replace(/socket:\[\d+\]/g, "socket"), stderr };
}

const socketTest = exists(PYTHON) ? test : test.skip;
if (!exists(PYTHON)) console.error("skip: python3 is missing");

for (const [name, flags] of [
  ["the default network", []],
  ["the host's network", ["--net=host"]],
  ["users of its own", ["--private-users"]],
] as const) {
  socketTest(`the sockets of its ports reach the app, and no others: ${name}`, async () => {
    await using rkt = newRkt();
    await ready(rkt);
    const mapped = name === "the host's network" ? [] : ["--port=late:9001"];
    const { stdout, stderr, status } = await run(rkt, [
      "run",
      ...flags,
      ...mapped,
      IMAGE,
      "--",
      "-c",
      SHOW,
    ]);
    const all = mapped.length > 0;
    expect({ stdout, status }).toEqual({
      stdout: all
        ? "3 later:late:packets\nmine\nsocket\nsocket\nsocket\n"
        : "2 later:packets\nmine\nsocket\nsocket\n",
      status: 0,
    });
    expect(stderr).toContain("warning: no app has a socket-activated port 8003 of tcp");
  });
}

socketTest(
  "sockets for another process are none, and a mapped port without one is refused",
  async () => {
    await using rkt = newRkt();
    await ready(rkt);
    const { stdout } = await run(rkt, ["run", IMAGE, "--", "-c", SHOW], 1);
    expect(stdout).toBe(" \n");
    await rkt.fails(
      ["run", "--port=late:9001", IMAGE],
      'cannot map port "late": it is socket-activated, and rkt was given no socket for it',
    );
  },
);

socketTest("several apps get each their own", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const other = ["--name=other", "--", "-c", "echo other $LISTEN_FDS"];
  const words = [
    "run",
    "--net=host",
    IMAGE,
    "--name=one",
    "--",
    "-c",
    SHOW,
    "---",
    IMAGE,
    ...other,
  ];
  const { stdout, status } = await run(rkt, words);
  expect(status).toBe(0);
  expect(stdout).toMatch(/one\[\d+\]: 2 later:packets/);
  expect(stdout).toMatch(/other\[\d+\]: other *$/m);
});
