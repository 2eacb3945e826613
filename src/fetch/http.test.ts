// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { dirname } from "node:path";
import { failure } from "../store/test-images.ts";
import { openWeb, type Web } from "./fixture.ts";
import { type HttpClient, type HttpRequest, openHttp } from "./http.ts";

const TIMEOUTS = { answer: 5_000, stall: 5_000 };

describe("the HTTP client", () => {
  let web: Web;
  let http: HttpClient;
  beforeAll(async () => {
    web = await openWeb();
    http = openHttp({ version: "1.2.3", insecureTls: false, env: web.env, timeouts: TIMEOUTS });
  });
  afterAll(() => web[Symbol.dispose]());
  beforeEach(() => {
    web.log.length = 0;
    web.requests.length = 0;
    web.proxyLog.length = 0;
  });

  async function get(url: string, request: HttpRequest = {}, client = http, limit = 1e9) {
    await using answer = await client.request(url, request);
    const chunks: Uint8Array[] = [];
    for await (const chunk of answer.body(limit)) chunks.push(chunk);
    return { status: answer.status, url: answer.url, text: Buffer.concat(chunks).toString() };
  }
  const getError = async (...args: Parameters<typeof get>) => await failure(() => get(...args));

  test("gets a body through the proxy and says who it is", async () => {
    web.serve("https://example.com/a", "content");
    expect(await get("https://example.com/a")).toEqual({
      status: 200,
      url: "https://example.com/a",
      text: "content",
    });
    expect(web.proxyLog).toEqual(["CONNECT example.com:443"]);
    expect(web.requests[0]?.headers.get("user-agent")).toBe("rkt/1.2.3");
    expect(web.requests[0]?.headers.get("accept-encoding")).toBe("identity");
  });

  test("goes round the proxy for this machine", async () => {
    web.serve(`https://127.0.0.1:${web.httpsPort}/a`, "direct");
    expect((await get(`https://127.0.0.1:${web.httpsPort}/a`)).text).toBe("direct");
    expect(web.proxyLog).toEqual([]);
  });

  test("goes round the proxy where NO_PROXY says so, whatever the runtime thinks of it", async () => {
    const env = { ...web.env, NO_PROXY: ".invalid" };
    const client = openHttp({ version: "1", insecureTls: false, env, timeouts: TIMEOUTS });
    const error = await getError("http://nothing.invalid/a", {}, client);
    expect(error.code).toBe("CONNECTION_FAILED");
    expect(web.proxyLog).toEqual([]);
  });

  test("hands over the bytes as they are, whatever encoding they claim", async () => {
    web.serve("https://example.com/gz", (_, reply) =>
      reply.send(200, { "Content-Encoding": "gzip" }, "not gzip at all"),
    );
    expect((await get("https://example.com/gz")).text).toBe("not gzip at all");
  });

  test("answers an error status without making it an error", async () => {
    expect((await get("https://example.com/nothing")).status).toBe(404);
  });

  test("follows redirects to other hosts and paths", async () => {
    web.serve("https://example.com/r1", (_, r) => r.send(302, { Location: "/r2?x=1" }));
    web.serve("https://example.com/r2?x=1", (_, r) => r.send(308, { Location: "//cdn.test/r3" }));
    web.serve("https://cdn.test/r3", "there");
    expect(await get("https://example.com/r1")).toMatchObject({
      url: "https://cdn.test/r3",
      text: "there",
    });
  });

  test("gives up on a loop of redirects after ten", async () => {
    web.serve("https://example.com/loop", (_, r) => r.send(302, { Location: "/loop" }));
    const error = await getError("https://example.com/loop");
    expect(error.message).toBe('cannot fetch "https://example.com/loop": too many redirects');
    expect(error.code).toBe("TOO_MANY_REDIRECTS");
    expect(web.log).toHaveLength(11);
  });

  test("refuses to be led from https to http unless that is allowed", async () => {
    web.serve("https://example.com/down", (_, r) =>
      r.send(302, { Location: "http://example.com/plain" }),
    );
    web.serve("http://example.com/plain", "plain");
    const error = await getError("https://example.com/down");
    expect(error.message).toEndWith("it leads from https to http");
    expect(error.code).toBe("REDIRECT_REFUSED");
    expect((await get("https://example.com/down", { allowDowngrade: true })).text).toBe("plain");
  });

  test.each(["file:///etc/passwd", "ftp://example.com/", "http://", "https://[::1"])(
    "refuses to be led to %p",
    async (location) => {
      web.serve("https://example.com/odd", (_, r) => r.send(302, { Location: location }));
      expect((await getError("https://example.com/odd")).code).toBe("REDIRECT_REFUSED");
    },
  );

  test("shows credentials to the host that they are for, and after a redirect to no other", async () => {
    const auth = (url: string, method: string) => ({ Authorization: `${method} ${url}` });
    web.serve("https://example.com/1", (_, r) => r.send(302, { Location: "/2" }));
    web.serve("https://example.com/2", (_, r) => r.send(302, { Location: "https://other.test/3" }));
    web.serve("https://other.test/3", (_, r) => r.send(302, { Location: "https://example.com/4" }));
    web.serve("https://example.com/4", "end");
    await get("https://example.com/1", { auth, headers: { Range: "bytes=1-" } });
    expect(web.requests.map((r) => r.headers.get("authorization"))).toEqual([
      "GET https://example.com/1",
      "GET https://example.com/2",
      undefined,
      undefined,
    ]);
    expect(web.requests.map((r) => r.headers.get("range"))).toEqual(Array(4).fill("bytes=1-"));
  });

  test("turns credentials in a URL into a header and keeps them out of errors", async () => {
    web.serve("https://example.com/in", "x");
    await get("https://us%20er:se%3Acret@example.com/in");
    expect(web.requests[0]?.headers.get("authorization")).toBe(`Basic ${btoa("us er:se:cret")}`);
    const error = await getError("https://user:secret@example.com/in", {}, http, 0);
    expect(error.message).toBe('cannot fetch "https://example.com/in": it is larger than 0 bytes');
  });

  test("refuses a certificate that nobody it trusts has signed", async () => {
    const env = {
      HTTPS_PROXY: web.env["HTTPS_PROXY"],
      SSL_CERT_FILE: "/etc/ssl/certs/ca-certificates.crt",
    };
    const client = openHttp({ version: "1", insecureTls: false, env, timeouts: TIMEOUTS });
    const error = await getError("https://example.com/a", {}, client);
    expect(error.message).toStartWith(
      'cannot fetch "https://example.com/a": the server\'s certificate is not accepted: ',
    );
    expect(error.code).toBe("TLS_FAILED");
    expect(web.log).toEqual([]);
  });

  test("refuses a certificate that is for another host", async () => {
    const error = await getError("https://wrong.test/a");
    expect(error.message).toEndWith("not accepted: it is made out to another host");
    expect(error.code).toBe("TLS_FAILED");
  });

  test("takes any certificate with insecure TLS", async () => {
    web.serve("https://wrong.test/a", "taken");
    const client = openHttp({ version: "1", insecureTls: true, env: web.env, timeouts: TIMEOUTS });
    expect((await get("https://wrong.test/a", {}, client)).text).toBe("taken");
  });

  test.each(["SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"])("takes authorities from %s", async (name) => {
    const ca = web.env["SSL_CERT_FILE"] ?? "";
    web.serve("https://example.com/a", "content");
    const env = {
      HTTPS_PROXY: web.env["HTTPS_PROXY"],
      [name]: name === "SSL_CERT_DIR" ? dirname(ca) : ca,
    };
    const client = openHttp({ version: "1", insecureTls: false, env, timeouts: TIMEOUTS });
    expect((await get("https://example.com/a", {}, client)).text).toBe("content");
  });

  test("says that a certificate file cannot be read", async () => {
    const env = { ...web.env, SSL_CERT_FILE: "/nonexistent/ca.pem" };
    const client = openHttp({ version: "1", insecureTls: false, env, timeouts: TIMEOUTS });
    const error = await getError("https://example.com/a", {}, client);
    expect(error.message).toBe(
      'cannot read the certificates of SSL_CERT_FILE from "/nonexistent/ca.pem"',
    );
  });

  test("says that nobody listens, and that a name does not exist", async () => {
    const env = { SSL_CERT_FILE: web.env["SSL_CERT_FILE"] };
    const client = openHttp({ version: "1", insecureTls: false, env, timeouts: TIMEOUTS });
    const refused = await getError("http://127.0.0.1:1/a", {}, client);
    expect(refused.message).toBe('cannot fetch "http://127.0.0.1:1/a": connection refused');
    expect(refused.code).toBe("CONNECTION_FAILED");
    const unknown = await getError("http://nothing.invalid/a", {}, client);
    expect(unknown.message).toBe(
      'cannot fetch "http://nothing.invalid/a": no such host "nothing.invalid"',
    );
  });

  test("calls a body that ends early an error", async () => {
    web.serve("https://example.com/short", (_, reply) => {
      reply.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
      setTimeout(() => reply.end(), 50);
    });
    const error = await getError("https://example.com/short");
    expect(error.message).toBe(
      'cannot fetch "https://example.com/short": the connection ended after 3 of 10 bytes',
    );
    expect(error.code).toBe("BODY_SHORT");
  });

  test("calls a chunked body without its end an error", async () => {
    web.serve("https://example.com/chunked", (_, reply) => {
      reply.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
      setTimeout(() => reply.end(), 50);
    });
    expect((await getError("https://example.com/chunked")).code).toBe("BODY_SHORT");
  });

  test("takes no more of a body than was announced", async () => {
    web.serve("https://example.com/long", (_, reply) => {
      reply.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabcdef");
      reply.end();
    });
    expect((await get("https://example.com/long")).text).toBe("abc");
  });

  test("stops at its limit, announced or not", async () => {
    web.serve("https://example.com/five", "12345");
    web.serve("https://example.com/endless", (_, reply) => {
      reply.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n12345");
    });
    for (const path of ["five", "endless"]) {
      const error = await getError(`https://example.com/${path}`, {}, http, 4);
      expect(error.message).toEndWith("it is larger than 4 bytes");
      expect(error.code).toBe("TOO_LARGE");
    }
  });

  test("gives up on a server that does not answer, and on one that stops", async () => {
    const timeouts = { answer: 150, stall: 150 };
    const client = openHttp({ version: "1", insecureTls: false, env: web.env, timeouts });
    web.serve("https://example.com/never", () => undefined);
    web.serve("https://example.com/stops", (_, reply) =>
      reply.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
    );
    const never = await getError("https://example.com/never", {}, client);
    expect(never.message).toBe('cannot fetch "https://example.com/never": no answer for 0.15 s');
    expect(never.code).toBe("TIMEOUT");
    const stops = await getError("https://example.com/stops", {}, client);
    expect(stops.message).toBe('cannot fetch "https://example.com/stops": no data for 0.15 s');
    expect(stops.code).toBe("TIMEOUT");
  });

  test("refuses an answer that is not HTTP, or has endless headers", async () => {
    web.serve("https://example.com/garbage", (_, reply) => {
      reply.write("SSH-2.0-OpenSSH_9\r\n\r\n");
      reply.end();
    });
    web.serve("https://example.com/headers", (_, reply) => {
      reply.write(`HTTP/1.1 200 OK\r\n${`X-Pad: ${"a".repeat(1000)}\r\n`.repeat(2000)}`);
    });
    for (const path of ["garbage", "headers"]) {
      const error = await getError(`https://example.com/${path}`);
      expect(error.code).toBe("CONNECTION_FAILED");
    }
  });

  test("asks without a body with HEAD", async () => {
    web.serve("https://example.com/head", (_, r) => r.send(200, { ETag: '"x"' }, "12345"));
    await using answer = await http.request("https://example.com/head", { method: "HEAD" });
    expect([answer.status, answer.length, answer.headers.get("etag")]).toEqual([200, 5, '"x"']);
  });

  test("streams a large body in pieces", async () => {
    let sent = 0;
    const chunk = Buffer.alloc(1 << 20);
    web.serve("https://example.com/big", (_, reply) => {
      reply.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
      for (; sent < 64; sent++) reply.write(chunk);
      reply.end();
    });
    await using answer = await http.request("https://example.com/big");
    let size = 0;
    for await (const part of answer.body(1e9)) {
      size += part.length;
      expect(part.length).toBeLessThan(8 << 20);
    }
    expect(size).toBe(64 << 20);
  });
});
