// SPDX-License-Identifier: Apache-2.0
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_CAPABILITIES } from "../appc/index.ts";
import { boundingSet, capabilityNames, DEFAULT_BOUNDING } from "./capabilities.ts";
import { appEnvironment } from "./environment.ts";
import { findCommand } from "./find-executable.ts";
import { findIdByName, resolveIds } from "./resolve-user.ts";

const root = mkdtempSync(join(tmpdir(), "lookup-"));
afterAll(() => rmSync(root, { recursive: true }));
for (const dir of ["etc", "bin", "usr/bin", "work/sub"])
  mkdirSync(join(root, dir), { recursive: true });
writeFileSync(
  join(root, "etc/passwd"),
  "root:x:0:0::/:/bin/sh\nweb:x:33:34::/:\nhuge:x:99999999999:1::/:\n5:x:77:7::/:\n",
);
writeFileSync(join(root, "etc/group"), "root:x:0:\nwww:x:35:web\n");
writeFileSync(join(root, "bin/tool"), "", { mode: 0o755 });
writeFileSync(join(root, "bin/plain"), "", { mode: 0o644 });
writeFileSync(join(root, "work/sub/local"), "", { mode: 0o755 });
symlinkSync("/bin/tool", join(root, "usr/bin/link"));
symlinkSync("../../../../../../../bin/sh", join(root, "usr/bin/escape"));

const ids = (user: string, group: string) =>
  resolveIds({ user, group, supplementaryGIDs: [9] }, root).ids;

describe("resolveIds", () => {
  test("takes names from the image, numbers as they are, root without a file", () => {
    expect(ids("web", "www")).toEqual({ uid: 33, gid: 35, supplementaryGids: [9] });
    expect(ids("1000", "1001")).toMatchObject({ uid: 1000, gid: 1001 });
    expect(ids("root", "root")).toMatchObject({ uid: 0, gid: 0 });
    expect(ids("5", "0").uid).toBe(5);
  });

  test("takes the owner of a file in the image, links not followed", () => {
    const owner = process.getuid?.() ?? 0;
    expect(ids("/bin/tool", "/bin/tool").uid).toBe(owner);
  });

  test("says what is not there and what to do", () => {
    expect(() => ids("nobody", "0")).toThrow(
      `failed to configure user "nobody": it is not in the image's /etc/passwd`,
    );
    expect(() => ids("0", "nobody")).toThrow(
      `failed to configure group "nobody": it is not in the image's /etc/group`,
    );
    expect(() => ids("/missing", "0")).toThrow(
      'failed to configure user "/missing": no such file in the image',
    );
    expect(() => ids("huge", "0")).toThrow();
    expect(() => ids("", "0")).toThrow();
    expect(() => ids("4294967295", "0")).toThrow();
  });

  test("falls back from group to user for an image of Docker's", () => {
    const app = { user: "web", group: "web", supplementaryGIDs: [] };
    expect(resolveIds(app, root, { groupMayBeUser: true }).ids.gid).toBe(33);
    expect(() => resolveIds(app, root)).toThrow();
  });

  describe("by Docker's rules", () => {
    const docker = (dockerUser: string, given: readonly number[] = []) => {
      const [user = "", group = ""] = dockerUser.split(":");
      const app = { user: user || "0", group: group || user || "0", supplementaryGIDs: given };
      return resolveIds(app, root, { dockerUser });
    };
    test("takes the primary group, the memberships and the home of the image's files", () => {
      const web = {
        ids: { uid: 33, gid: 34, supplementaryGids: [35] },
        account: { name: "web", home: "/" },
      };
      expect(docker("web")).toMatchObject(web);
      expect(docker("33")).toMatchObject(web);
      expect(docker("33:")).toMatchObject(web);
      expect(docker("web", [7]).ids.supplementaryGids).toEqual([7]);
      expect(docker("")).toMatchObject({ ids: { uid: 0, gid: 0, supplementaryGids: [] } });
    });
    test("takes root's group for a number that the image does not know", () => {
      expect(docker("1001")).toMatchObject({
        ids: { uid: 1001, gid: 0, supplementaryGids: [] },
        account: { name: "1001", home: "/" },
      });
    });
    test("takes a group that is named, and no memberships", () => {
      expect(docker("web:root").ids).toEqual({ uid: 33, gid: 0, supplementaryGids: [] });
      expect(docker("1001:5").ids).toEqual({ uid: 1001, gid: 5, supplementaryGids: [] });
      expect(() => docker("web:none")).toThrow('failed to configure group "none"');
      expect(() => docker("none")).toThrow('failed to configure user "none"');
    });
  });

  test("is not led out of the image, nor blocked, by what is at /etc/passwd", () => {
    for (const target of ["/etc/passwd", "../../../../../../../../etc/passwd"]) {
      const hostile = mkdtempSync(join(tmpdir(), "hostile-"));
      mkdirSync(join(hostile, "etc"));
      symlinkSync(target, join(hostile, "etc/passwd"));
      const user = { user: "daemon", group: "0", supplementaryGIDs: [] };
      expect(() => resolveIds(user, hostile)).toThrow("the image has no /etc/passwd");
      rmSync(hostile, { recursive: true });
    }
    const fifo = mkdtempSync(join(tmpdir(), "fifo-"));
    mkdirSync(join(fifo, "etc"));
    Bun.spawnSync(["mkfifo", join(fifo, "etc/passwd")]);
    const user = { user: "daemon", group: "0", supplementaryGIDs: [] };
    expect(() => resolveIds(user, fifo)).toThrow("the image has no /etc/passwd");
    rmSync(fifo, { recursive: true });
  });

  test("a line without an id is no user", () => {
    expect(findIdByName("a\na:x\na:x:\n", "a")).toBeUndefined();
    expect(findIdByName("", "")).toBeUndefined();
  });
});

