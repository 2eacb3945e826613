// SPDX-License-Identifier: Apache-2.0
// For the tests of this folder: a small world of web servers. One process-wide certificate authority, made by
// openssl on the spot; a proxy that leads every host name to a server on 127.0.0.1 that answers as it is told,
// byte by byte where need be; a store and a keystore in a temporary directory.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { gzipSync } from "node:zlib";
import { loadConfig } from "../config/index.ts";
import { SECURE } from "../lib/insecure-options.ts";
import type { Reporter } from "../lib/reporter.ts";
import { makeAci, type TestImage, type TestStore, testStore } from "../store/test-images.ts";
import { armor, sign, type TestKey, testKeystore } from "../trust/fixture.ts";
import type { Keystore } from "../trust/index.ts";
import type { FetchContext } from "./context.ts";
import type { Environment } from "./proxy.ts";

export { makeAci } from "../store/test-images.ts";
export { makeKey, sign, type TestKey } from "../trust/fixture.ts";

export interface Request {
  readonly method: string;
  /** As the client asked for it, SCHEME://HOST/PATH?QUERY. */
  readonly url: string;
  readonly headers: ReadonlyMap<string, string>;
}

export interface Reply {
  send(
    status: number,
    headers?: Readonly<Record<string, string>>,
    body?: string | Uint8Array,
  ): void;
  /** Raw bytes of the answer. */
  write(data: string | Uint8Array): void;
  end(): void;
  /** Resets the connection. */
  cut(): void;
}

export type Handler = (request: Request, reply: Reply) => void;

export interface Web extends Disposable {
  /** For the client: proxies and certificates. */
  readonly env: Environment;
  readonly httpsPort: number;
  readonly httpPort: number;
  /** All requests: `METHOD URL`. */
  readonly log: string[];
  readonly requests: Request[];
  /** CONNECT and absolute-form requests that reached the proxy. */
  readonly proxyLog: string[];
  serve(url: string, handler: Handler | string | Uint8Array): void;
}

interface Certificates {
  readonly ca: string;
  readonly key: Buffer;
  readonly cert: Buffer;
}

let certificates: Certificates | undefined;

