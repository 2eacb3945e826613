// SPDX-License-Identifier: Apache-2.0
// Reads discovery tags out of whatever HTML a web server has: tolerant of the page, strict about where a
// tag counts. Only tags of the document's head do: a page's body may hold what its visitors wrote.
import { type DiscoveryMeta, parseMeta } from "../appc/index.ts";

/** Elements that do not end the head (HTML Living Standard, "in head"). */
const HEAD = new Set(
  "html head meta title link base style script noscript template bgsound basefont".split(" "),
);
const MAX_TAGS = 1000;
const MAX_CONTENT = 8192;

export function readMetaTags(html: string): DiscoveryMeta[] {
  const tags: DiscoveryMeta[] = [];
  let inHead = true;
  const rewriter = new HTMLRewriter().on("*", {
    element(element) {
      if (!inHead) return;
      if (!HEAD.has(element.tagName)) {
        inHead = false;
        return;
      }
      if (element.tagName === "head") {
        element.onEndTag(() => {
          inHead = false;
        });
        return;
      }
      if (element.tagName !== "meta" || tags.length >= MAX_TAGS) return;
      const tag = readTag(element.getAttribute("name"), element.getAttribute("content"));
      if (tag !== undefined) tags.push(tag);
    },
  });
  rewriter.transform(html);
  return tags;
}

function readTag(name: string | null, content: string | null): DiscoveryMeta | undefined {
  if (name === null || content === null || content.length > MAX_CONTENT) return undefined;
  return parseMeta(unescapeHtml(name), unescapeHtml(content));
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
};

/** The character references that can stand in a name or a URL. */
function unescapeHtml(text: string): string {
  return text.replace(
    /&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-z]{2,4}));/g,
    (all, d, x, n) => {
      if (n !== undefined) return Object.hasOwn(ENTITIES, n) ? (ENTITIES[n] ?? all) : all;
      const code = d !== undefined ? Number(d) : Number.parseInt(x, 16);
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : all;
    },
  );
}
