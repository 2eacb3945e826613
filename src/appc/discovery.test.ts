// SPDX-License-Identifier: Apache-2.0

import { expect, test } from "bun:test";
import { discoveryPrefixes, matchMeta, parseMeta, renderTemplate } from "./discovery.ts";
import { parseAppString } from "./parameters.ts";

test("the walk goes from the full name to the host", () => {
  expect(discoveryPrefixes("example.com/a/b")).toEqual([
    "example.com/a/b",
    "example.com/a",
    "example.com",
  ]);
  expect(discoveryPrefixes("example.com")).toEqual(["example.com"]);
});

test("a template is filled with the name, the labels and the extension", () => {
  const { name, labels } = parseAppString("example.com/a:1.0,os=linux,arch=amd64");
  const render = (template: string) => renderTemplate(template, { name, labels, ext: "aci" });
  expect(render("https://x/{os}/{arch}/{name}-{version}.{ext}")).toBe(
    "https://x/linux/amd64/example.com/a-1.0.aci",
  );
  expect(render("https://x/{channel}.{ext}")).toBeUndefined();
  expect(render("https://x/{}")).toBeUndefined();
  expect(render("https://x/{name}{name}")).toBe("https://x/example.com/aexample.com/a");
});

test("without a version the latest is asked for, and values are plain text", () => {
  const { name, labels } = parseAppString("a,x=$&");
  const values = { name, labels, ext: "aci.asc" } as const;
  expect(renderTemplate("{version}/{x}.{ext}", values)).toBe("latest/$&.aci.asc");
  const empty = parseAppString("a:");
  expect(renderTemplate("{version}", { ...empty, ext: "aci" })).toBe("latest");
});

test("a meta tag is a prefix and a URL", () => {
  expect(parseMeta("ac-discovery", "  example.com   https://x/{name} y ")).toEqual({
    name: "ac-discovery",
    prefix: "example.com",
    url: "https://x/{name} y",
  });
  expect(parseMeta("ac-discovery", "example.com")).toBeUndefined();
  expect(parseMeta("ac-discovery", "example.com ")).toBeUndefined();
  expect(parseMeta("description", "example.com https://x")).toBeUndefined();
});

test("tags of other prefixes are left out, templates that stay incomplete too", () => {
  const { name, labels } = parseAppString("example.com/a:1");
  const metas = [
    ["ac-discovery", "example.org https://no/{name}.{ext}"],
    ["ac-discovery", "example.com/a https://1/{version}.{ext}"],
    ["ac-discovery", "example.com https://2/{os}.{ext}"],
    ["ac-discovery", "example.com https://3/{name}.{ext}"],
    ["ac-discovery-pubkeys", "example.com https://keys/{name}"],
    ["ac-other", "example.com https://4"],
  ].flatMap(([tag, content]) => parseMeta(tag!, content!) ?? []);
  expect(matchMeta(metas, name, labels)).toEqual({
    endpoints: [
      { aci: "https://1/1.aci", asc: "https://1/1.aci.asc" },
      { aci: "https://3/example.com/a.aci", asc: "https://3/example.com/a.aci.asc" },
    ],
    publicKeys: ["https://keys/{name}"],
  });
});
