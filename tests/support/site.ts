// SPDX-License-Identifier: Apache-2.0
// A web site for discovery and downloads, over HTTPS with a certificate authority of its own, that can be
// told to misbehave. Inside scripts/sandbox it stands on port 443 of the names given there.
import { readFileSync } from "node:fs";
import { tempDir } from "./temp.ts";

/** The host names that scripts/test.ts gives to scripts/sandbox. */
export const HOSTS = ["example.com", "images.example.com", "other.example"] as const;

export interface Page {
  readonly body?: string | Uint8Array;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Answers `Range` and `If-None-Match`; on by default. */
  readonly plain?: boolean;
  /** Send only so many bytes of the body and cut the connection. */
  readonly cutAfter?: number;
  /** Send so many bytes and then nothing, keeping the connection open. */
  readonly stallAfter?: number;
  /** The Content-Length to claim. */
  readonly claimLength?: number;
  /** Bytes to send for ever (a server that never ends). */
  readonly endless?: boolean;
}

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Site extends AsyncDisposable {
  readonly port: number;
  /** PEM of the certificate authority; in a file, because programs want it so. */
  readonly caFile: string;
  /** What a program must have in its environment to believe the certificate. */
  readonly env: Readonly<Record<string, string>>;
  /** Sets the answer to a URL (`https://host/path`, query left out), or a function that makes it. */
  serve(url: string, page: Page | ((request: Seen) => Page)): void;
  remove(url: string): void;
  /** Serves NAME's discovery page on its host: templates for images, and a key when given. */
  discovery(prefix: string, template: string, keyUrl?: string): void;
  /** Requests so far, oldest first. */
  readonly seen: readonly Seen[];
  /** `METHOD https://host/path` of each request so far. */
  urls(): string[];
  forget(): void;
}

function openssl(args: readonly string[], cwd: string): void {
  const run = Bun.spawnSync(["openssl", ...args], { cwd, stdout: "ignore", stderr: "pipe" });
  if (run.exitCode !== 0) throw new Error(`openssl ${args[0]}: ${run.stderr.toString()}`);
}

export interface Certificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

let made: Certificates | undefined;

/** PEM texts of an authority and of one certificate for all hosts, made once per process. */
export function certificates(): Certificates {
  if (made !== undefined) return made;
  using dir = tempDir("rkt-ca");
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const authority = [
    "-subj",
    "/CN=Rocket test authority",
    "-addext",
    "basicConstraints=critical,CA:TRUE",
  ];
  openssl(
    ["req", "-x509", ...curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", ...authority],
    dir.path,
  );
  openssl(
    ["req", ...curve, "-keyout", "key.pem", "-out", "site.csr", "-subj", "/CN=test site"],
    dir.path,
  );
  const names = [...HOSTS, "localhost"].map((name) => `DNS:${name}`);
  dir.write("ext", `subjectAltName=${names.join(",")},IP:127.0.0.1\n`);
  const signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
  const request = ["x509", "-req", "-in", "site.csr", ...signer, "-days", "2", "-extfile", "ext"];
  openssl([...request, "-out", "cert.pem"], dir.path);
  const read = (name: string): string => readFileSync(dir.join(name), "utf8");
  made = { ca: read("ca.pem"), cert: read("cert.pem"), key: read("key.pem") };
  return made;
}

function bodyOf(page: Page): Uint8Array {
  return typeof page.body === "string" ? Buffer.from(page.body) : (page.body ?? new Uint8Array());
}

/**
 * The answer as bytes on the wire, written by hand: a library's server would not lie about lengths.
 * Gives the bytes to send and what to do afterwards.
 */
export function answer(
  page: Page,
  request: Seen,
): { head: string; body: Uint8Array; after: "keep" | "close" | "stall" | "endless" } {
  const whole = bodyOf(page);
  let body = whole;
  let status = page.status ?? 200;
  const headers: Record<string, string> = {
    "content-type": "text/html",
    ...(page.plain ? {} : { "accept-ranges": "bytes" }),
    ...page.headers,
  };
  const lower = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.toLowerCase(), v]));
  if (!page.plain && status === 200) {
    const range = /^bytes=(\d+)-$/.exec(request.headers["range"] ?? "");
    if (lower["etag"] !== undefined && request.headers["if-none-match"] === lower["etag"]) {
      status = 304;
      body = new Uint8Array();
    } else if (range !== null) {
      const from = Number(range[1]);
      if (from >= whole.length) {
        status = 416;
        body = new Uint8Array();
      } else {
        status = 206;
        body = whole.subarray(from);
        headers["content-range"] = `bytes ${from}-${whole.length - 1}/${whole.length}`;
      }
    }
  }
  if (page.endless) headers["transfer-encoding"] = "identity";
  else headers["content-length"] = String(page.claimLength ?? body.length);
  const cut = page.cutAfter ?? page.stallAfter;
  const sent =
    request.method === "HEAD" ? new Uint8Array() : cut === undefined ? body : body.subarray(0, cut);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return {
    head: `HTTP/1.1 ${status} Answer\r\nconnection: close\r\n${lines.join("")}\r\n`,
    body: sent,
    after:
      request.method === "HEAD"
        ? "close"
        : page.stallAfter !== undefined
          ? "stall"
          : page.endless
            ? "endless"
            : "close",
  };
}

