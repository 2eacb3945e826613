// SPDX-License-Identifier: Apache-2.0
// Text that came from outside, made safe to print.

/** Removes control characters (a terminal escape in a name must not reach the terminal). */
export function stripControl(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "");
}

/** An outside string for an error sentence: stripped, shortened, in double quotes. */
export function quote(text: string): string {
  const clean = stripControl(text);
  const short = clean.length > 300 ? `${clean.slice(0, 297)}...` : clean;
  return `"${short.replaceAll('"', '\\"')}"`;
}

/**
 * A URL without user, password and query values that may be secrets. A forward scan, not a regular
 * expression: the text is hostile. The last `@` of the authority counts (a password may contain one).
 */
export function redactUrl(url: string): string {
  const scheme = url.indexOf("://");
  if (scheme < 0) return stripControl(url);
  const start = scheme + 3;
  let end = url.length;
  for (let i = start; i < url.length; i++) {
    const c = url[i];
    if (c === "/" || c === "?" || c === "#") {
      end = i;
      break;
    }
  }
  const at = url.lastIndexOf("@", end - 1);
  return stripControl(at >= start ? url.slice(0, start) + url.slice(at + 1) : url);
}
