// SPDX-License-Identifier: Apache-2.0
// A bearer token from the server that a registry names: for one repository, to pull, nothing else. Whatever
// scope the registry asks for, ours is the smaller one.
import { quote, redactUrl } from "../../lib/text.ts";
import { FetchError } from "../errors.ts";
import type { HttpAnswer, HttpClient } from "../http.ts";
import { readSmallBody } from "../read-small.ts";
import type { Challenge } from "./challenge.ts";
import type { Credentials } from "./credentials.ts";

export interface Token {
  readonly value: string;
  /** On the clock of `performance.now()`. */
  readonly expires: number;
}

/** What the specification of Docker's tokens says of one without `expires_in`. */
const DEFAULT_LIFE = 60;
const MAX_BODY = 256 * 1024;

export interface TokenRequest {
  readonly client: HttpClient;
  /** The registry itself is asked over http. */
  readonly allowHttp: boolean;
  readonly repository: string;
  readonly credentials: Credentials | undefined;
  /** The sentence for an answer that is not 200. */
  readonly refusal: (answer: HttpAnswer) => Promise<FetchError>;
}

export async function fetchToken(challenge: Challenge, request: TokenRequest): Promise<Token> {
  const { client, credentials } = request;
  const realm = parseRealm(challenge.params.get("realm"), request.allowHttp);
  const secure = realm.protocol === "https:";
  const service = challenge.params.get("service");
  const scope = `repository:${request.repository}:pull`;
  if (credentials?.kind === "identity" && secure) {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: credentials.token,
      client_id: "rkt",
      scope,
      ...(service === undefined ? {} : { service }),
    });
    await using answer = await client.request(realm.href, { form });
    return await readToken(answer, request);
  }
  realm.searchParams.append("scope", scope);
  if (service !== undefined) realm.searchParams.append("service", service);
  const basic = credentials?.kind === "basic" && secure ? basicHeader(credentials) : {};
  await using answer = await client.request(realm.href, { auth: () => basic });
  return await readToken(answer, request);
}

export function basicHeader(login: {
  readonly user: string;
  readonly password: string;
}): Readonly<Record<string, string>> {
  const pair = Buffer.from(`${login.user}:${login.password}`).toString("base64");
  return { Authorization: `Basic ${pair}` };
}

function parseRealm(text: string | undefined, allowHttp: boolean): URL {
  const url = text === undefined || text.length > 4096 ? null : URL.parse(text);
  const isHttp = url?.protocol === "http:";
  if (url === null || (url.protocol !== "https:" && !isHttp)) {
    throw invalid("the registry names no token server");
  }
  if (isHttp && !allowHttp) {
    throw new FetchError(
      "REGISTRY_INVALID",
      `cannot log in: the registry's token server ${quote(redactUrl(url.href))} is not encrypted`,
      { remedy: "--insecure-options=http if you accept that" },
    );
  }
  url.username = "";
  url.password = "";
  return url;
}

async function readToken(answer: HttpAnswer, { refusal }: TokenRequest): Promise<Token> {
  if (answer.status !== 200) throw await refusal(answer);
  const body = await readSmallBody(answer, MAX_BODY);
  let fields: Readonly<Record<string, unknown>> | null;
  try {
    fields = JSON.parse(Buffer.from(body).toString("utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw invalid("the token server's answer is not JSON");
  }
  const value = fields?.["token"] || fields?.["access_token"];
  // It goes into a header.
  if (typeof value !== "string" || !/^[\x21-\x7e]{1,65536}$/.test(value)) {
    throw invalid("the token server gave no token");
  }
  const life = fields?.["expires_in"];
  const seconds = typeof life === "number" && life > 0 && life < 1e9 ? life : DEFAULT_LIFE;
  // A tenth is kept back for the way.
  return { value, expires: performance.now() + seconds * 900 };
}

function invalid(why: string): FetchError {
  return new FetchError("REGISTRY_INVALID", `cannot log in: ${why}`);
}
