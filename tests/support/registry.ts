// SPDX-License-Identifier: Apache-2.0
// Debian's docker-registry over TLS, open, with passwords, or with tokens from a small token server; filled by
// skopeo.
import { createPrivateKey, type KeyObject, sign, X509Certificate } from "node:crypto";
import { certificates } from "./site.ts";
import { tempDir } from "./temp.ts";

export const USER = "ann";
export const PASSWORD = "hunter2-never-shown";
const SERVICE = "test-registry";

export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:PORT`, over https. */
  readonly host: string;
  /** A program that has this in its environment believes the certificate. */
  readonly env: Readonly<Record<string, string>>;
  /** `oci:DIR:REF` becomes `HOST/NAME`. */
  push(source: string, name: string): Promise<void>;
  /** Requests to the token server: whether each had credentials. */
  readonly tokenRequests: readonly { readonly url: string; readonly login: boolean }[];
}

export interface RegistryOptions {
  /** Open when left out. With `token`, everybody may pull `open/…`, and USER all. */
  readonly auth?: "htpasswd" | "token";
}

export async function newRegistry(options: RegistryOptions = {}): Promise<Registry> {
  const dir = tempDir("rkt-registry");
  const tls = certificates();
  const tokenRequests: { url: string; login: boolean }[] = [];
  const ca = dir.write("certs/ca.crt", tls.ca);
  const [cert, key] = [dir.write("cert.pem", tls.cert), dir.write("key.pem", tls.key, 0o600)];
  const tokens = options.auth === "token" ? tokenServer(tls, tokenRequests) : undefined;
  const auth: Readonly<Record<string, unknown>> = {
    htpasswd: { htpasswd: { realm: "test", path: dir.join("htpasswd") } },
    token: {
      token: {
        realm: `https://localhost:${tokens?.port}/token`,
        service: SERVICE,
        issuer: "test",
        rootcertbundle: cert,
      },
    },
  };
  if (options.auth === "htpasswd") {
    const hash = await Bun.password.hash(PASSWORD, { algorithm: "bcrypt", cost: 4 });
    dir.write("htpasswd", `${USER}:${hash}\n`);
  }
  const file = dir.write(
    "config.yml",
    // JSON is YAML.
    JSON.stringify({
      version: 0.1,
      storage: { filesystem: { rootdirectory: dir.join("data") } },
      http: { addr: "127.0.0.1:0", tls: { certificate: cert, key } },
      ...(options.auth === undefined ? {} : { auth: auth[options.auth] }),
    }),
  );
  const server = Bun.spawn(["docker-registry", "serve", file], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: { PATH: process.env["PATH"] ?? "", OTEL_TRACES_EXPORTER: "none" },
  });
  const port = await portOf(server.stderr);
  const host = `127.0.0.1:${port}`;
  return {
    host,
    env: { SSL_CERT_FILE: ca },
    tokenRequests,
    async push(source, name) {
      const login = options.auth === undefined ? [] : [`--dest-creds=${USER}:${PASSWORD}`];
      const command = ["skopeo", "--insecure-policy", "copy", "-q", ...login];
      const where = [`--dest-cert-dir=${dir.join("certs")}`, source, `docker://${host}/${name}`];
      const skopeo = Bun.spawn([...command, ...where], {
        env: { ...process.env, SSL_CERT_FILE: ca },
        stderr: "pipe",
      });
      // The token server is in this process: waiting must not stop it.
      const said = await skopeo.stderr.text();
      if ((await skopeo.exited) !== 0) throw new Error(`skopeo: ${said}`);
    },
    async [Symbol.asyncDispose]() {
      server.kill();
      await server.exited;
      tokens?.stop(true);
      dir[Symbol.dispose]();
    },
  };
}

/** From the line that says where it listens; what comes after is read and dropped. */
async function portOf(stream: ReadableStream<Uint8Array>): Promise<number> {
  const found = Promise.withResolvers<number>();
  void (async () => {
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      if (text.length < 1e6) text += decoder.decode(chunk, { stream: true });
      const port = /listening on 127\.0\.0\.1:(\d+)/.exec(text)?.[1];
      if (port !== undefined) found.resolve(Number(port));
    }
    found.reject(new Error(`docker-registry ended: ${text}`));
  })();
  return await found.promise;
}

/** Gives tokens as Docker's specification says: signed by the key of a certificate that the registry knows. */
function tokenServer(
  tls: ReturnType<typeof certificates>,
  requests: { url: string; login: boolean }[],
) {
  const key = createPrivateKey(tls.key);
  const basic = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString("base64")}`;
  return Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert: tls.cert, key: tls.key },
    fetch(request) {
      const authorization = request.headers.get("authorization");
      requests.push({ url: request.url, login: authorization !== null });
      if (authorization !== null && authorization !== basic) {
        return new Response("{}", { status: 401 });
      }
      const scopes = new URL(request.url).searchParams.getAll("scope");
      const access = scopes.flatMap((scope) => {
        const [type, name, actions = ""] = scope.split(":");
        const may = authorization === basic || name?.startsWith("open/") === true;
        return may ? [{ type, name, actions: actions.split(",") }] : [];
      });
      return Response.json({ token: jwt(access, tls.cert, key), expires_in: 300 });
    },
  });
}

function jwt(access: readonly object[], cert: string, key: KeyObject): string {
  const encode = (value: object): string =>
    Buffer.from(JSON.stringify(value)).toString("base64url");
  const x5c = [new X509Certificate(cert).raw.toString("base64")];
  const now = Math.floor(Date.now() / 1000);
  const text = `${encode({ typ: "JWT", alg: "ES256", x5c })}.${encode({
    iss: "test",
    sub: USER,
    aud: SERVICE,
    exp: now + 300,
    nbf: now - 10,
    iat: now,
    jti: String(Math.random()),
    access,
  })}`;
  const signature = sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
}
