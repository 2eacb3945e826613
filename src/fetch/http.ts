// SPDX-License-Identifier: Apache-2.0
// A small HTTP client over the runtime's fetch, which streams with back-pressure and decrypts on a
// thread of its own. Redirects, proxies, certificates, time-outs and limits are decided here. Bodies are
// handed over as they came: no content encoding is undone, because signatures are over those bytes.
import tls from "node:tls";
import { RktError } from "../lib/errors.ts";
import { quote, redactUrl, stripControl } from "../lib/text.ts";
import { certificateAuthorities } from "./certificates.ts";
import { FetchError } from "./errors.ts";
import { type Environment, proxyFor } from "./proxy.ts";

const MAX_REDIRECTS = 10;

export interface HttpTimeouts {
  /** From the request to the answer's headers, name resolution and TLS included. */
  readonly answer: number;
  /** The longest silence inside a body. */
  readonly stall: number;
}

/** Milliseconds. */
const TIMEOUTS: HttpTimeouts = { answer: 20_000, stall: 60_000 };

export interface HttpOptions {
  /** rkt's version, for the User-Agent. */
  readonly version: string;
  /** Accept any server certificate. */
  readonly insecureTls: boolean;
  readonly timeouts?: HttpTimeouts;
  readonly env?: Environment;
  /** What else one host (`host[:port]`) is believed by, and what it is shown; asked for each host that is reached. */
  readonly certificatesOf?: (host: string) => HostCertificates | undefined;
}

/** PEM texts. */
export interface HostCertificates {
  readonly authorities: readonly string[];
  readonly client?: { readonly certificate: string; readonly key: string } | undefined;
}

export interface HttpRequest {
  /** `form` makes it a POST. */
  readonly method?: "GET" | "HEAD";
  /** The body of a POST. It may hold a secret: no redirect is followed then. */
  readonly form?: URLSearchParams;
  readonly headers?: Readonly<Record<string, string>>;
  /** Credentials for the URL's own host; asked again after a redirect within that host, only there. */
  readonly auth?: (url: string, method: string) => Readonly<Record<string, string>>;
  /** Whether a redirect may lead from https to http. */
  readonly allowDowngrade?: boolean;
}

export interface HttpAnswer extends AsyncDisposable {
  readonly status: number;
  readonly headers: Headers;
  /** Where it came from in the end. */
  readonly url: string;
  /** Content-Length, where the server said it. */
  readonly length: number | undefined;
  /**
   * The body, once. Throws BODY_SHORT when it ends early, TIMEOUT when it stalls, TOO_LARGE past
   * `limit` bytes. Leaving the loop, or disposing the answer, closes the connection.
   */
  body(limit: number): AsyncGenerator<Uint8Array, void, undefined>;
}

export interface HttpClient {
  /** Follows redirects; any other status is an answer, not an error. */
  request(url: string, request?: HttpRequest): Promise<HttpAnswer>;
}

// `proxy: false` keeps the runtime from looking at the environment itself (its rules for NO_PROXY differ).
interface RuntimeInit {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly redirect: "manual";
  readonly decompress: false;
  readonly signal: AbortSignal;
  readonly proxy: string | false;
  readonly body?: string;
  readonly tls?: RuntimeTls;
}
interface RuntimeTls {
  readonly rejectUnauthorized: boolean;
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
}
const runtimeFetch = fetch as unknown as (url: string, init: RuntimeInit) => Promise<Response>;

