// SPDX-License-Identifier: Apache-2.0
// What clients cost that ask for much and read nothing.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listenUnix } from "../../sys/listen.ts";
import { type ServerLimits, serveHttp, textResponse } from "./http-server.ts";

const MIB = 1024 * 1024;
const LIMITS: ServerLimits = {
  connections: 64,
  perAddress: 64,
  deadlineMs: 20_000,
  head: 4096,
  body: 0,
  memory: 8 * MIB,
  memoryPerAddress: 8 * MIB,
};

const directory = mkdtempSync(join(tmpdir(), "http-server-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** The server answers everything with a megabyte: more than a socket takes at once. */
function serve(name: string, limits: Partial<ServerLimits>) {
  const path = join(directory, name);
  let requests = 0;
  const server = serveHttp(
    listenUnix(path, 0o600),
    { ...LIMITS, ...limits },
    {
      answer: () => {
        requests++;
        return textResponse(200, "a".repeat(MIB));
      },
      refused: () => void requests++,
      failed: (error) => {
        throw error;
      },
    },
  );
  return { path, requests: () => requests, [Symbol.dispose]: () => server.stop() };
}

interface SilentClient {
  /** From here on it reads, to the end. */
  read(): Promise<string>;
}

/** Asks, and reads nothing until it is told to. */
async function silent(path: string): Promise<SilentClient> {
  const chunks: Buffer[] = [];
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    unix: path,
    socket: {
      open: (opened) => {
        opened.pause();
        opened.write("GET / HTTP/1.1\r\n\r\n");
      },
      data: (_, chunk) => void chunks.push(Buffer.from(chunk)),
      close: () => end(),
    },
  });
  return {
    async read() {
      socket.resume();
      await ended;
      return Buffer.concat(chunks).toString();
    },
  };
}

const statusOf = (text: string): string => text.slice(9, 12);

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await Bun.sleep(5);
}

test.each([
  ["memory", { memory: 4 * MIB }],
  ["memoryPerAddress", { memoryPerAddress: 4 * MIB }],
])(
  "answers that nobody reads are bounded by %s, and what they took is given back",
  async (name, limits) => {
    using server = serve(name, limits);
    const clients = await Promise.all(Array.from({ length: 10 }, () => silent(server.path)));
    await until(() => server.requests() === 10);
    const answers = await Promise.all(clients.map((client) => client.read()));
    const served = answers.filter((text) => statusOf(text) === "200");
    // What requests take while they are read is less than an answer.
    expect([3, 4]).toContain(served.length);
    expect(served.every((text) => text.endsWith("a".repeat(MIB)))).toBe(true);
    expect(answers.filter((text) => statusOf(text) === "503").length).toBe(10 - served.length);
    for (let i = 0; i < 10; i++) {
      expect(statusOf(await (await silent(server.path)).read())).toBe("200");
    }
  },
);
