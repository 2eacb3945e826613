// SPDX-License-Identifier: Apache-2.0
// The metadata service as pods and their neighbours meet it: what an app in a pod gets, who may ask for whom, restarts,
// ends of pods, and clients that mean harm. One service to a machine: each test has it for itself, in the sandbox.
import { expect } from "bun:test";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt, type Running } from "../support/rkt.ts";
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
  await rkt.fails(
    ["run", "--mds-register", IMAGE, "--", "-c", "exit"],
    "could not reach the metadata service",
  );
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
