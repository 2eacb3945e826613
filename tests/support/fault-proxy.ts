// SPDX-License-Identifier: Apache-2.0
// Stands before an HTTPS server and breaks what it says, as told request by request: answers that are cut, go
// silent, are damaged, lie about their length, or are another answer altogether.

import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:tls";
import { certificates } from "./site.ts";

export interface Fault {
  /** Bytes of the body after which the connection ends. */
  readonly cutAfter?: number;
  /** Bytes of the body after which nothing comes any more. */
  readonly stallAfter?: number;
  /** The byte of the body to change. */
  readonly corruptAt?: number;
  /** The Content-Length to claim. */
  readonly claimLength?: number;
  /** Another answer; the server is not asked. */
  readonly status?: number;
  /** Of that answer. */
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ProxySeen {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface FaultProxy extends Disposable {
  /** `127.0.0.1:PORT`, over https. */
  readonly host: string;
  /** The same, by a name that is another host for a client. */
  readonly otherHost: string;
  readonly seen: readonly ProxySeen[];
  /** Asked for each request; undefined lets it through. */
  fault: (request: ProxySeen) => Fault | undefined;
}

/** A proxy for the server at `host`, over https. */
export async function newFaultProxy(host: string): Promise<FaultProxy> {
  const tls = certificates();
  const seen: ProxySeen[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ cert: tls.cert, key: tls.key }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    let text = "";
    const onData = (bytes: Buffer): void => {
      text += bytes.toString("latin1");
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) return;
      socket.off("data", onData);
      const request = parseHead(text.slice(0, end));
      seen.push(request);
      relay(request, proxy.fault(request) ?? {}, socket).catch(() => socket.destroy());
    };
    socket.on("data", onData);
  });

  async function relay(request: ProxySeen, fault: Fault, socket: Socket): Promise<void> {
    if (fault.status !== undefined) {
      const body = fault.body ?? "";
      const own = { "content-length": String(Buffer.byteLength(body)), ...fault.headers };
      socket.end(headOf(fault.status, own) + body);
      return;
    }
    const { host: _, connection: __, ...headers } = request.headers;
    const answer = await fetch(`https://${host}${request.path}`, {
      method: request.method,
      headers,
      redirect: "manual",
      decompress: false,
      tls: { ca: tls.ca },
    });
    const body = Buffer.from(await answer.arrayBuffer());
    if (fault.corruptAt !== undefined && fault.corruptAt < body.length) {
      body[fault.corruptAt] = (body[fault.corruptAt] ?? 0) ^ 0xff;
    }
    const length = request.method === "HEAD" ? answer.headers.get("content-length") : body.length;
    const sent = fault.cutAfter ?? fault.stallAfter ?? body.length;
    const { "transfer-encoding": ___, ...own } = Object.fromEntries(answer.headers);
    const all = { ...own, "content-length": String(fault.claimLength ?? length), ...fault.headers };
    socket.write(headOf(answer.status, all));
    socket.write(body.subarray(0, sent), () => {
      if (fault.stallAfter !== undefined) return;
      // What was sent must have been read before the end: a client drops what comes together with it.
      setTimeout(() => socket.end(), fault.cutAfter === undefined ? 0 : 100);
    });
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const proxy: FaultProxy = {
    host: `127.0.0.1:${port}`,
    otherHost: `localhost:${port}`,
    seen,
    fault: () => undefined,
    [Symbol.dispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  return proxy;
}

function headOf(status: number, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Answer\r\n${lines.join("")}connection: close\r\n\r\n`;
}

function parseHead(head: string): ProxySeen {
  const [first = "", ...rest] = head.split("\r\n");
  const [method = "", path = ""] = first.split(" ");
  const headers = rest.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  });
  return { method, path, headers: Object.fromEntries(headers) };
}
