// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { guessAwsRegion, signAwsRequest } from "./aws-signature.ts";

// The examples of "Authenticating Requests: Using the Authorization Header" in the S3 documentation.
const credentials = {
  accessKeyID: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
const date = new Date("2013-05-24T00:00:00Z");
const bucket = "https://examplebucket.s3.amazonaws.com";
const scope = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";

function sign(path: string, headers: Record<string, string> = {}) {
  const url = new URL(bucket + path);
  return signAwsRequest({ method: "GET", url, region: "us-east-1", date, headers }, credentials);
}

test("signAwsRequest gives the published signature of an object request with a range", () => {
  expect(sign("/test.txt", { Range: "bytes=0-9" })).toEqual({
    "X-Amz-Content-Sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "X-Amz-Date": "20130524T000000Z",
    Authorization:
      `AWS4-HMAC-SHA256 Credential=${scope},` +
      "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date," +
      "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  });
});

test("signAwsRequest gives the published signatures of requests with a query", () => {
  expect(sign("/?lifecycle")["Authorization"]).toEndWith(
    "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  );
  expect(sign("/?max-keys=2&prefix=J")["Authorization"]).toEndWith(
    "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  );
});

test("signAwsRequest signs the same whichever way a path or query is escaped", () => {
  expect(sign("/a b/%7Ec")).toEqual(sign("/a%20b/~c"));
  expect(sign("/?b=2&a=1%2f+x")).toEqual(sign("/?a=1%2F%20x&b=2"));
  expect(sign("/a+b")).not.toEqual(sign("/a%20b"));
});

test.each([
  ["example.com", "us-east-1"],
  ["s3.amazonaws.com", "us-east-1"],
  ["bucket.s3.amazonaws.com:443", "us-east-1"],
  ["s3-external-1.amazonaws.com", "us-east-1"],
  ["s3-eu-west-1.amazonaws.com", "eu-west-1"],
  ["my.bucket.s3-ap-southeast-2.amazonaws.com", "ap-southeast-2"],
  ["s3.eu-central-1.amazonaws.com", "eu-central-1"],
  ["bucket.s3.cn-north-1.amazonaws.com.cn", "cn-north-1"],
  ["ec2.eu-west-1.amazonaws.com", "us-east-1"],
])("guessAwsRegion finds the region of %s", (host, region) => {
  expect(guessAwsRegion(host)).toBe(region);
});