/** Valid for a handful of host names, for `localhost` and 127.0.0.1; not for `wrong.test`. */
export function testCertificates(): Certificates {
  if (certificates !== undefined) return certificates;
  const dir = mkdtempSync(join(tmpdir(), "rkt-ca-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  const openssl = (...args: readonly string[]) => {
    const { exitCode, stderr } = Bun.spawnSync(["openssl", ...args], { cwd: dir });
    if (exitCode !== 0) throw new Error(stderr.toString());
  };
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const names = ["example.com", "*.example.com", "other.test", "cdn.test", "localhost"];
  const san = [...names.map((name) => `DNS:${name}`), "IP:127.0.0.1"].join(",");
  writeFileSync(join(dir, "san"), `subjectAltName=${san}\n`);
  openssl(
    "req",
    "-x509",
    ...newKey,
    "-days",
    "2",
    "-subj",
    "/CN=test authority",
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
  );
  openssl("req", ...newKey, "-subj", "/CN=server", "-keyout", "key.pem", "-out", "csr.pem");
  openssl(
    "x509",
    "-req",
    "-in",
    "csr.pem",
    "-CA",
    "ca.pem",
    "-CAkey",
    "ca.key",
    "-CAcreateserial",
    "-days",
    "2",
    "-extfile",
    "san",
    "-out",
    "cert.pem",
  );
  certificates = {
    ca: join(dir, "ca.pem"),
    key: readFileSync(join(dir, "key.pem")),
    cert: readFileSync(join(dir, "cert.pem")),
  };
  return certificates;
}

export async function openWeb(): Promise<Web> {
  const { ca, key, cert } = testCertificates();
  const routes = new Map<string, Handler>();
  const log: string[] = [];
  const requests: Request[] = [];
  const proxyLog: string[] = [];
  const sockets = new Set<Socket>();

  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  };
  const answer = (request: Request, socket: Socket): void => {
    log.push(`${request.method} ${request.url}`);
    requests.push(request);
    const handler = routes.get(request.url) ?? ((_, reply) => reply.send(404, {}, "not here"));
    handler(request, replyOn(socket, request.method));
  };
  const secure = createTlsServer({ key, cert }, (socket) => {
    track(socket);
    readHead(socket, (head) => answer(parseHead(head, "https"), socket));
  });
  const plain = createServer((socket) => {
    track(socket);
    readHead(socket, (head) => answer(parseHead(head, "http"), socket));
  });
  const httpsPort = await listen(secure);
  const httpPort = await listen(plain);
  const proxy = createServer((socket) => {
    track(socket);
    readHead(socket, (head) => {
      const [line = ""] = head.split("\r\n", 1);
      const [method = "", target = ""] = line.split(" ");
      proxyLog.push(`${method} ${target}`);
      if (method !== "CONNECT") {
        answer(parseHead(head, "http"), socket);
        return;
      }
      const upstream = connect(httpsPort, "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
        socket.pipe(upstream);
        upstream.pipe(socket);
      });
      track(upstream);
      upstream.on("close", () => socket.destroy());
      socket.on("close", () => upstream.destroy());
    });
  });
  const proxyPort = await listen(proxy);
  const proxyUrl = `http://127.0.0.1:${proxyPort}`;
  return {
    env: { SSL_CERT_FILE: ca, HTTP_PROXY: proxyUrl, HTTPS_PROXY: proxyUrl },
    httpsPort,
    httpPort,
    log,
    requests,
    proxyLog,
    serve(url, handler) {
      routes.set(
        url,
        typeof handler === "function" ? handler : (_, reply) => reply.send(200, {}, handler),
      );
    },
    [Symbol.dispose]() {
      for (const server of [secure, plain, proxy]) server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

function readHead(socket: Socket, then: (head: string) => void): void {
  let text = "";
  const onData = (data: Buffer): void => {
    text += data.toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return;
    socket.off("data", onData);
    then(text.slice(0, end));
  };
  socket.on("data", onData);
}

function parseHead(head: string, scheme: string): Request {
  const [line = "", ...fields] = head.split("\r\n");
  const [method = "", target = ""] = line.split(" ");
  const headers = new Map(
    fields.map((field) => {
      const colon = field.indexOf(":");
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()] as const;
    }),
  );
  const url = target.startsWith("/") ? `${scheme}://${headers.get("host")}${target}` : target;
  return { method, url, headers };
}

const encoder = new TextEncoder();

function replyOn(socket: Socket, method: string): Reply {
  const write = (data: string | Uint8Array): void => {
    if (!socket.destroyed) socket.write(typeof data === "string" ? encoder.encode(data) : data);
  };
  return {
    write,
    end: () => socket.end(),
    cut: () => socket.destroy(),
    send(status, headers = {}, body = "") {
      const bytes = typeof body === "string" ? encoder.encode(body) : body;
      const bodyless = status === 304 || status === 204;
      const all = {
        ...(bodyless ? {} : { "Content-Length": String(bytes.length) }),
        ...headers,
        Connection: "close",
      };
      const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
      write(`HTTP/1.1 ${status} X\r\n${lines.join("")}\r\n`);
      if (method !== "HEAD" && !bodyless) write(bytes);
      socket.end();
    },
  };
}

/** A server that knows about validators and ranges. */
export function fileHandler(
  content: () => Uint8Array,
  options: {
    readonly etag?: () => string;
    readonly lastModified?: () => string;
    readonly cacheControl?: string;
    /** Resets the connection after so many bytes of the body, as long as it says so. */
    readonly cutAfter?: () => number | undefined;
  } = {},
): Handler {
  return (request, reply) => {
    const bytes = content();
    const etag = options.etag?.();
    const modified = options.lastModified?.();
    const headers: Record<string, string> = {
      "Accept-Ranges": "bytes",
      ...(etag === undefined ? {} : { ETag: etag }),
      ...(modified === undefined ? {} : { "Last-Modified": modified }),
      ...(options.cacheControl === undefined ? {} : { "Cache-Control": options.cacheControl }),
    };
    if (etag !== undefined && request.headers.get("if-none-match") === etag) {
      reply.send(304, headers);
      return;
    }
    const ifRange = request.headers.get("if-range");
    const range = /^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1];
    const first =
      range !== undefined && (ifRange === etag || ifRange === modified) ? Number(range) : 0;
    if (range !== undefined && first >= bytes.length) {
      reply.send(416, { "Content-Range": `bytes */${bytes.length}` });
      return;
    }
    const body = bytes.subarray(first);
    const cut = request.method === "GET" ? options.cutAfter?.() : undefined;
    const status = first > 0 ? 206 : 200;
    if (first > 0) headers["Content-Range"] = `bytes ${first}-${bytes.length - 1}/${bytes.length}`;
    if (cut === undefined) {
      reply.send(status, headers, body);
      return;
    }
    const lines = Object.entries({ ...headers, "Content-Length": String(body.length) });
    reply.write(`HTTP/1.1 ${status} X\r\n${lines.map(([k, v]) => `${k}: ${v}\r\n`).join("")}\r\n`);
    reply.write(body.subarray(0, cut));
    // The bytes must be on their way before the reset.
    setTimeout(() => reply.end(), 100);
  };
}

