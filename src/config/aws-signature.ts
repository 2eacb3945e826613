// SPDX-License-Identifier: Apache-2.0
// AWS Signature Version 4 for requests to S3 without a body
// (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
export interface AwsCredentials {
  readonly accessKeyID: string;
  readonly secretAccessKey: string;
}

export interface AwsRequest {
  readonly method: string;
  readonly url: URL;
  readonly region: string;
  readonly date: Date;
  /** Further headers to sign; those that are added here must not be among them. */
  readonly headers?: Readonly<Record<string, string>>;
}

const EMPTY_BODY = new Bun.CryptoHasher("sha256").digest("hex");

/** The headers to add to the request: Authorization, X-Amz-Date and X-Amz-Content-Sha256. */
export function signAwsRequest(
  request: AwsRequest,
  credentials: AwsCredentials,
): Record<string, string> {
  const { method, url, region, date } = request;
  const time = date.toISOString().replace(/[-:]|\.\d+/g, "");
  const day = time.slice(0, 8);
  const added = { "X-Amz-Content-Sha256": EMPTY_BODY, "X-Amz-Date": time };
  const headers = Object.entries({ ...request.headers, Host: url.host, ...added })
    .map(([name, value]) => [name.toLowerCase(), value.trim().replace(/ +/g, " ")] as const)
    .sort(byName);
  const signedHeaders = headers.map(([name]) => name).join(";");
  const canonical = [
    method,
    encode(decode(url.pathname), true),
    canonicalQuery(url.search),
    ...headers.map(([name, value]) => `${name}:${value}`),
    "",
    signedHeaders,
    EMPTY_BODY,
  ].join("\n");
  const scope = `${day}/${region}/s3/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", time, scope, sha256(canonical)].join("\n");
  const key = [day, region, "s3", "aws4_request"].reduce(
    (secret: Buffer, part) => hmac(secret, part),
    Buffer.from(`AWS4${credentials.secretAccessKey}`),
  );
  const signature = hmac(key, toSign).toString("hex");
  return {
    ...added,
    Authorization:
      `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyID}/${scope},` +
      `SignedHeaders=${signedHeaders},Signature=${signature}`,
  };
}

/** The region that an S3 host name implies (rkt-cli.md §7); us-east-1 when it implies none. */
export function guessAwsRegion(host: string): string {
  const name = host.toLowerCase().replace(/:\d+$/, "");
  if (/(?:^|\.)s3-external-1\.amazonaws\.com$/.test(name)) return "us-east-1";
  const dashed = /(?:^|\.)s3-([a-z0-9-]+)\.amazonaws\.com$/.exec(name);
  const dotted = /(?:^|\.)s3\.([a-z0-9-]+)\.amazonaws\.com(?:\.[a-z]+)?$/.exec(name);
  return dashed?.[1] ?? dotted?.[1] ?? "us-east-1";
}

function canonicalQuery(search: string): string {
  if (search.length < 2) return "";
  return search
    .slice(1)
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const at = pair.indexOf("=");
      const name = at < 0 ? pair : pair.slice(0, at);
      const value = at < 0 ? "" : pair.slice(at + 1);
      // Servers read + as a space in a query.
      const form = (text: string) => encode(decode(text.replaceAll("+", " ")), false);
      return [form(name), form(value)] as const;
    })
    .sort((a, b) => byName(a, b) || (a[1] < b[1] ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

function byName(a: readonly [string, string], b: readonly [string, string]): number {
  if (a[0] === b[0]) return 0;
  return a[0] < b[0] ? -1 : 1;
}

/** Percent-decoding to bytes; a stray % stands for itself. */
function decode(text: string): Buffer {
  const latin = Buffer.from(text, "utf8").toString("latin1");
  return Buffer.from(
    latin.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    ),
    "latin1",
  );
}

/** S3 wants everything but the unreserved characters encoded, once, with upper-case digits. */
function encode(bytes: Buffer, keepSlash: boolean): string {
  let out = "";
  for (const byte of bytes) {
    const c = String.fromCharCode(byte);
    const plain = /[A-Za-z0-9\-._~]/.test(c) || (keepSlash && c === "/");
    out += plain ? c : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

function sha256(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}

function hmac(key: Buffer, text: string): Buffer {
  return new Bun.CryptoHasher("sha256", key).update(text).digest();
}
