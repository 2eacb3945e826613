// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import type { BasicCredentials } from "../../config/index.ts";
import { failure } from "../../store/test-images.ts";
import { FetchError } from "../errors.ts";
import { findCredentials } from "./credentials.ts";

describe("the credentials for a registry", () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "rkt-credentials-"));
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  function write(name: string, content: unknown, mode = 0o600): string {
    const path = join(home, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    chmodSync(path, mode);
    return path;
  }
  const entry = (user: string) => ({ auth: Buffer.from(`${user}:pa:ss`).toString("base64") });
  /** The user, or the token. */
  async function who(
    host: string,
    options: {
      readonly repository?: string;
      readonly dockerAuth?: readonly (readonly [string, BasicCredentials])[];
      readonly env?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<string | undefined> {
    const dockerAuth = new Map(options.dockerAuth ?? []);
    const found = await findCredentials(host, options.repository ?? "a/b", {
      config: { auth: new Map(), dockerAuth, paths: {}, stage1: {}, trustPolicies: new Map() },
      env: { HOME: home, PATH: `bin:${home}:/usr/bin:/bin`, ...options.env },
    } as Parameters<typeof findCredentials>[2]);
    return found === undefined || found.kind === "identity" ? found?.token : found.user;
  }

  test("are none where nothing knows it", async () => {
    write(".docker/config.json", { auths: { "quay.io": entry("ann") } });
    for (const host of ["example.com", "quay.io.evil.test", "io", "quay.io:443"]) {
      expect(await who(host)).toBeUndefined();
    }
  });

  test("are found by the host in any form of the key", async () => {
    for (const key of [
      "example.com:5000",
      "https://example.com:5000",
      "http://example.com:5000/v2/",
    ]) {
      write(".docker/config.json", { auths: { [key]: entry("ann") } });
      expect(await who("example.com:5000")).toBe("ann");
    }
  });

  test("are Docker Hub's by each of its names", async () => {
    for (const key of ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"]) {
      write(".docker/config.json", { auths: { [key]: entry("ann") } });
      expect(await who("registry-1.docker.io")).toBe("ann");
    }
  });

  test("come from rkt's configuration, then podman's files, then Docker's", async () => {
    const auths = (user: string) => ({ auths: { "a.test": entry(user) } });
    write(".dockercfg", { "a.test": entry("oldest") });
    expect(await who("a.test")).toBe("oldest");
    write(".docker/config.json", auths("docker"));
    expect(await who("a.test")).toBe("docker");
    write(".config/containers/auth.json", auths("podman"));
    expect(await who("a.test")).toBe("podman");
    write("run/containers/auth.json", auths("session"));
    const env = { XDG_RUNTIME_DIR: join(home, "run") };
    expect(await who("a.test", { env })).toBe("session");
    const dockerAuth = [["a.test", { user: "rkt", password: "x" }]] as const;
    expect(await who("a.test", { env, dockerAuth })).toBe("rkt");
    const named = write("named.json", { auths: { "b.test": entry("named") } });
    expect(await who("b.test", { env: { REGISTRY_AUTH_FILE: named } })).toBe("named");
    expect(await who("a.test", { env: { REGISTRY_AUTH_FILE: named } })).toBeUndefined();
  });

  test("are those of the longest part of the name", async () => {
    write(".config/containers/auth.json", {
      auths: { "a.test": entry("host"), "a.test/x": entry("x"), "a.test/x/y": entry("xy") },
    });
    expect(await who("a.test", { repository: "x/y/z" })).toBe("xy");
    expect(await who("a.test", { repository: "x/z" })).toBe("x");
    expect(await who("a.test", { repository: "xx" })).toBe("host");
  });

  test("are asked of credsStore where the file has no secret itself", async () => {
    write(
      "docker-credential-store",
      `#!/bin/sh\nread s\necho "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"$s\\"}"\n`,
      0o700,
    );
    write(".docker/config.json", {
      credsStore: "store",
      auths: { "https://index.docker.io/v1/": {}, "a.test": entry("ann") },
    });
    expect(await who("registry-1.docker.io")).toBe("https://index.docker.io/v1/");
    expect(await who("a.test")).toBe("ann");
  });

  test("are those of the file alone where the helper has no name", async () => {
    write(".docker/config.json", { credHelpers: { "a.test": "" }, credsStore: "none-such" });
    expect(await who("a.test")).toBeUndefined();
  });

  test("are none where the helper knows none", async () => {
    write(
      "docker-credential-store",
      "#!/bin/sh\necho credentials not found in native keychain\nexit 1\n",
      0o700,
    );
    write(".docker/config.json", { credsStore: "store" });
    expect(await who("a.test")).toBeUndefined();
  });

  test("are not asked of a program elsewhere, nor of one that is not there", async () => {
    write("bin/docker-credential-relative", "#!/bin/sh\necho '{}'\n", 0o700);
    for (const [helper, why] of [
      ["../../evil", "cannot read the credentials"],
      ["relative", "is not installed"],
      [".", "cannot read the credentials"],
    ] as const) {
      write(".docker/config.json", { credHelpers: { "a.test": helper } });
      const error = await failure(() => who("a.test"));
      expect(error).toMatchObject({ code: "CREDENTIALS_UNUSABLE" });
      expect(`${error.message} ${error.cause}`).toContain(why);
    }
  });

  test("of a helper that prints for ever are refused", async () => {
    write("docker-credential-store", "#!/bin/sh\nexec cat /dev/zero\n", 0o700);
    write(".docker/config.json", { credsStore: "store" });
    expect((await failure(() => who("a.test"))).message).toContain("it prints too much");
  });

  test("never make a bug out of a strange file", async () => {
    const json = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom(null, "", "x", "YTpi", 7, true),
        fc.dictionary(
          fc.constantFrom("auths", "a.test", "auth", "credHelpers", "identitytoken", "__proto__"),
          tie("value"),
        ),
        fc.array(tie("value"), { maxLength: 2 }),
      ),
    })).value;
    await fc.assert(
      fc.asyncProperty(json, async (value) => {
        write(".docker/config.json", value);
        try {
          await who("a.test");
        } catch (error) {
          expect(error).toBeInstanceOf(FetchError);
        }
      }),
    );
  });
});