export interface SiteOptions {
  readonly port?: number;
  /** Plain HTTP instead of HTTPS. */
  readonly http?: boolean;
}

interface Connection {
  text: string;
  pending: Uint8Array[];
  after: "keep" | "close" | "stall" | "endless";
}

/** Starts the site. The default port is 443 (80 for plain HTTP) in the sandbox. */
export async function newSite(options: SiteOptions = {}): Promise<Site> {
  const tls = certificates();
  const dir = tempDir("rkt-site");
  const caFile = dir.write("ca.pem", tls.ca);
  const pages = new Map<string, Page | ((request: Seen) => Page)>();
  const seen: Seen[] = [];
  const scheme = options.http ? "http" : "https";

  const flush = (socket: import("bun").Socket<Connection>): void => {
    for (;;) {
      const chunk = socket.data.pending[0];
      if (chunk === undefined) {
        if (socket.data.after === "close") socket.end();
        if (socket.data.after !== "endless") return;
        socket.data.pending.push(Buffer.alloc(1 << 16, 0x20));
        continue;
      }
      const written = socket.write(chunk);
      if (written < 0) return;
      if (written < chunk.length) {
        socket.data.pending[0] = chunk.subarray(written);
        return;
      }
      socket.data.pending.shift();
    }
  };

  const server = Bun.listen<Connection>({
    hostname: "127.0.0.1",
    port: options.port ?? (options.http ? 80 : 443),
    ...(options.http ? {} : { tls: { cert: tls.cert, key: tls.key } }),
    socket: {
      open(socket) {
        socket.data = { text: "", pending: [], after: "keep" };
      },
      data(socket, bytes) {
        socket.data.text += Buffer.from(bytes).toString("latin1");
        const end = socket.data.text.indexOf("\r\n\r\n");
        if (end < 0) return;
        const [first = "", ...rest] = socket.data.text.slice(0, end).split("\r\n");
        socket.data.text = "";
        const [method = "", target = ""] = first.split(" ");
        const headers = Object.fromEntries(
          rest.map((line) => {
            const colon = line.indexOf(":");
            return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
          }),
        );
        const request: Seen = { method, url: `${scheme}://${headers["host"]}${target}`, headers };
        seen.push(request);
        const found = pages.get(request.url) ?? pages.get(request.url.split("?")[0] ?? "");
        const page =
          typeof found === "function" ? found(request) : (found ?? { status: 404, body: "no" });
        const { head, body, after } = answer(page, request);
        socket.data.pending.push(Buffer.from(head), body);
        socket.data.after = after;
        flush(socket);
      },
      drain: flush,
      error() {
        // The client went away; what it makes of that is the test's question.
      },
    },
  });

  return {
    port: server.port,
    caFile,
    env: { SSL_CERT_FILE: caFile },
    serve(url, page) {
      pages.set(url, page);
    },
    remove(url) {
      pages.delete(url);
    },
    discovery(prefix, template, keyUrl) {
      const key =
        keyUrl === undefined
          ? ""
          : `<meta name="ac-discovery-pubkeys" content="${prefix} ${keyUrl}">`;
      pages.set(`https://${prefix}`.replace(/^https/, scheme) + (prefix.includes("/") ? "" : "/"), {
        body: `<html><head><meta name="ac-discovery" content="${prefix} ${template}">${key}</head></html>`,
      });
    },
    seen,
    urls: () => seen.map((each) => `${each.method} ${each.url}`),
    forget() {
      seen.length = 0;
    },
    async [Symbol.asyncDispose]() {
      server.stop(true);
      dir[Symbol.dispose]();
    },
  };
}
