// SPDX-License-Identifier: Apache-2.0
// Who may do what with the data directory and the keystore: root, the groups rkt and rkt-admin, the others
// (rkt-cli §1.6). And what a machine that has run out of room does to a pod.
import { expect } from "bun:test";
import { chmodSync, chownSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { buildAci, busyboxAci } from "../support/aci.ts";
import { needs } from "../support/needs.ts";
import { newRkt, type Rkt } from "../support/rkt.ts";
import { fetchSigned } from "../support/signed.ts";
import { newKey } from "../support/signing.ts";

const test = needs("root", "sandbox", "busybox", "overlay");
const INSECURE = "--insecure-options=image";
const RKT_GROUP = 23450;
const ADMIN_GROUP = 23451;

/** Puts the two groups into this mount namespace's /etc/group until the end of the block. */
async function withGroups(rkt: Rkt): Promise<AsyncDisposable> {
  const file = `${rkt.work}/group`;
  const groups = readFileSync("/etc/group", "utf8");
  writeFileSync(file, `${groups}rkt:x:${RKT_GROUP}:\nrkt-admin:x:${ADMIN_GROUP}:\n`);
  await Bun.$`mount --bind ${file} /etc/group`.quiet();
  return {
    async [Symbol.asyncDispose]() {
      await Bun.$`umount /etc/group`.quiet();
    },
  };
}

/** Everybody may go as far as the directories under test; those themselves decide. */
function openWay(rkt: Rkt): void {
  chmodSync(rkt.work.replace(/\/work$/, ""), 0o755);
  chmodSync(rkt.work, 0o755);
}

function as(group: number): { under: readonly string[] } {
  return { under: ["setpriv", `--reuid=${group}`, "--regid=65534", `--groups=${group}`] };
}

test("a member of the group rkt may fetch and list, but not run", async () => {
  await using rkt = newRkt();
  await using _groups = await withGroups(rkt);
  openWay(rkt);
  const busybox = `${rkt.work}/busybox.aci`;
  writeFileSync(busybox, busyboxAci());
  const key = await fetchSigned(rkt, busybox);
  await rkt.ok(["prepare", "--quiet", "example.com/busybox"]);
  expect(statSync(`${rkt.data}/cas/blob`).gid).toBe(RKT_GROUP);
  expect(statSync(`${rkt.data}/cas/blob`).mode & 0o7777).toBe(0o2770);
  expect(statSync(`${rkt.data}/pods`).gid).toBe(RKT_GROUP);
  chownSync(rkt.data, 0, RKT_GROUP);
  chmodSync(rkt.data, 0o2750);

  const member = as(RKT_GROUP);
  expect(await rkt.ok(["image", "list", "--no-legend"], member)).toContain("example.com/busybox");
  expect(await rkt.ok(["list", "--no-legend"], member)).toContain("prepared");
  expect(await rkt.ok(["image", "gc", "--grace-period=24h"], member)).toBe("");
  const other = `${rkt.work}/other.aci`;
  writeFileSync(other, buildAci({ name: "example.com/other" }));
  expect((await rkt.ok([INSECURE, "fetch", other], member)).trim()).not.toBe(key);
  expect(await rkt.ok(["image", "list", "--no-legend"])).toContain("example.com/other");
  await rkt.fails(
    ["run", "--net=none", "example.com/busybox"],
    "cannot run as unprivileged user",
    member,
  );

  const stranger = as(65534);
  for (const args of [["list"], ["image", "list"], [INSECURE, "fetch", other]]) {
    const result = await rkt.run(args, stranger);
    expect({ args, status: result.status, bug: result.stderr.includes("this is a bug") }).toEqual({
      args,
      status: 254,
      bug: false,
    });
    expect(result.stderr).toContain("permission denied");
  }
});

test("a member of the group rkt sees how a pod ended, whatever root's umask; others get a sentence", async () => {
  await using rkt = newRkt();
  await using _groups = await withGroups(rkt);
  openWay(rkt);
  const busybox = `${rkt.work}/busybox.aci`;
  writeFileSync(busybox, busyboxAci());
  const uuidFile = `${rkt.work}/uuid`;
  const words = ["run", "--net=none", `--uuid-file-save=${uuidFile}`, busybox];
  const script = ["--", "-c", "echo printed; exit 3"];
  const strict = { under: ["sh", "-c", 'umask 077; exec "$@"', "sh"] };
  expect((await rkt.run([INSECURE, ...words, ...script], strict)).status).toBe(3);
  expect(statSync(uuidFile).mode & 0o777).toBe(0o644);

  const uuid = readFileSync(uuidFile, "utf8");
  const member = as(RKT_GROUP);
  expect(await rkt.ok(["list", "--no-legend"], member)).toContain("exited");
  expect(await rkt.ok(["status", uuid], member)).toContain("app-busybox=3");
  expect(await rkt.ok(["logs", uuid], member)).toContain("printed");
  await rkt.fails(
    ["export", uuid, `${rkt.work}/out.aci`],
    `export: cannot export pod "${uuid}": stat`,
    member,
  );
  const sentence = `cannot read the pods of the data directory "${rkt.data}"`;
  for (const command of ["list", "status", "logs", "cat-manifest"]) {
    const args = command === "list" ? [command] : [command, uuid];
    await rkt.fails(args, `${command}: ${sentence}`, as(1));
  }
});

test("a member of rkt-admin may trust keys, others may not", async () => {
  await using rkt = newRkt();
  await using _groups = await withGroups(rkt);
  openWay(rkt);
  chownSync(rkt.local, 0, ADMIN_GROUP);
  chmodSync(rkt.local, 0o2775);
  const file = `${rkt.work}/key`;
  writeFileSync(file, (await newKey()).publicKey);
  const args = (prefix: string) => [
    "trust",
    `--prefix=${prefix}`,
    "--skip-fingerprint-review",
    file,
  ];
  await rkt.ok(args("example.com"), as(ADMIN_GROUP));
  await rkt.fails(args("other.example"), "permission denied", as(65534));
});

test("a pod for which there is no room is one sentence, and gc gives the room back", async () => {
  await using rkt = newRkt();
  await Bun.$`mount -t tmpfs -o size=24m,nr_inodes=500 tmpfs ${rkt.data}`.quiet();
  try {
    const busybox = `${rkt.work}/busybox.aci`;
    writeFileSync(busybox, busyboxAci());
    await fetchSigned(rkt, busybox);
    await Bun.$`dd if=/dev/zero of=${rkt.data}/filler bs=1k status=none`.nothrow().quiet();
    for (const flags of [[], ["--no-overlay"]]) {
      const args = ["run", "--net=none", ...flags, "example.com/busybox", "--exec=/bin/true"];
      const { stderr } = await rkt.fails(args, /no space left on device|not enough space/);
      expect(stderr.trim().split("\n").length).toBeLessThanOrEqual(3);
    }
    await Bun.$`rm ${rkt.data}/filler`.quiet();
    await rkt.ok(["gc", "--grace-period=0s"]);
    expect(await rkt.ok(["list", "--no-legend"])).toBe("");
    await rkt.ok(["run", "--net=none", "example.com/busybox", "--exec=/bin/true"]);
    await rkt.ok(["gc", "--grace-period=0s"]);
  } finally {
    await Bun.$`umount ${rkt.data}`.quiet();
  }
});
