// SPDX-License-Identifier: Apache-2.0
// The metadata service as pods and their neighbours meet it: what an app in a pod gets, who may ask for whom, restarts,
// ends of pods, and clients that mean harm. One service to a machine: each test has it for itself, in the sandbox.
import { expect } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { listenTcp4, listenUnix } from "../../src/sys/listen.ts";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { FIXED_ENV, newRkt, RKT, type Rkt, type Running } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";

const test = needs("root", "sandbox", "busybox", "overlay", "firewall");
const IMAGE = "example.com/busybox";
const SOCKET = "/run/rkt/metadata-svc.sock";
const PORT = 18112;
const WAIT = "while :; do busybox sleep 0.1; done";

async function ready(rkt: Rkt): Promise<void> {
  const annotations = [
    { name: "homepage", value: "https://example.com" },
    { name: "example.com/a", value: "of the image" },
  ];
  writeFileSync(join(rkt.work, "busybox.aci"), busyboxAci({ manifest: { annotations } }));
  await fetchSigned(rkt, join(rkt.work, "busybox.aci"));
}

async function service(rkt: Rkt, ...words: readonly string[]): Promise<Running> {
  const running = rkt.spawn(["metadata-service", ...words]);
  await running.until("Metadata service running", "stderr");
  return running;
}

interface Pod extends Running {
  readonly uuid: string;
  /** AC_METADATA_URL with the base of all endpoints. */
  readonly base: string;
}

let pods = 0;

async function pod(
  rkt: Rkt,
  flags: readonly string[] = [],
  imageFlags: readonly string[] = [],
): Promise<Pod> {
  const file = join(rkt.work, `uuid-${pods++}`);
  const running = rkt.spawn([
    "run",
    "--mds-register",
    ...flags,
    `--uuid-file-save=${file}`,
    IMAGE,
    ...imageFlags,
    "--",
    "-c",
    `echo url $AC_METADATA_URL; ${WAIT}`,
  ]);
  await running.until(/url .*\n/);
  const url = /url (.*)\n/.exec(running.stdout())?.[1] ?? "";
  return Object.assign(running, {
    uuid: readFileSync(file, "utf8"),
    base: `${url}/acMetadata/v1`,
  });
}

interface Answer {
  readonly status: number;
  readonly type: string | null;
  readonly text: string;
}

async function ask(
  url: string,
  options: { readonly method?: string; readonly form?: Record<string, string> } = {},
): Promise<Answer> {
  const response = await fetch(url, {
    method: options.method ?? (options.form === undefined ? "GET" : "POST"),
    headers: { "Metadata-Flavor": "AppContainer" },
    ...(options.form !== undefined && { body: new URLSearchParams(options.form) }),
  });
  return {
    status: response.status,
    type: response.headers.get("content-type"),
    text: await response.text(),
  };
}

const TEXT = "text/plain; charset=us-ascii";
const JSON_TYPE = "application/json";

test("an app asks who it is, and gets what the specification says", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using _service = await service(rkt);
  const endpoints = [
    "pod/uuid",
    "pod/manifest",
    "pod/annotations",
    "apps/first/image/id",
    "apps/first/image/manifest",
    "apps/first/annotations",
    "apps/first/annotations/homepage",
    "apps/first/annotations/example.com/a",
  ];
  const get = "busybox wget -q -O - --header 'Metadata-Flavor: AppContainer'";
  const script = `for e in ${endpoints.join(" ")}; do echo; echo "== $e"; ${get} $AC_METADATA_URL/acMetadata/v1/$e; done`;
  const out = await rkt.ok([
    "run",
    "--mds-register",
    IMAGE,
    "--name=first",
    "--annotation=example.com/a=of the pod",
    "--",
    "-c",
    script,
  ]);
  const answers = new Map(
    out
      .split("\n== ")
      .slice(1)
      .map((part) => [part.split("\n")[0], part.slice(part.indexOf("\n") + 1).trimEnd()]),
  );
  const [row] = JSON.parse(await rkt.ok(["list", "--format=json"]));
  expect(answers.get("pod/uuid")).toBe(row.name);
  const manifest = JSON.parse(await rkt.ok(["cat-manifest", row.name]));
  expect(JSON.parse(answers.get("pod/manifest") ?? "")).toEqual(manifest);
  expect(JSON.parse(answers.get("pod/annotations") ?? "")).toEqual(manifest.annotations);
  expect(answers.get("apps/first/image/id")).toBe(manifest.apps[0].image.id);
  expect(JSON.parse(answers.get("apps/first/image/manifest") ?? "")).toMatchObject({ name: IMAGE });
  expect(JSON.parse(answers.get("apps/first/annotations") ?? "")).toEqual([
    { name: "homepage", value: "https://example.com" },
    { name: "example.com/a", value: "of the pod" },
  ]);
  expect(answers.get("apps/first/annotations/homepage")).toBe("https://example.com");
  expect(answers.get("apps/first/annotations/example.com/a")).toBe("of the pod");
});