export function openHttp(options: HttpOptions): HttpClient {
  const env = options.env ?? process.env;
  const timeouts = options.timeouts ?? TIMEOUTS;
  let authorities: { readonly list: readonly string[] | undefined } | undefined;

  function tlsFor(url: URL, proxy: string | undefined): RuntimeTls | undefined {
    if (url.protocol !== "https:" && !proxy?.startsWith("https:")) return undefined;
    const own = url.protocol === "https:" ? options.certificatesOf?.(url.host) : undefined;
    const shown =
      own?.client === undefined ? {} : { cert: own.client.certificate, key: own.client.key };
    if (options.insecureTls) return { rejectUnauthorized: false, ...shown };
    authorities ??= { list: certificateAuthorities(env) };
    const { list } = authorities;
    const extra = own?.authorities ?? [];
    if (list === undefined && extra.length === 0) return { rejectUnauthorized: true, ...shown };
    // The runtime's own list is replaced by `ca`, so it is named here where there is no other.
    return {
      rejectUnauthorized: true,
      ca: [...(list ?? tls.rootCertificates), ...extra],
      ...shown,
    };
  }

  async function send(
    url: URL,
    shown: string,
    init: { readonly method: string; readonly headers: Record<string, string>; body?: string },
  ) {
    const proxy = proxyFor(url, env);
    const tlsInit = tlsFor(url, proxy);
    const watch = new Watch(shown);
    watch.start(timeouts.answer, "no answer");
    try {
      const response = await runtimeFetch(url.href, {
        ...init,
        redirect: "manual",
        decompress: false,
        signal: watch.signal,
        proxy: proxy ?? false,
        ...(tlsInit === undefined ? {} : { tls: tlsInit }),
      });
      return { response, watch };
    } catch (error) {
      throw requestError(watch.reason ?? error, { url, shown }, proxy);
    } finally {
      watch.stop();
    }
  }

  return {
    async request(text, request = {}) {
      const method = request.form === undefined ? (request.method ?? "GET") : "POST";
      const first = parseHttpUrl(text);
      let url = first;
      let sameHost = true;
      for (let hop = 0; ; hop++) {
        const target = withoutCredentials(url);
        const shown = hop === 0 ? redactUrl(target.href) : shownRedirect(target);
        const { response, watch } = await send(target, shown, {
          method,
          headers: {
            "User-Agent": `rkt/${options.version}`,
            Accept: "*/*",
            "Accept-Encoding": "identity",
            ...request.headers,
            ...(sameHost ? credentials(first, target, method, request.auth) : {}),
            ...(request.form === undefined
              ? {}
              : { "Content-Type": "application/x-www-form-urlencoded" }),
          },
          ...(request.form === undefined ? {} : { body: request.form.toString() }),
        });
        const location =
          request.form === undefined && isRedirect(response.status)
            ? response.headers.get("location")
            : null;
        if (location === null) {
          return makeAnswer(response, { url: target, shown }, watch, {
            stall: timeouts.stall,
            headOnly: method === "HEAD",
          });
        }
        await discard(response, watch);
        if (hop === MAX_REDIRECTS) {
          throw new FetchError(
            "TOO_MANY_REDIRECTS",
            `cannot fetch ${quote(redactUrl(text))}: too many redirects`,
          );
        }
        url = redirectTarget(url, location, request.allowDowngrade === true);
        sameHost &&= url.host === first.host && url.protocol === first.protocol;
      }
    },
  };
}

function parseHttpUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new FetchError(
      "REFERENCE_INVALID",
      `cannot fetch ${quote(redactUrl(text))}: not an http or https URL`,
    );
  }
  return url;
}

/** Where a server sends us to: the query may be a signature that lets whoever has it in. */
function shownRedirect(url: URL): string {
  return redactUrl(`${url.origin}${url.pathname}${url.search === "" ? "" : "?..."}`);
}

function withoutCredentials(url: URL): URL {
  const copy = new URL(url.href);
  copy.username = "";
  copy.password = "";
  copy.hash = "";
  return copy;
}

/** Configured credentials, else those of the URL itself. */
function credentials(
  first: URL,
  target: URL,
  method: string,
  auth: HttpRequest["auth"],
): Readonly<Record<string, string>> {
  const configured = auth?.(target.href, method) ?? {};
  if (Object.keys(configured).length > 0) return configured;
  if (first.username === "" && first.password === "") return {};
  const pair = `${decodeURIComponent(first.username)}:${decodeURIComponent(first.password)}`;
  return { Authorization: `Basic ${Buffer.from(pair).toString("base64")}` };
}

function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

function redirectTarget(from: URL, location: string, allowDowngrade: boolean): URL {
  const to = location.length > 65536 ? null : URL.parse(location, from.href);
  if (to === null || (to.protocol !== "http:" && to.protocol !== "https:")) {
    throw new FetchError(
      "REDIRECT_REFUSED",
      `cannot follow the redirect from ${quote(redactUrl(from.href))} to ${quote(redactUrl(location))}: not an http or https URL`,
    );
  }
  if (from.protocol === "https:" && to.protocol === "http:" && !allowDowngrade) {
    throw new FetchError(
      "REDIRECT_REFUSED",
      `cannot follow the redirect from ${quote(redactUrl(from.href))} to ${quote(shownRedirect(to))}: it leads from https to http`,
      { remedy: "--insecure-options=http if you accept that" },
    );
  }
  return to;
}

async function discard(response: Response, watch: Watch): Promise<void> {
  try {
    await response.body?.cancel();
  } finally {
    watch.stop();
  }
}

