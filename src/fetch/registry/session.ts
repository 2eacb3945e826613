// SPDX-License-Identifier: Apache-2.0
// One repository at one endpoint: requests below /v2/NAME/, with the login that the registry asks for. Nothing
// is asked beforehand: the first request goes without credentials, and what the 401 says is done once.
import { quote } from "../../lib/text.ts";
import type { NetworkContext } from "../context.ts";
import { HUB_NAMES } from "../docker-reference.ts";
import { FetchError } from "../errors.ts";
import { type HttpAnswer, type HttpClient, openHttp } from "../http.ts";
import { networkOf } from "../network.ts";
import { hostCertificates } from "./certificates.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import { type Credentials, findCredentials } from "./credentials.ts";
import { refusalOf } from "./refusal.ts";
import type { Endpoint } from "./registries-conf.ts";
import { basicHeader, fetchToken, type Token } from "./token.ts";

export interface RegistrySession {
  readonly endpoint: Endpoint;
  /** Any answer but a 401 that a login could change. `path` goes behind `/v2/NAME/`. */
  get(path: string, headers: Readonly<Record<string, string>>): Promise<HttpAnswer>;
  /** The sentence for an answer that is no success; `name` is the image as people know it. */
  refusal(answer: HttpAnswer, name: string): Promise<FetchError>;
}

type Login =
  | { readonly kind: "none" }
  | { readonly kind: "basic"; readonly header: Readonly<Record<string, string>> }
  | { readonly kind: "bearer"; readonly challenge: Challenge; readonly token: Token };

export function openSession(
  endpoint: Endpoint,
  context: NetworkContext,
  image: string,
): RegistrySession {
  const { host, repository } = endpoint;
  const client = openClient(endpoint, context);
  let warned = !endpoint.insecure || context.insecure.tls;
  const mayUseHttp = endpoint.insecure || context.insecure.http;
  let scheme: "https" | "http" | undefined = mayUseHttp ? undefined : "https";
  let login: Promise<Login> = Promise.resolve({ kind: "none" });
  let credentials: Promise<Credentials | undefined> | undefined;
  let identity: "anonymous" | "login" | "withheld" = "anonymous";

  const urlOf = (path: string, over: string): string =>
    `${over}://${host}/v2/${repository}/${path}`;

  async function send(path: string, headers: Readonly<Record<string, string>>, now: Login) {
    if (!warned) {
      warned = true;
      context.report.line(
        "image",
        `warning: the certificate of the registry ${quote(host)} is not checked: registries.conf says so`,
      );
    }
    const auth = now.kind === "none" ? {} : now.kind === "basic" ? now.header : bearer(now.token);
    const request = { headers, auth: () => auth, allowDowngrade: context.insecure.http };
    if (scheme !== undefined) {
      try {
        return await client.request(urlOf(path, scheme), request);
      } catch (error) {
        throw withoutTls(error) ? plainServer(host, error) : error;
      }
    }
    try {
      const answer = await client.request(urlOf(path, "https"), request);
      scheme = "https";
      return answer;
    } catch (error) {
      if (!(error instanceof FetchError) || error.code !== "CONNECTION_FAILED") throw error;
      const answer = await client.request(urlOf(path, "http"), request).catch(() => {
        // Nothing is there over http either: what went wrong with https is the better sentence.
        throw error;
      });
      scheme = "http";
      context.report.line("image", `warning: the registry ${quote(host)} is asked over http`);
      return answer;
    }
  }

  async function logIn(challenges: readonly Challenge[]): Promise<Login> {
    credentials ??= findCredentials(host, repository, context);
    const known = await credentials;
    const secure = scheme === "https";
    const basic = challenges.find((each) => each.scheme === "basic");
    const token = challenges.find((each) => each.scheme === "bearer");
    if (known !== undefined) identity = secure ? "login" : "withheld";
    if (token !== undefined) {
      return {
        kind: "bearer",
        challenge: token,
        token: await fetchToken(token, {
          client,
          allowHttp: !secure || context.insecure.http,
          repository,
          credentials: secure ? known : undefined,
          refusal: (answer) => session.refusal(answer, image),
        }),
      };
    }
    if (basic !== undefined && known?.kind === "basic" && secure) {
      return { kind: "basic", header: basicHeader(known) };
    }
    return { kind: "none" };
  }

  /** What to send now: a token that is about to end is replaced, once for all that wait for it. */
  async function current(): Promise<Login> {
    const now = await login;
    if (now.kind !== "bearer" || performance.now() < now.token.expires) return now;
    return await replace(now, [now.challenge]);
  }

  async function replace(old: Login, challenges: readonly Challenge[]): Promise<Login> {
    const seen = login;
    const now = await seen;
    // Somebody else has logged in meanwhile.
    if (now !== old || seen !== login) return await login;
    const next = logIn(challenges);
    login = next.catch(() => old);
    return await next;
  }

  const session: RegistrySession = {
    endpoint,
    async get(path, headers) {
      const before = await current();
      const answer = await send(path, headers, before);
      if (answer.status !== 401) return answer;
      const challenges = parseChallenges(answer.headers.get("www-authenticate"));
      // The redirect's target wants something: it is not the one that our credentials are for.
      if (new URL(answer.url).host !== new URL(urlOf("", scheme ?? "https")).host) return answer;
      const after = await replace(before, challenges);
      if (after.kind === "none") return answer;
      await answer[Symbol.asyncDispose]();
      return await send(path, headers, after);
    },
    refusal: async (answer, name) =>
      await refusalOf(answer, { name, host, hub: HUB_NAMES.includes(host), identity }),
  };
  return session;
}

/** The server does not speak TLS at all, or not with us. */
function withoutTls(error: unknown): boolean {
  return error instanceof FetchError && error.details?.["code"] === "EPROTO";
}

function plainServer(host: string, cause: unknown): FetchError {
  return new FetchError(
    "TLS_FAILED",
    `cannot ask the registry ${quote(host)}: it does not speak https here, or wants a certificate of its clients`,
    {
      cause,
      remedy:
        "--insecure-options=http if you accept a connection without encryption; a client's certificate goes into certs.d",
    },
  );
}

function bearer(token: Token): Readonly<Record<string, string>> {
  return { Authorization: `Bearer ${token.value}` };
}

function openClient(endpoint: Endpoint, context: NetworkContext): HttpClient {
  // For its warning, said once.
  if (context.insecure.tls) networkOf(context);
  const env = context.env ?? process.env;
  return openHttp({
    version: context.version,
    insecureTls: context.insecure.tls || endpoint.insecure,
    certificatesOf: hostCertificates(env),
    env,
    ...(context.timeouts === undefined ? {} : { timeouts: context.timeouts }),
  });
}