test("statuses and types are the reference's, and no token opens another pod", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using running = await service(rkt);
  await using a = await pod(rkt);
  await using b = await pod(rkt, ["--net=host"], ["--name=other"]);
  expect(b.base).toStartWith(`http://127.0.0.1:${PORT}/`);
  expect(await ask(`${a.base}/pod/uuid`)).toEqual({ status: 200, type: TEXT, text: a.uuid });
  expect(await ask(`${b.base}/pod/uuid`)).toEqual({ status: 200, type: TEXT, text: b.uuid });
  expect(await ask(`${a.base}/pod/manifest`)).toMatchObject({ status: 200, type: JSON_TYPE });
  expect(await ask(`${a.base}/apps/other/image/id`)).toMatchObject({ status: 404, type: TEXT });
  expect(await ask(`${a.base}/pod/annotations/none`)).toMatchObject({ status: 404 });
  expect(await ask(`${a.base}/pod/annotations/NOT%20valid`)).toMatchObject({ status: 400 });
  expect(await ask(`${a.base}/pod/uuid`, { method: "POST" })).toMatchObject({ status: 405 });
  expect(await ask(`${a.base}/pod/hmac/sign`)).toMatchObject({ status: 405 });
  expect(await ask(`${a.base}/pod`)).toMatchObject({ status: 404 });
  expect(await ask(`${a.base}/../v1/pod/uuid/`)).toMatchObject({ status: 404 });
  expect(await ask(`${a.base}/apps/..%2f..%2fother/image/id`)).toMatchObject({ status: 404 });
  const stranger = a.base.replace(/[0-9a-f]{32}/, "0".repeat(32));
  expect(await ask(`${stranger}/pod/uuid`)).toEqual({
    status: 401,
    type: TEXT,
    text: "pod not found",
  });
  // The journal is read by more people than the pod's environment.
  const token = /[0-9a-f]{32}/.exec(a.base)?.[0] ?? "?";
  expect(running.stderr()).toContain(`GET ${a.uuid}/pod/uuid - 200`);
  expect(running.stderr()).not.toContain(token);
});

test("a signature is the pod's own, and is good after the service was started again", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  let running = await service(rkt);
  await using a = await pod(rkt);
  await using b = await pod(rkt);
  const content = "Old MacDonald Had A Farm & more";
  const signed = await ask(`${a.base}/pod/hmac/sign`, { form: { content } });
  expect(signed).toMatchObject({ status: 200, type: TEXT });
  expect(signed.text).toMatch(/^[0-9A-Za-z+/]{86}==$/);
  const verify = (form: Record<string, string>) => ask(`${b.base}/pod/hmac/verify`, { form });
  const good = { content, uuid: a.uuid, signature: signed.text };
  expect(await verify(good)).toMatchObject({ status: 200, type: TEXT });
  expect((await verify({ ...good, uuid: b.uuid })).status).toBe(403);
  expect((await verify({ ...good, content: "other" })).status).toBe(403);
  expect((await verify({ ...good, signature: "AAAA" })).status).toBe(403);
  expect((await verify({ ...good, signature: "!" })).status).toBe(400);
  expect((await verify({ ...good, uuid: "x" })).status).toBe(400);
  expect((await verify({ ...good, content: "" })).status).toBe(400);
  expect((await ask(`${a.base}/pod/hmac/sign`, { form: {} })).status).toBe(400);

  running.kill("SIGKILL");
  await running.finished;
  running = await service(rkt);
  await using _again = running;
  expect(running.stderr()).toContain("pods: 2");
  expect((await ask(`${a.base}/pod/uuid`)).text).toBe(a.uuid);
  expect((await ask(`${b.base}/apps/busybox/image/id`)).status).toBe(200);
  expect((await verify(good)).status).toBe(200);
  const key = statSync(join(rkt.data, "metadata-service/hmac.key"));
  expect(key.mode & 0o777).toBe(0o600);
  expect(statSync(join(rkt.data, "pods/run", a.uuid, "mds-registered")).mode & 0o777).toBe(0o600);
});