function makeAnswer(
  response: Response,
  { url, shown }: Place,
  watch: Watch,
  { stall, headOnly }: { readonly stall: number; readonly headOnly: boolean },
): HttpAnswer {
  const length = parseLength(response.headers.get("content-length"));
  const host = quote(shown);

  async function* body(limit: number): AsyncGenerator<Uint8Array, void, undefined> {
    if (headOnly || response.body === null) return;
    if (length !== undefined && length > limit) throw tooLarge(host, limit);
    const reader = response.body.getReader();
    let received = 0;
    let finished = false;
    try {
      for (;;) {
        watch.start(stall, "no data");
        let chunk: Uint8Array | undefined;
        try {
          chunk = (await reader.read()).value;
        } catch (error) {
          if (watch.reason !== undefined) throw watch.reason;
          throw shortBody(host, received, length, error);
        } finally {
          watch.stop();
        }
        if (chunk === undefined) break;
        received += chunk.length;
        if (received > limit) throw tooLarge(host, limit);
        yield chunk;
      }
      if (length !== undefined && received !== length) throw shortBody(host, received, length);
      finished = true;
    } finally {
      if (!finished) watch.abort();
    }
  }

  return {
    status: response.status,
    headers: response.headers,
    url: url.href,
    length,
    body,
    async [Symbol.asyncDispose]() {
      watch.stop();
      watch.abort();
    },
  };
}

function parseLength(text: string | null): number | undefined {
  if (text === null || !/^[0-9]{1,15}$/.test(text)) return undefined;
  return Number(text);
}

function tooLarge(url: string, limit: number): FetchError {
  return new FetchError("TOO_LARGE", `cannot fetch ${url}: it is larger than ${limit} bytes`);
}

function shortBody(
  url: string,
  received: number,
  length: number | undefined,
  cause?: unknown,
): FetchError {
  const of = length === undefined ? "" : ` of ${length}`;
  return new FetchError(
    "BODY_SHORT",
    `cannot fetch ${url}: the connection ended after ${received}${of} bytes`,
    { details: { received, length, reason: cause instanceof Error ? cause.message : undefined } },
  );
}

/** A dead man's switch for one request: aborts it unless stopped in time. */
class Watch {
  readonly #controller = new AbortController();
  readonly #url: string;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Why the request was aborted, when a time-out did it. */
  reason: FetchError | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  start(milliseconds: number, what: string): void {
    this.stop();
    this.#timer = setTimeout(() => {
      this.reason = new FetchError(
        "TIMEOUT",
        `cannot fetch ${quote(this.#url)}: ${what} for ${milliseconds / 1000} s`,
      );
      this.#controller.abort(this.reason);
    }, milliseconds);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  abort(): void {
    if (!this.#controller.signal.aborted) this.#controller.abort();
  }
}

interface Place {
  readonly url: URL;
  /** As a sentence may show it. */
  readonly shown: string;
}

/** What the runtime's terse failure means, in a sentence. */
function requestError(error: unknown, { url, shown }: Place, proxy: string | undefined): Error {
  if (error instanceof RktError || !(error instanceof Error)) {
    return error instanceof Error ? error : new Error(String(error));
  }
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const where = quote(shown);
  const via = proxy === undefined ? "" : ` through the proxy ${quote(redactUrl(proxy))}`;
  const details = { code, url: shown };
  if (isCertificateProblem(code)) {
    return new FetchError(
      "TLS_FAILED",
      `cannot fetch ${where}: the server's certificate is not accepted: ${stripControl(certificateText(code, error))}`,
      { remedy: "install the certificate authority, or set SSL_CERT_FILE to its file", details },
    );
  }
  return new FetchError(
    "CONNECTION_FAILED",
    `cannot fetch ${where}${via}: ${connectionText(code, url, error)}`,
    { details },
  );
}

function isCertificateProblem(code: string): boolean {
  return /CERT|SELF_SIGNED|VERIFY|CRL|ALTNAME|HOSTNAME/.test(code);
}

function certificateText(code: string, error: Error): string {
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return "it is made out to another host";
  return error.message.split("\n", 1)[0] ?? code;
}

function connectionText(code: string, url: URL, error: Error): string {
  const host = quote(url.hostname);
  switch (code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "EAI_NODATA":
    case "EAI_NONAME":
      return `no such host ${host}`;
    case "ECONNREFUSED":
    case "ConnectionRefused":
      return "connection refused";
    case "ECONNRESET":
    case "ConnectionClosed":
      return "the server closed the connection";
    case "Malformed_HTTP_Response":
      return "the answer is not HTTP";
    default: {
      const text = stripControl(error.message.split(". For more information", 1)[0] ?? "");
      return text === "" ? code : text.slice(0, 300);
    }
  }
}
