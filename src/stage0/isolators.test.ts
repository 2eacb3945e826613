// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import type { App, Isolator, PodManifest } from "../appc/index.ts";
import { type IsolatedPod, planIsolation, reportUnenforced } from "./isolators.ts";
import { hasPlainIsolators } from "./plain-isolators.ts";

type Plain = readonly { readonly name: string; readonly value: unknown }[];

function pod(isolators: Plain, ...apps: readonly Plain[]): IsolatedPod {
  return {
    uuid: "6733c088-a507-4694-aabf-fbbb5cab7a34",
    manifest: { isolators: isolators as readonly Isolator[] } as PodManifest,
    apps: apps.map((list, i) => ({ name: `app${i}`, app: { isolators: list } as unknown as App })),
  };
}

const bandwidth = { name: "resource/network-bandwidth", value: { default: true, limit: "1M" } };
const sysctl = (value: Readonly<Record<string, string>>) => ({ name: "os/unix/sysctl", value });
const memory = (value: object) => ({
  name: "resource/memory",
  value: { default: false, ...value },
});
const capabilities = { name: "os/linux/capabilities-retain-set", value: { set: ["CAP_KILL"] } };

test("what every app gets needs no judging", () => {
  expect(hasPlainIsolators(pod([], [capabilities], []))).toBe(true);
  expect(hasPlainIsolators(pod([], [capabilities], [bandwidth]))).toBe(false);
  expect(hasPlainIsolators(pod([capabilities], []))).toBe(false);
});

test("what cannot be enforced has its reason, of the pod and of each app", () => {
  const context = { user: "u", role: "r", type: "t", level: "s0" };
  const { unenforced } = planIsolation(
    pod(
      [capabilities, { name: "x/unknown", value: 1 }],
      [bandwidth, bandwidth],
      [
        { name: "resource/memory", value: { default: false, limit: "0" } },
        { name: "os/linux/selinux-context", value: context },
      ],
    ),
    "none",
  );
  const said = unenforced.map(({ app, isolator, reason }) => `${app} ${isolator}: ${reason}`);
  expect(said.filter((line) => !line.includes("selinux"))).toEqual([
    "undefined os/linux/capabilities-retain-set: it is for apps, not for a pod",
    "undefined x/unknown: rkt knows no isolator of this name",
    "app0 resource/network-bandwidth: this version does not shape network traffic",
    "app1 resource/memory: its amount is not above zero",
  ]);
});

test("the sentence about an OOM kill names the smaller limit of app and pod", () => {
  const limits = (app: Plain) =>
    planIsolation(pod([memory({ limit: "64Mi" })], app), "none").memory;
  expect(limits([]).get("app0")).toBe("64Mi");
  expect(limits([memory({ limit: "16Mi" })]).get("app0")).toBe("16Mi");
  expect(limits([memory({ limit: "1Gi" })]).get("app0")).toBe("64Mi");
  // The last one counts: the flag's.
  expect(limits([memory({ limit: "1Mi" }), memory({ limit: "2Mi" })]).get("app0")).toBe("2Mi");
});

test("a pod has one value for a sysctl: its own, else the one that its apps agree on", () => {
  const merged = (own: Plain, ...apps: readonly Plain[]) =>
    planIsolation(pod(own, ...apps), "none").sysctls.map(({ path, value }) => `${path}=${value}`);
  const [a1, a2] = [sysctl({ "kernel.shmmni": "1" }), sysctl({ "kernel.shmmni": "2" })];
  expect(merged([], [a1], [a1])).toEqual(["kernel/shmmni=1"]);
  expect(merged([a2], [a1])).toEqual(["kernel/shmmni=2"]);
  expect(merged([a1], [a1], [a2])).toEqual(["kernel/shmmni=1"]);
  expect(() => merged([], [a1], [a2])).toThrow("two apps of the pod ask for different values");
});

test("an isolator that is wrong in itself is refused", () => {
  expect(() => planIsolation(pod([memory({ limit: "much" })]), "none")).toThrow("quantities");
});

test("--strict turns the first sentence into an error", () => {
  const { unenforced } = planIsolation(pod([], [bandwidth]), "none");
  const said: string[] = [];
  const warn = (sentence: string) => said.push(sentence);
  reportUnenforced(unenforced, { strict: false, warn });
  expect(said).toEqual([
    'app "app0": the isolator resource/network-bandwidth cannot be enforced: this version does not shape network traffic',
  ]);
  expect(() => reportUnenforced(unenforced, { strict: true, warn })).toThrow(said[0]);
  expect(() => reportUnenforced([], { strict: true, warn })).not.toThrow();
});