async function eventually(ask: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 30_000;
  while (!(await ask())) {
    if (performance.now() > end) throw new Error("did not happen");
    await Bun.sleep(50);
  }
}

/** The gateway's address goes with the last pod. */
const onLoopback = ({ base }: Pod): string => base.replace(/\/\/[^/]*/, `//127.0.0.1:${PORT}`);

test("a pod that ends is forgotten, whether rkt says so or not", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using _service = await service(rkt);
  const a = await pod(rkt);
  a.kill("SIGKILL");
  await a.finished;
  await eventually(async () => (await ask(`${onLoopback(a)}/pod/uuid`)).status === 401);
  const b = await pod(rkt);
  await rkt.ok(["stop", b.uuid]);
  await b.finished;
  const { stderr } = await rkt.run(["rm", b.uuid]);
  expect(stderr).toBe("");
  expect((await ask(`${onLoopback(b)}/pod/uuid`)).status).toBe(401);
});

test("without a service a pod does not start, and a prepared one can be tried again", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  const nobody = `could not reach the metadata service: nothing listens on ${SOCKET}`;
  await rkt.fails(["run", "--mds-register", IMAGE, "--", "-c", "exit"], nobody);
  // A service that was killed leaves its socket.
  const dead = await service(rkt);
  dead.kill("SIGKILL");
  await dead.finished;
  expect(existsSync(SOCKET)).toBe(true);
  await rkt.fails(["run", "--mds-register", IMAGE, "--", "-c", "exit"], nobody);
  const uuid = (await rkt.ok(["prepare", IMAGE, "--", "-c", "echo $AC_METADATA_URL"])).trim();
  await rkt.fails(["run-prepared", "--mds-register", uuid], "could not reach the metadata service");
  expect(existsSync(join(rkt.data, "pods/prepared", uuid, "mds-registered"))).toBe(false);
  await using _service = await service(rkt, "--listen-port=18200");
  expect(await rkt.ok(["run-prepared", "--mds-register", uuid])).toMatch(
    /^http:\/\/172\.16\.28\.1:18200\/[0-9a-f]{32}\n$/,
  );
  await rkt.fails(["metadata-service"], "a metadata service is running already");
  expect(statSync(SOCKET).mode & 0o777).toBe(0o600);
});

test("what is entered knows the service too", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using _service = await service(rkt);
  await using a = await pod(rkt);
  const out = await rkt.ok([
    "enter",
    a.uuid,
    "/bin/sh",
    "-c",
    "echo $AC_METADATA_URL/acMetadata/v1",
  ]);
  expect(out.trim()).toBe(a.base);
});

test("what is in its way is said in a sentence", async () => {
  await using rkt = newRkt();
  await rkt.fails(["metadata-service", "--listen-port=0"], "must be between 1 and 65535");
  const taken = Bun.listen({ hostname: "0.0.0.0", port: PORT, socket: { data: () => undefined } });
  await rkt.fails(["metadata-service"], `cannot listen on port ${PORT}: `);
  taken.stop();
  await rkt.fails(["metadata-service"], "one is wanted", { env: { LISTEN_FDS: "2" } });
  const tcp = listenTcp4(0);
  const given = Bun.spawnSync([RKT, `--dir=${rkt.data}`, "metadata-service"], {
    env: { ...FIXED_ENV, LISTEN_FDS: "1" },
    stdio: ["ignore", "ignore", "pipe", tcp],
  });
  closeSync(tcp);
  expect(given.exitCode).toBe(254);
  expect(given.stderr.toString()).toContain("it is not a unix socket that listens");
  await rkt.ok(["list"]);
  mkdirSync(join(rkt.data, "metadata-service"), { mode: 0o700 });
  const key = join(rkt.data, "metadata-service/hmac.key");
  writeFileSync(key, new Uint8Array(64), { mode: 0o644 });
  await rkt.fails(["metadata-service"], "it is not a key that only root may read");
  unlinkSync(key);
  symlinkSync("/etc/hostname", key);
  await rkt.fails(["metadata-service"], "cannot use the key of signatures");
});

