// SPDX-License-Identifier: Apache-2.0
// A registry's answer that is no success, as a sentence with what can be done about it.
import { quote, stripControl } from "../../lib/text.ts";
import { FetchError } from "../errors.ts";
import type { HttpAnswer } from "../http.ts";
import { readSmallBody } from "../read-small.ts";
import { BusyError, parseRetryAfter } from "./retry.ts";

export interface Refused {
  /** As the sentence names it: `docker://quay.io/a/b:1`. */
  readonly name: string;
  readonly host: string;
  readonly hub: boolean;
  /** What we said of ourselves. */
  readonly identity: "anonymous" | "login" | "withheld";
}

const MAX_BODY = 64 * 1024;
const LOGIN =
  "give the registry's credentials in auth.d (kind dockerAuth), or log in with docker login or podman login";

export async function refusalOf(answer: HttpAnswer, refused: Refused): Promise<FetchError> {
  const { status, headers } = answer;
  const said = await readReason(answer);
  const what = `cannot fetch ${quote(refused.name)}`;
  const details = { status, registry: refused.host, code: said.code };
  if (status === 401 || status === 403) {
    return new FetchError("REGISTRY_DENIED", `${what}: ${denial(status, refused)}${said.suffix}`, {
      details,
      remedy: denialRemedy(refused),
    });
  }
  if (status === 404) {
    return new FetchError(
      "REGISTRY_NOT_FOUND",
      said.code === "NAME_UNKNOWN"
        ? `${what}: the registry ${quote(refused.host)} has no such repository`
        : `${what}: the registry ${quote(refused.host)} has no such image`,
      { details, remedy: "check the image's name, and its tag or digest" },
    );
  }
  if (status === 429) return tooMany(what, headers, { ...refused, ...said, details });
  if (status === 408 || status >= 500) {
    return new BusyError(
      `${what}: the registry ${quote(refused.host)} has a problem of its own (HTTP status ${status})${said.suffix}`,
      { limited: false, retryAfter: retryAfter(headers), remedy: "try again later", details },
    );
  }
  return new FetchError(
    "HTTP_STATUS",
    `${what}: the registry ${quote(refused.host)} answers with HTTP status ${status}${said.suffix}`,
    { details },
  );
}

function denial(status: number, { host, identity }: Refused): string {
  const registry = `the registry ${quote(host)}`;
  if (identity === "withheld") {
    return `${registry} wants a login, and credentials are not sent over http`;
  }
  if (identity === "anonymous") {
    return `${registry} gives it to nobody without a login, or does not have it`;
  }
  return status === 401
    ? `${registry} does not accept the credentials that are configured for it`
    : `${registry} does not let the user that is configured for it have this image`;
}

function denialRemedy({ identity }: Refused): string {
  if (identity === "withheld") return "give the registry a certificate";
  if (identity === "anonymous") return `check the image's name; ${LOGIN}`;
  return `check the image's name and the credentials; ${LOGIN}`;
}

function tooMany(
  what: string,
  headers: Headers,
  facts: Refused & Reason & { readonly details: Readonly<Record<string, unknown>> },
): FetchError {
  const wait = retryAfter(headers);
  const left = /^0(?:;|$)/.test(headers.get("ratelimit-remaining") ?? "");
  const until = wait === undefined ? "" : `, and wants us back in ${Math.ceil(wait / 1000)} s`;
  if (!facts.hub) {
    return new BusyError(
      `${what}: the registry ${quote(facts.host)} says that there are too many requests${until}${facts.suffix}`,
      { limited: true, retryAfter: wait, remedy: "try again later", details: facts.details },
    );
  }
  const who = facts.identity === "login" ? "this account" : "this address without a login";
  const limit = limitText(headers.get("ratelimit-limit"));
  return new BusyError(
    `${what}: Docker Hub's limit of pulls for ${who} is reached${limit}${until}`,
    {
      limited: true,
      // A used-up allowance of hours is not waited for.
      retryAfter: left && wait === undefined ? Number.POSITIVE_INFINITY : wait,
      remedy:
        facts.identity === "login"
          ? "wait, or use a mirror (registries.conf)"
          : `wait, use a mirror (registries.conf), or log in for a higher limit: ${LOGIN}`,
      details: facts.details,
    },
  );
}

/** `100;w=21600`: pulls, and seconds that they are counted for. */
function limitText(header: string | null): string {
  const match = /^([0-9]{1,9})(?:;w=([0-9]{1,9}))?$/.exec(header?.trim() ?? "");
  if (match === null) return "";
  const hours = match[2] === undefined ? "" : ` in ${Number(match[2]) / 3600} h`;
  return ` (${match[1]}${hours})`;
}

function retryAfter(headers: Headers): number | undefined {
  return parseRetryAfter(headers.get("retry-after"), Date.now());
}

interface Reason {
  readonly code: string;
  /** Empty, or what the registry says, in brackets. */
  readonly suffix: string;
}

/** The first of `{"errors": [{"code", "message"}]}`. */
async function readReason(answer: HttpAnswer): Promise<Reason> {
  let body: unknown;
  try {
    body = JSON.parse(Buffer.from(await readSmallBody(answer, MAX_BODY)).toString("utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof FetchError)) throw error;
    return { code: "", suffix: "" };
  }
  const errors = (body as { errors?: unknown } | null)?.errors;
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
  const { code, message } = (first ?? {}) as { code?: unknown; message?: unknown };
  const word = typeof code === "string" && /^[A-Z_]{1,64}$/.test(code) ? code : "";
  const said = typeof message === "string" ? stripControl(message).slice(0, 200).trim() : "";
  return { code: word, suffix: said === "" ? "" : ` (it says: ${said})` };
}
