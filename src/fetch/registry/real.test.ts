// SPDX-License-Identifier: Apache-2.0
// The source against Debian's docker-registry, filled by skopeo, with faults between.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { type FaultProxy, newFaultProxy } from "../../../tests/support/fault-proxy.ts";
import { needs } from "../../../tests/support/needs.ts";
import { type OciFacts, sha256, writeLayout } from "../../../tests/support/oci.ts";
import { newRegistry, PASSWORD, type Registry, USER } from "../../../tests/support/registry.ts";
import { type TempDir, tempDir } from "../../../tests/support/temp.ts";
import { SECURE } from "../../lib/insecure-options.ts";
import { silentReporter } from "../../lib/reporter.ts";
import { type OciSource, parseManifest } from "../../oci/index.ts";
import { failure } from "../../store/test-images.ts";
import type { NetworkContext } from "../context.ts";
import { type DockerReference, parseDockerReference } from "../docker-reference.ts";
import { registrySource } from "./source.ts";

const run = needs("registry");

let dir: TempDir;
let facts: OciFacts;
beforeAll(() => {
  dir = tempDir("rkt-real-registry");
  const big = { name: "big", content: randomBytes(3_000_000) };
  facts = writeLayout(dir.join("layout"), "1", {
    layers: [{ files: [{ name: "etc", type: "dir" }] }, { files: [big] }],
  });
});
afterAll(() => dir[Symbol.dispose]());

function sourceAt(
  text: string,
  { env, login, debug }: { env: NetworkContext["env"]; login?: string; debug?: string[] },
): OciSource {
  const dockerAuth = new Map(
    login === undefined ? [] : [[login, { user: USER, password: PASSWORD }]],
  );
  return registrySource(parseDockerReference(text) as DockerReference, {
    config: { auth: new Map(), dockerAuth, paths: {}, stage1: {}, trustPolicies: new Map() },
    insecure: SECURE,
    version: "1.2.3",
    report: { ...silentReporter, debug: (_, line) => debug?.push(line) },
    env: { ...env, HOME: dir.path },
    timeouts: { answer: 10_000, stall: 500 },
    pause: async () => undefined,
  });
}

/** Resolves, and reads everything that the manifest names; the digests found. */
async function readAll(source: OciSource): Promise<readonly string[]> {
  const { bytes, mediaType, digest } = await source.resolve();
  const { config, layers } = parseManifest(bytes, mediaType);
  const digests = await Promise.all(
    [config, ...layers].map(async (descriptor) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of source.blob(descriptor)) chunks.push(chunk);
      const found = sha256(Buffer.concat(chunks));
      expect<string>(found).toBe(descriptor.digest);
      return found;
    }),
  );
  return [digest, ...digests.slice(1)];
}

