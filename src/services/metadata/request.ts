// SPDX-License-Identifier: Apache-2.0
// One HTTP/1.1 request out of the bytes of a hostile client: every length is bounded, and what is not plainly
// well-formed is refused, never repaired. There is one request to a connection, so nothing behind it counts.

export interface HttpRequest {
  readonly method: string;
  /** Path and query as they came. */
  readonly target: string;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

export interface RequestLimits {
  /** Bytes of request line and headers. */
  readonly head: number;
  readonly body: number;
}

export type ReadOutcome =
  | { readonly kind: "more" }
  /** The client waits for `100 Continue` before it sends the body. */
  | { readonly kind: "continue" }
  | { readonly kind: "request"; readonly request: HttpRequest }
  | { readonly kind: "refused"; readonly status: number; readonly reason: string };

type Head = Omit<HttpRequest, "body">;

/** Step by step: one expression for all of it backtracks, and a line of blanks then takes minutes. */
function splitHeader(line: string): { readonly key: string; readonly value: string } | undefined {
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(0, colon));
  if (!HEADER_NAME.test(name)) return undefined;
  let start = colon + 1;
  let end = line.length;
  while (start < end && isBlank(line, start)) start++;
  while (end > start && isBlank(line, end - 1)) end--;
  const value = line.slice(start, end);
  return NOT_IN_VALUE.test(value) ? undefined : { key: name.toLowerCase(), value };
}

const isBlank = (text: string, at: number): boolean => text[at] === " " || text[at] === "\t";

const MAX_HEADERS = 100;
const REQUEST_LINE = /^([A-Z]{1,16}) ([\x21-\x7e]+) HTTP\/1\.[01]$/;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const NOT_IN_VALUE = /[\0\r\n]/;
const FIRST_SIZE = 1024;

const refused = (status: number, reason: string): ReadOutcome => ({
  kind: "refused",
  status,
  reason,
});

export class RequestReader {
  readonly #limits: RequestLimits;
  /** Asked before more memory is taken; false refuses the request. */
  readonly #reserve: (bytes: number) => boolean;
  #bytes = new Uint8Array(0);
  #length = 0;
  /** How far the end of the head was looked for. */
  #searched = 0;
  #head: Head | undefined;
  #bodyAt = 0;
  #bodyLength = 0;

  constructor(limits: RequestLimits, reserve: (bytes: number) => boolean = () => true) {
    this.#limits = limits;
    this.#reserve = reserve;
  }

  /** Bytes of memory that were reserved. */
  get reserved(): number {
    return this.#bytes.length;
  }

  push(chunk: Uint8Array): ReadOutcome {
    const most = this.#head === undefined ? this.#limits.head : this.#bodyAt + this.#bodyLength;
    // What is behind the head's limit may be the body's beginning, or the part that is too much.
    const room = this.#head === undefined ? most + this.#limits.body : most;
    if (!this.#append(chunk.subarray(0, Math.max(0, room - this.#length)))) {
      return refused(503, "too busy");
    }
    if (this.#head !== undefined) return this.#body();
    const end = this.#findHeadEnd();
    if (end === undefined) {
      return this.#length > this.#limits.head
        ? refused(431, "the headers are too large")
        : { kind: "more" };
    }
    if (end > this.#limits.head) return refused(431, "the headers are too large");
    return this.#parseHead(end);
  }

  #append(chunk: Uint8Array): boolean {
    const needed = this.#length + chunk.length;
    if (needed > this.#bytes.length) {
      const size = Math.max(needed, this.#bytes.length * 2, FIRST_SIZE);
      if (!this.#reserve(size - this.#bytes.length)) return false;
      const larger = new Uint8Array(size);
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.set(chunk, this.#length);
    this.#length = needed;
    return true;
  }

  /** Where the empty line ends. */
  #findHeadEnd(): number | undefined {
    const from = Math.max(0, this.#searched - 3);
    this.#searched = this.#length;
    const at = Buffer.from(this.#bytes.buffer, 0, this.#length).indexOf("\r\n\r\n", from);
    return at < 0 ? undefined : at + 4;
  }

  #parseHead(end: number): ReadOutcome {
    const text = Buffer.from(this.#bytes.buffer, 0, end - 4).toString("latin1");
    const [first = "", ...lines] = text.split("\r\n");
    const [, method, target] = REQUEST_LINE.exec(first) ?? [];
    if (method === undefined || target === undefined) return refused(400, "malformed request");
    if (lines.length > MAX_HEADERS) return refused(431, "too many headers");
    const headers = new Map<string, string>();
    for (const line of lines) {
      const header = splitHeader(line);
      if (header === undefined) return refused(400, "malformed header");
      const { key, value } = header;
      // Two lengths, of which another reader may take the other one.
      if (key === "content-length" && headers.has(key)) return refused(400, "malformed header");
      headers.set(key, value);
    }
    if (headers.has("transfer-encoding")) return refused(411, "a length is required");
    const length = headers.get("content-length") ?? "0";
    if (!/^\d{1,15}$/.test(length)) return refused(400, "malformed header");
    if (Number(length) > this.#limits.body) return refused(413, "the body is too large");
    this.#head = { method, target, headers };
    this.#bodyAt = end;
    this.#bodyLength = Number(length);
    const outcome = this.#body();
    const waits = headers.get("expect")?.toLowerCase() === "100-continue";
    return outcome.kind === "more" && waits ? { kind: "continue" } : outcome;
  }

  #body(): ReadOutcome {
    if (this.#head === undefined || this.#length < this.#bodyAt + this.#bodyLength) {
      return { kind: "more" };
    }
    const body = this.#bytes.subarray(this.#bodyAt, this.#bodyAt + this.#bodyLength);
    return { kind: "request", request: { ...this.#head, body } };
  }
}