/** Remembers what was said. */
export interface TestReporter extends Reporter {
  readonly lines: string[];
  readonly bars: { readonly label: string; readonly total: number | undefined; done: number }[];
}

export function testReporter(): TestReporter {
  const lines: string[] = [];
  const bars: TestReporter["bars"] = [];
  return {
    lines,
    bars,
    line: (module, text) => lines.push(`${module}: ${text}`),
    debug: () => undefined,
    progress(label, total) {
      const bar = { label, total, done: 0 };
      bars.push(bar);
      return { update: (done) => Object.assign(bar, { done }), finish: () => undefined };
    },
  };
}

export interface World extends Disposable {
  readonly web: Web;
  readonly dir: string;
  readonly store: TestStore["store"];
  readonly storeDir: string;
  readonly keystore: Keystore;
  readonly report: TestReporter;
  /** Verifying, pull policy "update", with dependencies. */
  context(changes?: Partial<FetchContext>): FetchContext;
  /** Writes a file into the world's directory; returns its path. */
  file(name: string, content: string | Uint8Array): string;
  /** What is left in cas/tmp. */
  leftovers(): string[];
}

export async function openWorld(): Promise<World> {
  const web = await openWeb();
  const stored = testStore();
  const dir = mkdtempSync(join(tmpdir(), "rkt-fetch-"));
  const { keystore, system, local } = testKeystore(dir);
  const report = testReporter();
  const config = loadConfig({ system, local });
  return {
    web,
    dir,
    store: stored.store,
    storeDir: stored.dir,
    keystore,
    report,
    context: (changes = {}) => ({
      store: stored.store,
      keystore,
      config,
      insecure: SECURE,
      trustKeysFromHttps: false,
      pullPolicy: "update",
      dependencies: true,
      version: "1.2.3",
      report,
      env: web.env,
      timeouts: { answer: 10_000, stall: 10_000 },
      ...changes,
    }),
    file(name, content) {
      const path = join(dir, name);
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, content);
      return path;
    },
    leftovers: () => readdirSync(stored.store.tmpDir).sort(),
    [Symbol.dispose]() {
      web[Symbol.dispose]();
      stored[Symbol.dispose]();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export interface Published {
  readonly bytes: Uint8Array;
  readonly url: string;
  readonly signatureUrl: string;
}

/** Puts an image, its signature and the discovery page for its name on the web. */
export async function publish(
  { web }: Pick<World, "web">,
  image: TestImage & { readonly name: string },
  options: {
    readonly key?: TestKey;
    readonly gzip?: boolean;
    readonly keyUrl?: string;
    /** For the template's {version}. */
    readonly version?: string;
  } = {},
): Promise<Published> {
  const plain = makeAci(image);
  const bytes = options.gzip === true ? gzipSync(plain) : plain;
  const base = `https://example.com/images/${image.name}-${options.version ?? "latest"}-linux-amd64`;
  const published = { bytes, url: `${base}.aci`, signatureUrl: `${base}.aci.asc` };
  web.serve(published.url, bytes);
  if (options.key !== undefined) {
    web.serve(published.signatureUrl, await armor(await sign(options.key, bytes)));
  }
  const keys =
    options.keyUrl === undefined
      ? ""
      : `<meta name="ac-discovery-pubkeys" content="${image.name} ${options.keyUrl}">`;
  web.serve(
    `https://${image.name}?ac-discovery=1`,
    `<html><head><meta name="ac-discovery" content="${image.name} https://example.com/images/{name}-{version}-{os}-{arch}.{ext}">${keys}</head></html>`,
  );
  return published;
}