describe("a real registry", () => {
  const wanted = () => [facts.digest, ...facts.layers.map(({ digest }) => digest)];

  run("gives back what skopeo put there, by tag and by digest, whole", async () => {
    await using registry = await newRegistry();
    await registry.push(`oci:${dir.join("layout")}:1`, "test/image:1");
    const at = `${registry.host}/test/image`;
    expect(await readAll(sourceAt(`${at}:1`, registry))).toEqual(wanted());
    expect(await readAll(sourceAt(`${at}@${facts.digest}`, registry))).toEqual(wanted());
    const source = sourceAt(`${at}:1`, registry);
    expect(await source.tagged("sha256-0.sig")).toBeUndefined();
    const { digest } = await source.resolve();
    expect(await source.referrers(digest)).toEqual([]);
    expect((await source.manifest(digest))?.bytes).toEqual((await source.resolve()).bytes);
    const missing = await failure(() => sourceAt(`${at}:2`, registry).resolve());
    expect(missing).toMatchObject({ code: "REGISTRY_NOT_FOUND" });
    expect(missing.message).toContain("has no such image");
  });

  run("that wants a password gets it", async () => {
    await using registry = await newRegistry({ auth: "htpasswd" });
    await registry.push(`oci:${dir.join("layout")}:1`, "test/image:1");
    const at = `${registry.host}/test/image:1`;
    expect(await readAll(sourceAt(at, { ...registry, login: registry.host }))).toEqual(wanted());
    expect(await failure(() => sourceAt(at, registry).resolve())).toMatchObject({
      code: "REGISTRY_DENIED",
    });
  });

  run("that wants tokens gets them, from its token server", async () => {
    await using registry = await newRegistry({ auth: "token" });
    for (const name of ["open/image:1", "closed/image:1"]) {
      await registry.push(`oci:${dir.join("layout")}:1`, name);
    }
    const before = registry.tokenRequests.length;
    expect(await readAll(sourceAt(`${registry.host}/open/image:1`, registry))).toEqual(wanted());
    expect(registry.tokenRequests.slice(before).map(({ login }) => login)).toEqual([false]);
    const closed = `${registry.host}/closed/image:1`;
    const denied = await failure(() => sourceAt(closed, registry).resolve());
    expect(denied.message).toContain("gives it to nobody without a login");
    const source = sourceAt(closed, { ...registry, login: registry.host });
    expect(await readAll(source)).toEqual(wanted());
  });

  describe("behind a line that breaks", () => {
    let registry: Registry;
    let proxy: FaultProxy;
    beforeAll(async () => {
      if (run !== test) return;
      registry = await newRegistry({ auth: "htpasswd" });
      await registry.push(`oci:${dir.join("layout")}:1`, "test/image:1");
      proxy = await newFaultProxy(registry.host);
    });
    afterAll(async () => {
      proxy?.[Symbol.dispose]();
      await registry?.[Symbol.asyncDispose]();
    });
    const debug: string[] = [];
    const read = async (): Promise<readonly string[]> =>
      await readAll(
        sourceAt(`${proxy.host}/test/image:1`, { ...registry, login: proxy.host, debug }),
      );
    const isBlob = (path: string): boolean => path.includes("/blobs/");

    run("goes on where it broke", async () => {
      let breaks = 0;
      proxy.fault = ({ path, headers }) => {
        if (!isBlob(path) || headers["authorization"] === undefined || breaks >= 6)
          return undefined;
        breaks++;
        return breaks % 2 === 0 ? { cutAfter: 700_000 } : { stallAfter: 50_000 };
      };
      expect(await read()).toEqual(wanted());
      expect(proxy.seen.some(({ headers }) => headers["range"] !== undefined)).toBe(true);
      expect(debug.join()).not.toContain(PASSWORD);
    });

    run("waits when it is told to", async () => {
      let times = 0;
      proxy.fault = () => {
        times++;
        if (times === 1) return { status: 429, headers: { "retry-after": "1" } };
        return times % 4 === 2 ? { status: 503 } : undefined;
      };
      expect(await read()).toEqual(wanted());
      expect(debug).toContainEqual(expect.stringContaining("wants us back in 1 s"));
    });

    run("refuses lengths that are not the manifest's", async () => {
      const big = facts.layers[1]?.digest ?? "";
      proxy.fault = ({ path }) =>
        path.endsWith(big) ? { claimLength: 10, cutAfter: 10 } : undefined;
      expect(await failure(read)).toMatchObject({ code: "REGISTRY_INVALID" });
    });

    run("refuses a damaged manifest", async () => {
      proxy.fault = ({ path }) => (isBlob(path) ? undefined : { corruptAt: 20 });
      expect((await failure(read)).message).toContain("does not have the digest");
    });

    run("follows to another host without credentials", async () => {
      await using open = await newRegistry();
      await open.push(`oci:${dir.join("layout")}:1`, "test/image:1");
      using elsewhere = await newFaultProxy(open.host);
      proxy.fault = ({ path }) =>
        isBlob(path)
          ? { status: 307, headers: { location: `https://${elsewhere.otherHost}${path}` } }
          : undefined;
      expect(await read()).toEqual(wanted());
      expect(elsewhere.seen.length).toBe(3);
      for (const { headers } of elsewhere.seen) expect(headers["authorization"]).toBeUndefined();
    });
  });
});
