// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { proxyFor } from "./proxy.ts";

const PROXY = "http://proxy.test:3128";

function isProxied(url: string, noProxy: string): boolean {
  const env = { HTTP_PROXY: PROXY, https_proxy: PROXY, NO_PROXY: noProxy };
  return proxyFor(new URL(url), env) !== undefined;
}

describe("the proxy", () => {
  test("is chosen by the scheme of the URL, upper case first", () => {
    const env = { HTTPS_PROXY: "http://a:1", https_proxy: "http://b:1", http_proxy: "c:1" };
    expect(proxyFor(new URL("https://example.com/"), env)).toBe("http://a:1/");
    expect(proxyFor(new URL("http://example.com/"), env)).toBe("http://c:1/");
    expect(proxyFor(new URL("http://example.com/"), {})).toBeUndefined();
  });

  test("is never used for this machine", () => {
    for (const url of ["http://localhost/", "http://127.0.0.1:8/", "https://[::1]/"]) {
      expect(isProxied(url, "")).toBe(false);
    }
  });

  test.each([
    ["https://example.com/", "*", false],
    ["https://example.com/", "example.com", false],
    ["https://a.example.com/", "example.com", false],
    ["https://a.example.com/", ".example.com", false],
    ["https://example.com/", ".example.com", true],
    ["https://a.example.com/", "*.example.com", false],
    ["https://badexample.com/", "example.com", true],
    ["https://example.com/", "example.com:8443", true],
    ["https://example.com:8443/", "example.com:8443", false],
    ["https://example.com/", "other.test, EXAMPLE.com", false],
    ["http://10.1.2.3/", "10.0.0.0/8", false],
    ["http://11.1.2.3/", "10.0.0.0/8", true],
    ["http://[fd00::1]/", "fd00::/8", false],
    ["http://10.1.2.3/", "10.1.2.3", false],
    ["http://10.1.2.3/", "10.0.0.0/99", true],
  ])("for %s with NO_PROXY=%s is used: %p", (url, noProxy, used) => {
    expect(isProxied(url, noProxy)).toBe(used);
  });

  test("is refused when it is of another kind, without its password in the sentence", () => {
    const url = new URL("https://example.com/");
    const use = () => proxyFor(url, { HTTPS_PROXY: "socks5://user:secret@proxy.test" });
    expect(use).toThrow(
      'cannot use proxy "socks5://proxy.test": only http and https proxies are supported',
    );
  });
});
