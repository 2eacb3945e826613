// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseImageManifest, parsePodManifest } from "../../appc/index.ts";
import { limitedLog, requestLine } from "./log.ts";
import { answerPublic } from "./public.ts";
import { Registry } from "./registry.ts";

const TOKEN = "0123456789abcdef0123456789abcdef";
const UUID = "6733c088-a507-4694-aabf-6edbda08fc71";
const KEY = new Uint8Array(64).fill(7);

function registry(): Registry {
  const pods = new Registry();
  const manifestText = JSON.stringify({
    acKind: "PodManifest",
    acVersion: "0.8.11",
    apps: [
      {
        name: "app",
        image: { id: `sha512-${"a".repeat(64)}` },
        annotations: [{ name: "b/c", value: "over" }],
      },
    ],
  });
  pods.add(TOKEN, { uuid: UUID, manifest: parsePodManifest(manifestText), manifestText });
  const text = JSON.stringify({
    acKind: "ImageManifest",
    acVersion: "0.8.11",
    name: "example.com/app",
    annotations: [{ name: "b/c", value: "under" }],
  });
  pods.addImage(UUID, "app", { manifest: parseImageManifest(text), text });
  return pods;
}

const ask = (target: string, method = "GET", body = "") =>
  answerPublic(registry(), KEY, { method, target, headers: new Map(), body: Buffer.from(body) });

const at = (path: string): string => `/${TOKEN}/acMetadata/v1/${path}`;

test("a pod without annotations has none, as a manifest says it", () => {
  expect(ask(at("pod/annotations")).response).toEqual({
    status: 200,
    headers: { "Content-Type": "application/json" },
    body: "null",
  });
});

test("the pod manifest's annotations of an app are over the image's", () => {
  expect(ask(at("apps/app/annotations")).response.body).toBe('[{"name":"b/c","value":"over"}]');
  expect(ask(at("apps/app/annotations/b/c")).response.body).toBe("over");
});

test("no path without the token is answered with anything of a pod", () => {
  const word = fc.oneof(
    fc.constantFrom("acMetadata", "v1", "pod", "apps", "app", "uuid", "manifest", "", "..", "%2e"),
    fc.string({ maxLength: 40 }),
    fc.stringMatching(/^[0-9a-f]{32}$/),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 8 }), (words) => {
      const target = `/${words.join("/")}`;
      fc.pre(!target.startsWith(`/${TOKEN}/`));
      const { response, pod } = ask(target);
      expect([401, 404]).toContain(response.status);
      expect(pod).toBeUndefined();
    }),
  );
});

test("a signature verifies for its pod and content, and for nothing that differs", () => {
  const form = (fields: Record<string, string>) => new URLSearchParams(fields).toString();
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.string({ minLength: 1 }), (content, other) => {
      const signature = ask(at("pod/hmac/sign"), "POST", form({ content })).response.body;
      const status = (fields: Record<string, string>) =>
        ask(at("pod/hmac/verify"), "POST", form({ uuid: UUID, signature, content, ...fields }))
          .response.status;
      expect(status({})).toBe(200);
      expect(status({ content: other })).toBe(
        Buffer.from(other).equals(Buffer.from(content)) ? 200 : 403,
      );
      expect(status({ uuid: UUID.replace("6", "7") })).toBe(403);
    }),
  );
});

test("a signature is one of bytes, also where they are no text", () => {
  const post = (what: string, body: string) => ask(at(`pod/hmac/${what}`), "POST", body).response;
  const signature = encodeURIComponent(post("sign", "content=a%ff+b").body);
  const status = (content: string): number =>
    post("verify", `uuid=${UUID}&signature=${signature}&content=${content}`).status;
  expect(status("a%FF+b")).toBe(200);
  expect(status("a%ff%20b")).toBe(200);
  expect(status("a%fe+b")).toBe(403);
  expect(status("a%ef%bf%bd+b")).toBe(403);
  expect(status("a%ff+")).toBe(403);
  expect(post("sign", "content=%f").status).toBe(400);
  expect(post("sign", "content=%zz").status).toBe(400);
  expect(post("sign", "content").status).toBe(400);
  // The key is 64 times 7; the sum is openssl's, over the UUID's bytes and 0x61 0xff 0x20 0x62.
  expect(post("sign", "content=a%ff+b").body).toBe(
    "OJNo8Et5jiNQcsWo+AdTjow9ZFmHLjtX0Y8BGU0UKFFwpspJ4wFRQcwhghf9KSvYJuYt69PecqUDsbFU4e4vMQ==",
  );
});

test("a form of more fields than anybody means is not read", () => {
  const sign = (body: string) => ask(at("pod/hmac/sign"), "POST", body).response.status;
  expect(sign(`content=a${"&b=c".repeat(15)}`)).toBe(200);
  expect(sign(`content=a${"&b=c".repeat(16)}`)).toBe(400);
  expect(sign("&".repeat(1024 * 1024))).toBe(400);
});

test("a pod that is registered again has its new token only", () => {
  const pods = registry();
  const manifest = parsePodManifest('{"acKind":"PodManifest","acVersion":"0.8.11","apps":[]}');
  const again = { uuid: UUID, manifest, manifestText: "" };
  expect(pods.add("f".repeat(32), again)).toBe(true);
  expect(pods.byToken(TOKEN)).toBeUndefined();
  expect(pods.byToken("f".repeat(32))?.uuid).toBe(UUID);
  expect(pods.remove(UUID)).toBe(true);
  expect(pods.remove(UUID)).toBe(false);
});

test("no more than 50 requests a second are shown, and how many were not", () => {
  const lines: string[] = [];
  let now = 0;
  const log = limitedLog(
    (text) => lines.push(text),
    () => now,
  );
  for (let i = 0; i < 60; i++) log.line("x");
  now = 1000;
  log.line("y");
  expect(lines.length).toBe(52);
  expect(lines.slice(-2)).toEqual(["10 more requests are not shown", "y"]);
  expect(requestLine("GET", "a".repeat(300), 200).length).toBeLessThan(230);
});
