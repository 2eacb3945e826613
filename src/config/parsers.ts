// SPDX-License-Identifier: Apache-2.0
// The kinds of configuration files and their rules (rkt-cli.md §7). A parser adds what one file says to
// what the other files of the same directory said; saying something twice is an error.
import { quote } from "../lib/text.ts";
import { FieldError, type Fields, fieldsOf, text, textList } from "./fields.ts";
import { parseTrustPolicy } from "./trust-policy.ts";
import type { Auth, BasicCredentials, TrustPolicy } from "./types.ts";

/** What the files of one directory define. */
export interface Definitions {
  readonly auth: Map<string, Auth>;
  readonly dockerAuth: Map<string, BasicCredentials>;
  readonly paths: { data?: string; stage1Images?: string };
  readonly stage1: { name?: string; version?: string; location?: string };
  /** By prefix. */
  readonly trustPolicies: Map<string, TrustPolicy>;
}

export type Parser = (file: Fields, into: Definitions) => void;

/** The parser for a kind and version; undefined when there is none. */
export function findParser(kind: string, version: string): Parser | undefined {
  return version === "v1" ? PARSERS_V1.get(kind) : undefined;
}

const PARSERS_V1: ReadonlyMap<string, Parser> = new Map([
  ["auth", parseAuth],
  ["dockerAuth", parseDockerAuth],
  ["paths", parsePaths],
  ["stage1", parseStage1],
  ["trustPolicy", addTrustPolicy],
]);

function parseAuth(file: Fields, { auth }: Definitions): void {
  const domains = textList(file, "domains");
  if (domains.length === 0 || domains.includes("")) throw new FieldError("no domains specified");
  const type = text(file, "type");
  const method = parseMethod(type, fieldsOf(file["credentials"], "credentials"));
  for (const domain of domains) {
    const key = domain.toLowerCase();
    if (auth.has(key))
      throw new FieldError(`auth for domain ${quote(domain)} is already specified`);
    auth.set(key, method);
  }
}

function parseMethod(type: string, credentials: Fields): Auth {
  switch (type) {
    case "":
      throw new FieldError("no auth type specified");
    case "basic":
      return { kind: "basic", ...parseBasic(credentials) };
    case "oauth": {
      const token = text(credentials, "token");
      if (token === "") throw new FieldError("no oauth bearer token specified");
      return { kind: "oauth", token };
    }
    case "aws": {
      const accessKeyID = text(credentials, "accessKeyID");
      const secretAccessKey = text(credentials, "secretAccessKey");
      if (accessKeyID === "") throw new FieldError("no AWS access key ID specified");
      if (secretAccessKey === "") throw new FieldError("no AWS secret access key specified");
      const region = text(credentials, "awsRegion");
      return {
        kind: "aws",
        accessKeyID,
        secretAccessKey,
        region: region === "" ? undefined : region,
      };
    }
    default:
      throw new FieldError(`unknown auth type: ${quote(type)}`);
  }
}

function parseBasic(credentials: Fields): BasicCredentials {
  const user = text(credentials, "user");
  const password = text(credentials, "password");
  if (user === "") throw new FieldError("user not specified");
  if (password === "") throw new FieldError("password not specified");
  return { user, password };
}

function parseDockerAuth(file: Fields, { dockerAuth }: Definitions): void {
  const registries = textList(file, "registries");
  if (registries.length === 0) throw new FieldError("no registries specified");
  const credentials = parseBasic(fieldsOf(file["credentials"], "credentials"));
  for (const registry of registries) {
    if (dockerAuth.has(registry)) {
      throw new FieldError(
        `credentials for docker registry ${quote(registry)} are already specified`,
      );
    }
    dockerAuth.set(registry, credentials);
  }
}

function addTrustPolicy(file: Fields, { trustPolicies }: Definitions): void {
  for (const policy of parseTrustPolicy(file)) {
    if (trustPolicies.has(policy.prefix)) {
      throw new FieldError(
        `a trust policy for prefix ${quote(policy.prefix)} is already specified`,
      );
    }
    trustPolicies.set(policy.prefix, policy);
  }
}

function parsePaths(file: Fields, { paths }: Definitions): void {
  const data = text(file, "data");
  if (data !== "") {
    if (paths.data !== undefined) throw new FieldError("data directory is already specified");
    if (!data.startsWith("/")) throw new FieldError("data directory must be an absolute path");
    paths.data = data;
  }
  const images = text(file, "stage1-images");
  if (images !== "") {
    if (paths.stage1Images !== undefined) {
      throw new FieldError("stage1 images directory is already specified");
    }
    if (!images.startsWith("/")) {
      throw new FieldError("stage1 images directory must be an absolute path");
    }
    paths.stage1Images = images;
  }
}

function parseStage1(file: Fields, { stage1 }: Definitions): void {
  const name = text(file, "name");
  const version = text(file, "version");
  const location = text(file, "location");
  if (name === "" && version !== "") {
    throw new FieldError("default stage1 image version specified, but name is missing");
  }
  if (name !== "" && version === "") {
    throw new FieldError("default stage1 image name specified, but version is missing");
  }
  if (name !== "") {
    if (stage1.name !== undefined) {
      throw new FieldError("name and version of a default stage1 image are already specified");
    }
    stage1.name = name;
    stage1.version = version;
  }
  if (location !== "") {
    if (stage1.location !== undefined) {
      throw new FieldError("location of a default stage1 image is already specified");
    }
    checkLocation(location);
    stage1.location = location;
  }
}

const SCHEMES = ["docker", "file", "http", "https"];

function checkLocation(location: string): void {
  if (location.startsWith("/")) return;
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(location)?.[1]?.toLowerCase();
  const what = `default stage1 image location ${quote(location)}`;
  if (scheme === undefined) {
    throw new FieldError(`${what} is either a relative path or a URL without scheme`);
  }
  if (!SCHEMES.includes(scheme)) {
    const allowed = SCHEMES.map((s) => `"${s}"`).join(", ");
    throw new FieldError(
      `${what} has invalid scheme ${quote(scheme)}, allowed schemes are ${allowed}`,
    );
  }
}