/** What a server says to bytes as they are, until it closes. */
async function raw(bytes: string | Uint8Array, from = "127.0.0.1"): Promise<string> {
  const client = await connect(from);
  client.write(bytes);
  await client.closed;
  return client.received();
}

interface RawClient {
  write(bytes: string | Uint8Array): void;
  received(): string;
  readonly closed: Promise<void>;
}

function connect(from: string): Promise<RawClient> {
  const socket = createConnection({ host: "127.0.0.1", port: PORT, localAddress: from });
  const chunks: Buffer[] = [];
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  const { promise, resolve } = Promise.withResolvers<RawClient>();
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  const client = {
    write: (bytes: string | Uint8Array) => void socket.write(bytes),
    received: () => Buffer.concat(chunks).toString("latin1"),
    closed,
  };
  // Also one that was closed as soon as it was there.
  const known = () => resolve(client);
  socket.on("connect", known);
  socket.on("error", known);
  socket.on("close", () => {
    known();
    close();
  });
  return promise;
}

test("what is no request is refused, and nothing hides in a path", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using running = await service(rkt);
  await using a = await pod(rkt);
  const token = /[0-9a-f]{32}/.exec(a.base)?.[0] ?? "?";
  const get = (target: string) => raw(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
  const base = `/${token}/acMetadata/v1`;
  expect(await get(`${base}/pod/uuid`)).toEndWith(`\r\n\r\n${a.uuid}`);
  expect(await get(`${base}/pod/uuid?x=y`)).toEndWith(a.uuid);
  for (const target of [
    `//${token}/acMetadata/v1/pod/uuid`,
    `/x/../${token}/acMetadata/v1/pod/uuid`,
    `${base}//pod/uuid`,
    `${base}/./pod/uuid`,
    `${base}/pod/../pod/uuid`,
    `${base}/pod%2fuuid`,
    `${base}/pod/%2e/uuid`,
    `${base}/pod/uuid%00`,
    `${base}/pod/%ff`,
    `${base}/apps/../pod/uuid`,
    "/",
    "*",
    "/pods/x",
    `http://127.0.0.1${base}/pod/uuid`,
    "/__proto__/acMetadata/v1/pod/uuid",
  ]) {
    const answer = await get(target);
    expect([target, /^HTTP\/1\.1 40[0-4] /.test(answer)]).toEqual([target, true]);
    expect(answer).not.toContain(a.uuid);
  }
  const wrong: readonly (readonly [string | Uint8Array, number])[] = [
    [`GET /${"a".repeat(20_000)} HTTP/1.1\r\n\r\n`, 431],
    [`GET / HTTP/1.1\r\n${"a: b\r\n".repeat(200)}\r\n`, 431],
    [`POST ${base}/pod/hmac/sign HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n`, 413],
    [`POST ${base}/pod/hmac/sign HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n`, 411],
    [`DELETE ${base}/pod/uuid HTTP/1.1\r\n\r\n`, 405],
    [`PUT /pods/${a.uuid}?token=${token} HTTP/1.1\r\n\r\n`, 404],
    ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400],
    [crypto.getRandomValues(new Uint8Array(60_000)), 431],
    ["GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400],
  ];
  for (const [bytes, status] of wrong) {
    expect(await raw(bytes)).toStartWith(`HTTP/1.1 ${status} `);
  }
  // Somebody else's request behind one's own is not looked at.
  const two = `GET ${base}/pod/uuid HTTP/1.1\r\n\r\n`.repeat(2);
  expect((await raw(two)).split("HTTP/1.1 200").length).toBe(2);
  expect(running.stderr()).not.toContain("internal error");
});

test("clients that never end cost their own connections only", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using _service = await service(rkt);
  await using a = await pod(rkt);
  const url = onLoopback(a);
  const slow: RawClient[] = [];
  for (let i = 0; i < 64; i++) {
    const client = await connect("127.0.0.9");
    client.write("GET / HTTP/1.1\r\n");
    slow.push(client);
  }
  const drip = setInterval(() => {
    for (const client of slow) client.write("a");
  }, 100);
  // One more from there is closed without a word; others are answered.
  const extra = await connect("127.0.0.9");
  await extra.closed;
  expect(extra.received()).toBe("");
  expect((await ask(`${url}/pod/uuid`)).text).toBe(a.uuid);
  await Promise.all(slow.map(({ closed }) => closed));
  clearInterval(drip);
  expect(await raw("GET / HTTP/1.1\r\n\r\n", "127.0.0.9")).toStartWith("HTTP/1.1 404");
});

