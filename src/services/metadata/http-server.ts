// SPDX-License-Identifier: Apache-2.0
// A small HTTP server whose cost is bounded whatever its clients do: connections in all and for each address, time for a
// request and its answer, bytes of a request, bytes of all requests and answers under way, in all and for each address. One
// request to a connection.
import type { Socket, TCPSocketListenOptions } from "bun";
import { type HttpRequest, type RequestLimits, RequestReader } from "./request.ts";

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface ServerLimits extends RequestLimits {
  readonly connections: number;
  /** From one IP address; a unix socket has none. */
  readonly perAddress: number;
  /** From the connection to the end of the answer. */
  readonly deadlineMs: number;
  /** Of all requests that are being read and all answers that are being written, together. */
  readonly memory: number;
  /** Of those of one IP address: one client must not have all of it. */
  readonly memoryPerAddress: number;
}

export interface HttpServer {
  stop(): void;
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  411: "Length Required",
  413: "Content Too Large",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";

/** A client that has its answer gets this long to close. */
const LINGER_MS = 1000;

/** What the connections from one address have, together; all of a unix socket's are one. */
interface Share {
  connections: number;
  memory: number;
}

interface Connection {
  /** Undefined when the request is read, or refused. */
  reader: RequestReader | undefined;
  readonly address: string;
  readonly share: Share;
  /** Bytes of the answer. */
  answerSize: number;
  timer: Timer;
  /** What is still to be written of the answer. */
  answer: Uint8Array | undefined;
}

/** Absent for a connection that was refused at once. */
type Client = Socket<Connection | undefined>;

export function textResponse(
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): HttpResponse {
  return { status, headers: { "Content-Type": "text/plain; charset=us-ascii", ...headers }, body };
}

export interface Handler {
  answer(request: HttpRequest): HttpResponse;
  /** Told of what was not a request. */
  refused(status: number, reason: string): void;
  /** Told of what `answer` threw: a bug, and a 500 for the client. */
  failed(error: unknown): void;
}

/** Serves a listening socket. */
export function serveHttp(fd: number, limits: ServerLimits, handler: Handler): HttpServer {
  const shares = new Map<string, Share>();
  let connections = 0;
  let memory = 0;

  const reserve = (share: Share, bytes: number): boolean => {
    if (memory + bytes > limits.memory || share.memory + bytes > limits.memoryPerAddress) {
      return false;
    }
    memory += bytes;
    share.memory += bytes;
    return true;
  };

  const release = (share: Share, bytes: number): void => {
    memory -= bytes;
    share.memory -= bytes;
  };

  const open = (socket: Client): void => {
    const address = socket.remoteAddress ?? "";
    const share = shares.get(address) ?? { connections: 0, memory: 0 };
    if (
      connections >= limits.connections ||
      (address !== "" && share.connections >= limits.perAddress)
    ) {
      socket.terminate();
      return;
    }
    connections++;
    share.connections++;
    shares.set(address, share);
    socket.data = {
      reader: new RequestReader(limits, (bytes) => reserve(share, bytes)),
      address,
      share,
      answerSize: 0,
      timer: setTimeout(() => socket.terminate(), limits.deadlineMs),
      answer: undefined,
    };
  };

  const forgetRequest = (connection: Connection): void => {
    release(connection.share, connection.reader?.reserved ?? 0);
    connection.reader = undefined;
  };

  const close = (socket: Client): void => {
    const connection = socket.data;
    if (connection === undefined) return;
    socket.data = undefined;
    clearTimeout(connection.timer);
    forgetRequest(connection);
    const { share, address } = connection;
    release(share, connection.answerSize);
    connections--;
    if (--share.connections === 0) shares.delete(address);
  };

  const answer = (connection: Connection, response: HttpResponse): void => {
    forgetRequest(connection);
    const size = Buffer.byteLength(response.body, "utf8");
    const fits = reserve(connection.share, size);
    if (fits) connection.answerSize = size;
    connection.answer = encode(fits ? response : textResponse(503, "too busy"));
  };

  const flush = (socket: Client): void => {
    const connection = socket.data;
    if (connection?.answer === undefined) return;
    const written = socket.write(connection.answer);
    connection.answer = connection.answer.subarray(Math.max(0, written));
    if (connection.answer.length > 0) return;
    // Not closed yet: a client that is still sending would lose the answer.
    clearTimeout(connection.timer);
    connection.timer = setTimeout(() => socket.terminate(), LINGER_MS);
    socket.shutdown();
  };

  const data = (socket: Client, chunk: Uint8Array): void => {
    const connection = socket.data;
    if (connection?.reader === undefined) return;
    const outcome = connection.reader.push(chunk);
    switch (outcome.kind) {
      case "more":
        return;
      case "continue":
        socket.write(CONTINUE);
        return;
      case "refused":
        handler.refused(outcome.status, outcome.reason);
        answer(connection, textResponse(outcome.status, outcome.reason));
        break;
      case "request":
        answer(connection, answerTo(outcome.request, handler));
        break;
    }
    flush(socket);
  };

  const end = (socket: Client): void => {
    const connection = socket.data;
    // Half of a request, or the client has its answer.
    if (connection?.answer === undefined || connection.answer.length === 0) socket.terminate();
  };

  // Bun takes `fd` here, as for its other sockets; its types do not say so.
  const options = {
    fd,
    allowHalfOpen: true,
    socket: { open, data, close, drain: flush, end, error: (socket: Client) => socket.terminate() },
  } as unknown as TCPSocketListenOptions<Connection | undefined>;
  const listener = Bun.listen(options);
  return { stop: () => listener.stop(true) };
}

function answerTo(request: HttpRequest, handler: Handler): HttpResponse {
  try {
    return handler.answer(request);
  } catch (error) {
    handler.failed(error);
    return textResponse(500, "internal error");
  }
}

function encode({ status, headers, body }: HttpResponse): Uint8Array {
  const length = String(Buffer.byteLength(body, "utf8"));
  const all = { ...headers, "Content-Length": length, Connection: "close" };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(
    `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n${lines.join("")}\r\n${body}`,
    "utf8",
  );
}