describe("findCommand", () => {
  const find = (exec: readonly string[], more: { path?: string; workingDirectory?: string } = {}) =>
    findCommand(exec, {
      rootfs: root,
      app: { workingDirectory: more.workingDirectory ?? "" },
      environment: more.path === undefined ? [] : [["PATH", more.path]],
      imageName: "example.com/image",
    });

  test("leaves an absolute path, joins a relative one, searches a word", () => {
    expect(find(["/not/there", "x"])).toEqual({ path: "/not/there", args: ["x"] });
    expect(find(["./local"], { workingDirectory: "/work/sub" }).path).toBe("/work/sub/local");
    expect(find(["tool"], { path: "/none:/bin" }).path).toBe("/bin/tool");
    expect(find(["local"], { path: "sub", workingDirectory: "/work" }).path).toBe(
      "/work/sub/local",
    );
    expect(find(["tool"]).path).toBe("/bin/tool");
    expect(find(["link"], { path: "/usr/bin" }).path).toBe("/usr/bin/link");
  });

  test("refuses what is not executable or leaves the image", () => {
    expect(() => find(["plain"], { path: "/bin" })).toThrow('unable to find "plain" in "/bin"');
    expect(() => find(["escape"], { path: "/usr/bin" })).toThrow(
      'unable to find "escape" in "/usr/bin"',
    );
  });

  test("asks for --exec when there is nothing to execute", () => {
    expect(() => find([])).toThrow(
      'image "example.com/image" has an empty "exec" (try --exec=BINARY)',
    );
  });
});

describe("boundingSet", () => {
  const retain = (...set: string[]) => ({
    name: "os/linux/capabilities-retain-set",
    value: { set },
  });
  const remove = (...set: string[]) => ({
    name: "os/linux/capabilities-remove-set",
    value: { set },
  });
  const of = (...isolators: unknown[]) =>
    boundingSet(isolators as Parameters<typeof boundingSet>[0]);

  test("is appc's fourteen by default", () => {
    expect(of()).toBe(DEFAULT_BOUNDING);
    expect(DEFAULT_BOUNDING).toBe(0xa80425fbn);
    expect([...capabilityNames(DEFAULT_BOUNDING)].sort()).toEqual([...DEFAULT_CAPABILITIES].sort());
  });

  test("adds up retain sets and takes remove sets from the default", () => {
    expect(of(retain("CAP_CHOWN"), retain("CAP_SYS_ADMIN"))).toBe(1n | (1n << 21n));
    expect(of(remove("CAP_CHOWN", "CAP_SYS_ADMIN"))).toBe(DEFAULT_BOUNDING & ~1n);
  });

  test("refuses both kinds and unknown names", () => {
    expect(() => of(retain("CAP_CHOWN"), remove("CAP_CHOWN"))).toThrow(
      "cannot have both os/linux/capabilities-retain-set and os/linux/capabilities-remove-set",
    );
    expect(() => of(retain("CAP_FLY"))).toThrow(
      'cannot use the capability "CAP_FLY": no such capability',
    );
  });
});

test("appEnvironment takes the user's defaults from the image's account", () => {
  const environment = [{ name: "USER", value: "u" }];
  const account = { name: "web", home: "" };
  expect(
    Object.fromEntries(appEnvironment({ environment }, { appName: "a", account })),
  ).toMatchObject({ USER: "u", LOGNAME: "web", HOME: "/" });
});

test("appEnvironment fills in what is missing and lets the app win", () => {
  const app = {
    environment: [
      { name: "HOME", value: "/h" },
      { name: "AC_APP_NAME", value: "no" },
    ],
  };
  expect(appEnvironment(app, { appName: "a", metadataUrl: "http://m" })).toEqual([
    ["HOME", "/h"],
    ["AC_APP_NAME", "a"],
    ["PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    ["SHELL", "/bin/sh"],
    ["USER", "root"],
    ["LOGNAME", "root"],
    ["AC_METADATA_URL", "http://m"],
    ["container", "rkt"],
  ]);
});