test("neither connections nor bodies nor silent readers take the machine's memory", async () => {
  await using rkt = newRkt();
  await ready(rkt);
  await using running = await service(rkt);
  await using a = await pod(rkt);
  const url = onLoopback(a);
  const path = new URL(url).pathname;
  const many: RawClient[] = [];
  const body = Buffer.alloc(1024 * 1024 - 1, "a");
  for (let i = 0; i < 1100; i++) {
    const client = await connect(`127.0.1.${1 + (i % 20)}`);
    if (i < 60) {
      client.write(`POST ${path}/pod/hmac/sign HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n`);
      client.write(body);
    }
    many.push(client);
  }
  const memory = () =>
    Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${running.pid}/status`, "utf8"))?.[1]) / 1024;
  await Promise.all(many.map(({ closed }) => closed));
  expect(memory()).toBeLessThan(250);
  expect(many.some((client) => client.received().startsWith("HTTP/1.1 503"))).toBe(true);
  expect((await ask(`${url}/pod/uuid`)).text).toBe(a.uuid);
  // What a pod does must not fill the journal either.
  for (let i = 0; i < 400; i++) await ask(`${url}/pod/uuid`);
  expect(running.stderr().split("\n").length).toBeLessThan(500);
});

test("the service has no power left, and takes systemd's socket", async () => {
  await using rkt = newRkt();
  rmdirSync(rkt.data);
  const socket = join(rkt.work, "registration.sock");
  const listening = listenUnix(socket, 0o600);
  const child = Bun.spawn([RKT, `--dir=${rkt.data}`, "metadata-service"], {
    env: { ...FIXED_ENV, LISTEN_FDS: "1" },
    stdio: ["ignore", "ignore", "pipe", listening],
  });
  closeSync(listening);
  try {
    await eventually(async () => (await put(socket, "/pods/x")) === 400);
    const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
      expect(status).toContain(`${set}:\t0000000000000000\n`);
    }
    expect(status).toContain("NoNewPrivs:\t1\n");
    // The first command on a new machine: the group rkt is to read what is there.
    expect(statSync(rkt.data).mode & 0o7777).toBe(0o2750);
    const uuid = crypto.randomUUID();
    const image = JSON.stringify({ acKind: "ImageManifest", acVersion: "0.8.11", name: "a.b/c" });
    expect(await put(socket, `/pods/${uuid}/app`, image)).toBe(404);
    const manifest = JSON.stringify({ acKind: "PodManifest", acVersion: "0.8.11", apps: [] });
    expect(await put(socket, `/pods/${uuid}`, manifest)).toBe(400);
    expect(await put(socket, `/pods/${uuid}?token=short`, manifest)).toBe(400);
    const token = "f".repeat(32);
    expect(await put(socket, `/pods/${uuid}?token=${token}`, "{")).toBe(400);
    expect(await put(socket, `/pods/${uuid}?token=${token}`, manifest)).toBe(200);
    expect(await put(socket, `/pods/${crypto.randomUUID()}?token=${token}`, manifest)).toBe(400);
    expect(await put(socket, `/pods/${uuid}/app`, "{}")).toBe(400);
    expect(await put(socket, `/pods/${uuid}/app`, image)).toBe(200);
    const base = `http://127.0.0.1:${PORT}/${token}/acMetadata/v1`;
    expect(await ask(`${base}/pod/uuid`)).toMatchObject({ status: 200, text: uuid });
    expect(await put(socket, `/pods/${uuid}`, undefined, "DELETE")).toBe(200);
    expect(await put(socket, `/pods/${uuid}`, undefined, "DELETE")).toBe(404);
    expect(await ask(`${base}/pod/uuid`)).toMatchObject({ status: 401 });
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
});

async function put(socket: string, path: string, body?: string, method = "PUT"): Promise<number> {
  const options = { method, unix: socket, ...(body !== undefined && { body }) };
  return (await fetch(`http://localhost${path}`, options)).status;
}
