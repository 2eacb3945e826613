// SPDX-License-Identifier: Apache-2.0
// For tests only: tar archives block by block, also such as no tar program would write, the collection of
// hostile ones, and a picture of a directory tree to compare.
import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { decodeName } from "../lib/byte-name.ts";
import { readXattrs } from "../sys/tree.ts";
import type { ArchiveErrorCode } from "./errors.ts";
import { formatRecord } from "./pax.ts";

export interface RawFields {
  readonly name: string | Uint8Array;
  readonly type?: string;
  readonly mode?: number | string;
  readonly uid?: number | string;
  readonly gid?: number | string;
  /** A number is written in octal, a string or bytes as they are. */
  readonly size?: number | string | Uint8Array;
  readonly mtime?: number | string | Uint8Array;
  readonly linkName?: string;
  readonly magic?: string;
  readonly prefix?: string;
  readonly devMajor?: number;
  readonly devMinor?: number;
  /** Added to the right checksum. */
  readonly checksumError?: number;
}

/** One header block with a right checksum and anything else. */
export function rawHeader(fields: RawFields): Buffer {
  const block = Buffer.alloc(512);
  const put = (value: number | string | Uint8Array, at: number, length: number): void => {
    const bytes =
      typeof value === "number"
        ? Buffer.from(value.toString(8).padStart(length - 1, "0"))
        : Buffer.from(value as string);
    block.set(bytes.subarray(0, length), at);
  };
  put(fields.name, 0, 100);
  put(fields.mode ?? 0o644, 100, 8);
  put(fields.uid ?? 0, 108, 8);
  put(fields.gid ?? 0, 116, 8);
  put(fields.size ?? 0, 124, 12);
  put(fields.mtime ?? 0, 136, 12);
  put(fields.type ?? "0", 156, 1);
  put(fields.linkName ?? "", 157, 100);
  put(fields.magic ?? "ustar\x0000", 257, 8);
  put(fields.devMajor ?? 0, 329, 8);
  put(fields.devMinor ?? 0, 337, 8);
  if (fields.prefix !== undefined) put(fields.prefix, 345, 155);
  block.fill(0x20, 148, 156);
  let sum = fields.checksumError ?? 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** A header and its content, padded. The size is the content's unless `fields` lies. */
export function rawEntry(fields: RawFields, data: string | Uint8Array = ""): Buffer {
  const bytes = Buffer.from(data as string);
  const padding = Buffer.alloc((512 - (bytes.length % 512)) % 512);
  return Buffer.concat([rawHeader({ size: bytes.length, ...fields }), bytes, padding]);
}

/** An extended header with these records, in this order. */
export function paxEntry(
  records: readonly (readonly [string, string | Uint8Array])[],
  type: "x" | "g" = "x",
): Buffer {
  const data = records.map(([key, value]) =>
    formatRecord(Buffer.from(key), Buffer.from(value as string)),
  );
  return rawEntry({ name: "PaxHeaders.0/x", type }, Buffer.concat(data));
}

/** GNU's long name (L) or long link target (K) for the next entry. */
export function gnuLong(type: "L" | "K", text: string | Uint8Array): Buffer {
  const data = Buffer.concat([Buffer.from(text as string), Buffer.alloc(1)]);
  return rawEntry({ name: "././@LongLink", type, magic: "ustar  \0" }, data);
}

export function archive(...entries: readonly Uint8Array[]): Buffer {
  return Buffer.concat([...entries, Buffer.alloc(1024)]);
}

export const dirEntry = (name: string, mode = 0o755): Buffer => rawEntry({ name, type: "5", mode });
export const linkEntry = (name: string, target: string): Buffer =>
  rawEntry({ name, type: "2", linkName: target, mode: 0o777 });
export const hardLinkEntry = (name: string, target: string): Buffer =>
  rawEntry({ name, type: "1", linkName: target });

export interface HostileArchive {
  /** Completes the sentence "extraction refuses …". */
  readonly title: string;
  readonly bytes: Buffer;
  readonly code: ArchiveErrorCode;
}

/**
 * Archives that must be refused with `code` when they are extracted with the prefix `rootfs/`. `outside` is
 * the absolute path of a directory that holds a file `canary`; the target is its sibling.
 */
export function hostileArchives(outside: string): readonly HostileArchive[] {
  const root = dirEntry("rootfs/");
  const list: HostileArchive[] = [];
  const add = (code: ArchiveErrorCode, title: string, ...entries: Uint8Array[]): void => {
    list.push({ title, code, bytes: archive(root, ...entries) });
  };
  const file = (name: string): Buffer => rawEntry({ name }, "evil");

  add("ARCHIVE_UNSAFE", "an absolute name", file(`${outside}/new`));
  add("ARCHIVE_UNSAFE", "a name with ..", file("rootfs/../../outside/new"));
  add("ARCHIVE_UNSAFE", "a name that ends in ..", dirEntry("rootfs/a/.."));
  add("ARCHIVE_UNSAFE", "a name that is ..", dirEntry(".."));
  add("ARCHIVE_UNSAFE", "an empty name", file(""));
  add("ARCHIVE_UNSAFE", ".. in an extended header", paxEntry([["path", "rootfs/../x"]]), file("a"));
  add("ARCHIVE_UNSAFE", ".. in a GNU long name", gnuLong("L", "rootfs/../x"), file("a"));
  add("ARCHIVE_UNSAFE", ".. across prefix and name", rawEntry({ name: "x", prefix: "rootfs/.." }));
  add(
    "ARCHIVE_CORRUPT",
    "a NUL byte in a path record",
    paxEntry([["path", "rootfs/a\0b"]]),
    file("a"),
  );
  add("ARCHIVE_UNSAFE", "a NUL byte in a GNU long name", gnuLong("L", "rootfs/a\0b"), file("a"));
  add(
    "ARCHIVE_UNSAFE",
    "a write through an absolute symbolic link",
    linkEntry("rootfs/l", outside),
    file("rootfs/l/new"),
  );
  add(
    "ARCHIVE_UNSAFE",
    "a write through a relative symbolic link",
    linkEntry("rootfs/l", "../outside"),
    file("rootfs/l/new"),
  );
  add(
    "ARCHIVE_UNSAFE",
    "a write through a chain of symbolic links",
    linkEntry("rootfs/a", ".."),
    linkEntry("rootfs/b", "a/outside"),
    file("rootfs/b/new"),
  );
  add(
    "ARCHIVE_UNSAFE",
    "a write through a symbolic link to inside",
    dirEntry("rootfs/d"),
    linkEntry("rootfs/l", "d"),
    file("rootfs/l/new"),
  );
  add(
    "ARCHIVE_UNSAFE",
    "a file over a symbolic link",
    linkEntry("rootfs/l", `${outside}/canary`),
    file("rootfs/l"),
  );
  add(
    "ARCHIVE_UNSAFE",
    "a file over a symbolic link by another spelling of its name",
    linkEntry("rootfs/l", `${outside}/canary`),
    file("./rootfs//l"),
  );
  add(
    "ARCHIVE_UNSAFE",
    "a directory over a symbolic link",
    linkEntry("rootfs/l", outside),
    dirEntry("rootfs/l/", 0o777),
  );
  add(
    "ARCHIVE_UNSAFE",
    "a directory below a symbolic link",
    linkEntry("rootfs/l", outside),
    dirEntry("rootfs/l/sub"),
  );
  add("ARCHIVE_UNSAFE", "an entry below a file", file("rootfs/f"), file("rootfs/f/new"));
  add(
    "ARCHIVE_UNSAFE",
    "a hard link to an absolute path",
    hardLinkEntry("rootfs/h", `${outside}/canary`),
  );
  add(
    "ARCHIVE_UNSAFE",
    "a hard link with ..",
    hardLinkEntry("rootfs/h", "rootfs/../outside/canary"),
  );
  add("ARCHIVE_UNSAFE", "a hard link to what is not there", hardLinkEntry("rootfs/h", "rootfs/no"));
  add("ARCHIVE_UNSAFE", "a hard link to itself", hardLinkEntry("rootfs/h", "rootfs/h"));
  add(
    "ARCHIVE_UNSAFE",
    "a hard link to a directory",
    dirEntry("rootfs/d"),
    hardLinkEntry("rootfs/h", "rootfs/d"),
  );
  add("ARCHIVE_UNSAFE", "a hard link with an empty target", hardLinkEntry("rootfs/h", ""));
  add(
    "ARCHIVE_UNSAFE",
    "a hard link through a symbolic link",
    linkEntry("rootfs/l", outside),
    hardLinkEntry("rootfs/h", "rootfs/l/canary"),
  );
  add(
    "ARCHIVE_UNSAFE",
    "a file over a hard link to a symbolic link",
    linkEntry("rootfs/l", `${outside}/canary`),
    hardLinkEntry("rootfs/h", "rootfs/l"),
    file("rootfs/h"),
  );
  add(
    "ARCHIVE_UNSAFE",
    "a hard link to what is outside of rootfs",
    rawEntry({ name: "manifest" }, "{}"),
    hardLinkEntry("rootfs/h", "manifest"),
  );
  add("ARCHIVE_UNSAFE", "a duplicate file", file("rootfs/f"), file("rootfs/f"));
  add("ARCHIVE_UNSAFE", "a duplicate directory", dirEntry("rootfs/d"), dirEntry("rootfs/d/"));
  add("ARCHIVE_UNSAFE", "a directory over a file", file("rootfs/f"), dirEntry("rootfs/f/"));
  add("ARCHIVE_UNSAFE", "a symbolic link without a target", linkEntry("rootfs/l", ""));
  add("ARCHIVE_TRUNCATED", "a huge size", rawEntry({ name: "rootfs/f", size: "77777777777 " }));
  add(
    "ARCHIVE_TRUNCATED",
    "a size one block beyond the end",
    rawEntry({ name: "rootfs/f", size: 1537 }),
  );
  add(
    "ARCHIVE_CORRUPT",
    "a negative size",
    rawEntry({ name: "rootfs/f", size: Buffer.alloc(12, 0xff) }),
  );
  add(
    "ARCHIVE_CORRUPT",
    "a size beyond 2^53",
    rawEntry({ name: "rootfs/f", size: Buffer.from([0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]) }),
  );
  add("ARCHIVE_CORRUPT", "a negative size record", paxEntry([["size", "-1"]]), file("rootfs/f"));
  add(
    "ARCHIVE_CORRUPT",
    "a size record beyond 2^53",
    paxEntry([["size", "9999999999999999"]]),
    file("rootfs/f"),
  );
  add(
    "ARCHIVE_CORRUPT",
    "a size record that is hexadecimal",
    paxEntry([["size", "0x10"]]),
    file("rootfs/f"),
  );
  add("ARCHIVE_CORRUPT", "a negative owner", rawEntry({ name: "rootfs/f", uid: "-0000001" }));
  add(
    "ARCHIVE_CORRUPT",
    "an owner that means no change",
    paxEntry([["uid", "4294967295"]]),
    file("rootfs/f"),
  );
  add("ARCHIVE_CORRUPT", "a wrong checksum", rawEntry({ name: "rootfs/f", checksumError: 1 }));
  add(
    "ARCHIVE_CORRUPT",
    "a directory with content",
    rawEntry({ name: "rootfs/d", type: "5" }, "evil"),
  );
  add(
    "ARCHIVE_CORRUPT",
    "a symbolic link with content",
    rawEntry({ name: "rootfs/l", type: "2", linkName: "x" }, "evil"),
  );
  add(
    "ARCHIVE_CORRUPT",
    "a device number of 33 bits",
    rawEntry({ name: "rootfs/n", type: "3", devMajor: 0o10000 }),
  );
  add("ARCHIVE_CORRUPT", "a lone zero block", Buffer.alloc(512), file("rootfs/f"));
  add(
    "ARCHIVE_CORRUPT",
    "two extended headers in a row",
    paxEntry([["uid", "1"]]),
    paxEntry([["uid", "2"]]),
    file("rootfs/f"),
  );
  add(
    "ARCHIVE_CORRUPT",
    "a name in both an extended header and a GNU long name",
    paxEntry([["path", "rootfs/a"]]),
    gnuLong("L", "rootfs/b"),
    file("rootfs/f"),
  );
  add(
    "ARCHIVE_CORRUPT",
    "a record longer than its header",
    rawEntry({ name: "x", type: "x" }, "99 path=rootfs/a\n"),
    file("a"),
  );
  add(
    "ARCHIVE_CORRUPT",
    "a record without a newline",
    rawEntry({ name: "x", type: "x" }, "15 path=rootfs/a"),
    file("a"),
  );
  add(
    "ARCHIVE_CORRUPT",
    "a record of length zero",
    rawEntry({ name: "x", type: "x" }, "0 path=rootfs/a\n"),
    file("a"),
  );
  add(
    "ARCHIVE_TRUNCATED",
    "an extended header with nothing behind it",
    paxEntry([["path", "rootfs/a"]]),
  );
  add(
    "ARCHIVE_LIMIT",
    "a huge extended header",
    rawEntry({ name: "x", type: "x" }, Buffer.alloc((1 << 20) + 1)),
  );
  add("ARCHIVE_LIMIT", "a huge GNU long name", gnuLong("L", "a".repeat(8192)), file("a"));
  add(
    "ARCHIVE_LIMIT",
    "a name longer than a path can be",
    paxEntry([["path", `rootfs/${"a/".repeat(2100)}f`]]),
    file("a"),
  );
  add(
    "ARCHIVE_LIMIT",
    "a huge extended attribute",
    paxEntry([["SCHILY.xattr.user.a", Buffer.alloc(70_000)]]),
    file("rootfs/f"),
  );
  add(
    "ARCHIVE_IO",
    "a component longer than a name can be",
    paxEntry([["path", `rootfs/${"a".repeat(300)}`]]),
    file("a"),
  );
  add(
    "ARCHIVE_UNSUPPORTED",
    "an old GNU sparse file",
    rawEntry({ name: "rootfs/f", type: "S", magic: "ustar  \0" }),
  );
  add(
    "ARCHIVE_UNSUPPORTED",
    "a POSIX sparse file",
    paxEntry([
      ["GNU.sparse.major", "1"],
      ["GNU.sparse.minor", "0"],
      ["GNU.sparse.realsize", "1000000000000"],
    ]),
    file("rootfs/f"),
  );
  for (const type of ["7", "D", "M", "V", "A", "X", "N", "\x01"]) {
    add(
      "ARCHIVE_UNSUPPORTED",
      `an entry of type ${JSON.stringify(type)}`,
      rawEntry({ name: "rootfs/f", type }),
    );
  }
  list.push({
    title: "a rootfs that is a symbolic link",
    code: "ARCHIVE_INVALID",
    bytes: archive(linkEntry("rootfs", outside), file("rootfs/new")),
  });
  list.push({
    title: "a rootfs that is a file",
    code: "ARCHIVE_INVALID",
    bytes: archive(file("rootfs"), file("rootfs/new")),
  });
  return list;
}

/** Everything that can be seen of a tree: path to a line of facts. Directory times only on request. */
export function treePicture(
  dir: string | Buffer,
  options: { readonly directoryTimes?: boolean } = {},
): ReadonlyMap<string, string> {
  const picture = new Map<string, string>();
  const inodes = new Map<string, string>();
  const add = (path: Buffer, name: string): void => {
    const s = lstatSync(path, { bigint: true });
    const facts = [s.mode.toString(8), s.uid, s.gid, s.rdev];
    if (!s.isDirectory() || options.directoryTimes === true) facts.push(s.mtimeNs);
    if (!s.isDirectory()) {
      facts.push(s.nlink, s.size);
      const first = inodes.get(`${s.dev}:${s.ino}`) ?? name;
      inodes.set(`${s.dev}:${s.ino}`, first);
      facts.push(`as ${first}`);
    }
    if (s.isSymbolicLink()) facts.push(decodeName(readlinkSync(path, "buffer")));
    if (s.isFile()) {
      facts.push(createHash("sha256").update(readFileSync(path)).digest("hex").slice(0, 16));
      const fd = openSync(path, "r");
      for (const [key, value] of readXattrs(fd)) {
        facts.push(`${key}=${Buffer.from(value).toString("hex")}`);
      }
      closeSync(fd);
    }
    picture.set(name, facts.join(" "));
    if (!s.isDirectory()) return;
    const children = readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
    for (const child of children) {
      add(Buffer.concat([path, Buffer.from("/"), child]), `${name}/${decodeName(child)}`);
    }
  };
  add(Buffer.from(dir as string), ".");
  return picture;
}
