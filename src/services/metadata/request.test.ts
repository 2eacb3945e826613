// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type ReadOutcome, RequestReader } from "./request.ts";

const LIMITS = { head: 256, body: 64 };

const read = (text: string): ReadOutcome =>
  new RequestReader(LIMITS).push(Buffer.from(text, "latin1"));

const statusOf = (text: string): number | string => {
  const outcome = read(text);
  return outcome.kind === "refused" ? outcome.status : outcome.kind;
};

test("a request in one piece is read", () => {
  const outcome = read("POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcdef");
  if (outcome.kind !== "request") throw new Error(outcome.kind);
  const { method, target, headers, body } = outcome.request;
  expect([method, target, headers.get("host")]).toEqual(["POST", "/a?b", "x"]);
  expect(Buffer.from(body).toString()).toBe("abc");
});

test("a request in any pieces is the same request", () => {
  const text = "PUT /pods/x HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789";
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 60, maxLength: 60 }),
      (sizes) => {
        const reader = new RequestReader(LIMITS);
        let at = 0;
        let outcome: ReadOutcome = { kind: "more" };
        for (const size of sizes) {
          if (at >= text.length) break;
          expect(outcome.kind).toBe("more");
          outcome = reader.push(Buffer.from(text.slice(at, at + size)));
          at += size;
        }
        if (outcome.kind !== "request") throw new Error(outcome.kind);
        expect(Buffer.from(outcome.request.body).toString()).toBe("0123456789");
      },
    ),
  );
});

test.each([
  ["GET / HTTP/1.1\r\n", "more"],
  ["POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "continue"],
  ["POST / HTTP/1.1\r\nContent-Length: 65\r\n\r\n", 413],
  ["POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400],
  ["POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400],
  ["POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400],
  ["POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411],
  ["GET / HTTP/2.0\r\n\r\n", 400],
  ["GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400],
  ["GET / HTTP/1.1\r\nna me: x\r\n\r\n", 400],
  ["GET / HTTP/1.1\r\nx\r\n\r\n", 400],
  ["GET  / HTTP/1.1\r\n\r\n", 400],
  ["get / HTTP/1.1\r\n\r\n", 400],
  ["\r\n\r\n", 400],
  ["\0\x01\x02\r\n\r\n", 400],
  [`GET /${"a".repeat(300)}`, 431],
  [`GET / HTTP/1.1\r\n${"a: b\r\n".repeat(39)}\r\n`, "request"],
  [`GET / HTTP/1.1\r\nx: ${"a".repeat(300)}\r\n\r\n`, 431],
])("%j is %s", (text, wanted) => {
  expect(statusOf(text)).toBe(wanted);
});

test("too many headers are refused however short they are", () => {
  const reader = new RequestReader({ head: 4096, body: 0 });
  const outcome = reader.push(Buffer.from(`GET / HTTP/1.1\r\n${"a:\r\n".repeat(101)}\r\n`));
  expect(outcome).toMatchObject({ kind: "refused", status: 431 });
});

test("no bytes at all throw, and no more memory is taken than the limits allow", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 8 }), (chunks) => {
      const reader = new RequestReader(LIMITS);
      for (const chunk of chunks) if (reader.push(chunk).kind !== "more") break;
      expect(reader.reserved).toBeLessThanOrEqual(1024);
    }),
  );
});

test("memory that is not to be had refuses the request", () => {
  const reader = new RequestReader(LIMITS, () => false);
  expect(reader.push(Buffer.from("GET"))).toMatchObject({ kind: "refused", status: 503 });
});

test("a line of blanks takes no longer than another line", () => {
  const head = "GET / HTTP/1.1\r\na:";
  for (const line of [
    `${" ".repeat(16_000)}\0`,
    `b${" ".repeat(16_000)}c`,
    `${" \t".repeat(8000)}`,
  ]) {
    const reader = new RequestReader({ head: 32_768, body: 0 });
    // What backtracks takes minutes for this, not milliseconds: the test would not end.
    const outcome = reader.push(Buffer.from(`${head}${line}\r\n\r\n`, "latin1"));
    expect(outcome.kind).toBe(line.endsWith("\0") ? "refused" : "request");
  }
});

test("blanks around a value are not part of it", () => {
  const outcome = read("GET / HTTP/1.1\r\na: \t b c\t \r\nd:\r\n\r\n");
  if (outcome.kind !== "request") throw new Error(outcome.kind);
  expect([...outcome.request.headers]).toEqual([
    ["a", "b c"],
    ["d", ""],
  ]);
});
