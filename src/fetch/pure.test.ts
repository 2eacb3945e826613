// SPDX-License-Identifier: Apache-2.0
// The decisions that need no network: caching, resuming, reading meta tags.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseMaxAge } from "./cache-control.ts";
import { readMetaTags } from "./meta-tags.ts";
import { decideResume, parseContentRange, type RemoteFacts } from "./resume.ts";

describe("Cache-Control", () => {
  test.each([
    [null, 0],
    ["", 0],
    ["max-age=60", 60],
    ["public, MAX-AGE=60", 60],
    ["max-age=60, max-age=10", 10],
    ["max-age=60, no-cache", 0],
    ["no-store, max-age=60", 60],
    ["max-age=060", 0],
    ["max-age=0", 0],
    ["max-age=-1", 0],
    ["max-age=60s", 0],
    ['max-age="60"', 0],
    ["max-age=99999999999999999999", 315_360_000],
  ])("%p means %p seconds", (header, seconds) => {
    expect(parseMaxAge(header)).toBe(seconds);
  });
});

describe("a partial download", () => {
  const remote: RemoteFacts = {
    status: 200,
    acceptRanges: "bytes",
    etag: '"one"',
    lastModified: "Mon, 23 Nov 2026 10:00:00 GMT",
    length: 100,
  };
  const later = Date.parse("Mon, 23 Nov 2026 10:00:05 GMT");
  const partial = { size: 40, origin: { etag: '"one"', startedMs: later } };
  const updated = {
    kind: "restart",
    reason: "cannot use cached partial download, resource updated.",
  };

  test("is continued when the ETag is the same", () => {
    const decision = { kind: "resume", validator: '"one"', complete: false };
    expect(decideResume(remote, partial)).toEqual(decision as never);
  });

  test("is thrown away when the ETag changed, though the file is older", () => {
    expect(decideResume({ ...remote, etag: '"two"' }, partial)).toEqual(updated as never);
  });

  test("is continued by date when there is no strong ETag", () => {
    const origin = { etag: "", startedMs: later };
    const weak = { ...remote, etag: 'W/"one"' };
    expect(decideResume(weak, { size: 40, origin })).toMatchObject({
      kind: "resume",
      validator: "Mon, 23 Nov 2026 10:00:00 GMT",
    });
  });

  test("is thrown away when the file may have changed in the second in which it began", () => {
    const startedMs = Date.parse("Mon, 23 Nov 2026 10:00:00.900 GMT");
    const origin = { etag: "", startedMs };
    expect(decideResume({ ...remote, etag: null }, { size: 40, origin })).toEqual(updated as never);
  });

  test("is thrown away when nothing is known of where it came from", () => {
    expect(decideResume(remote, { size: 40, origin: undefined })).toEqual(updated as never);
  });

  test("is thrown away when it is longer than the file", () => {
    expect(decideResume({ ...remote, length: 39 }, partial)).toEqual(updated as never);
  });

  test("is thrown away when the server does not do ranges, or not well", () => {
    expect(decideResume({ ...remote, acceptRanges: "none" }, partial)).toEqual({
      kind: "restart",
      reason: "cannot use cached partial download, range request unsupported.",
    });
    expect(decideResume({ ...remote, status: 405 }, partial)).toEqual({
      kind: "restart",
      reason: "bad HTTP status code from HEAD request: 405",
    });
  });

  test("is known to be complete when the lengths agree", () => {
    expect(decideResume(remote, { ...partial, size: 100 })).toMatchObject({ complete: true });
  });

  test.each([
    ["bytes 1-9/10", { first: 1, last: 9, total: 10 }],
    ["bytes 1-9/*", { first: 1, last: 9, total: undefined }],
    ["bytes 1-10/10", undefined],
    ["bytes 9-1/10", undefined],
    ["items 1-9/10", undefined],
    ["bytes 1-9/99999999999999999999", undefined],
    [null, undefined],
  ])("Content-Range %p is %p", (header, range) => {
    expect(parseContentRange(header)).toEqual(range as never);
  });
});

describe("meta tags", () => {
  test("are read in any spelling", () => {
    const html = `<!doctype html><HTML><Head>
      <META content=" example.com   https://example.com/{name}.{ext} " NAME='ac-discovery' />
      <meta name=ac-discovery-pubkeys content="example.com https://example.com/k?a=1&amp;b=2">`;
    expect(readMetaTags(html)).toEqual([
      { name: "ac-discovery", prefix: "example.com", url: "https://example.com/{name}.{ext}" },
      { name: "ac-discovery-pubkeys", prefix: "example.com", url: "https://example.com/k?a=1&b=2" },
    ]);
  });

  test("need no head element", () => {
    expect(readMetaTags('<meta name="ac-discovery" content="a b">')).toHaveLength(1);
  });

  test.each([
    ["<body>", '<html><body><meta name="ac-discovery" content="a b"></body>'],
    ["</head>", '<head></head><meta name="ac-discovery" content="a b">'],
    ["an element of the body", '<p>hi</p><meta name="ac-discovery" content="a b">'],
    ["a comment", '<!-- <meta name="ac-discovery" content="a b"> -->'],
    ["a script", "<script>\"<meta name=ac-discovery content='a b'>\"</script>"],
    ["a title", '<title><meta name="ac-discovery" content="a b"></title>'],
  ])("do not count in or after %s", (_, html) => {
    expect(readMetaTags(html)).toEqual([]);
  });

  test("without two parts or of another kind are ignored", () => {
    const html = `<head><meta name="ac-discovery" content="only"><meta name="ac-discovery">
      <meta content="a b"><meta name="description" content="a b"></head>`;
    expect(readMetaTags(html)).toEqual([]);
  });

  test("are bounded in number and size", () => {
    const one = '<meta name="ac-discovery" content="a b">';
    expect(readMetaTags(one.repeat(5000))).toHaveLength(1000);
    expect(readMetaTags(`<meta name="ac-discovery" content="a ${"b".repeat(9000)}">`)).toEqual([]);
  });

  test("of garbage are none, or harmless", () => {
    const piece = fc.constantFrom(
      ..."<,>,<meta ,name=,ac-discovery,content=,\",',a b,<!--,-->,<svg>,<table>,<template>,</,\0,&#x0;,&#9999999;,<![CDATA[".split(
        ",",
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        for (const tag of readMetaTags(pieces.join(""))) expect(tag.name).toStartWith("ac-");
      }),
    );
  });
});
