// SPDX-License-Identifier: Apache-2.0
// A small tar writer for tests. It writes whatever it is told, hostile or broken, and shares no code
// with src/tar, so that a mistake there is not made twice.

export interface TarItem {
  readonly name: string;
  readonly type?: "file" | "dir" | "symlink" | "link" | "char" | "block" | "fifo" | string;
  readonly content?: string | Uint8Array;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly link?: string;
  readonly major?: number;
  readonly minor?: number;
  /** PAX records for this entry. */
  readonly pax?: Readonly<Record<string, string>>;
  /** Says another size in the header than the content has. */
  readonly claimedSize?: number;
  /** A wrong header checksum. */
  readonly badChecksum?: boolean;
}

const TYPES: Readonly<Record<string, string>> = {
  file: "0",
  link: "1",
  symlink: "2",
  char: "3",
  block: "4",
  dir: "5",
  fifo: "6",
};

function header(item: TarItem, type: string, size: number): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, offset: number, length: number): void => {
    // Base-256 where octal digits do not suffice, as GNU tar writes it.
    if (value < 8 ** (length - 1)) {
      block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, offset, "latin1");
      return;
    }
    block.writeBigUInt64BE(BigInt(value), offset + length - 8);
    block[offset] = 0x80;
  };
  block.write(item.name, 0, 100, "utf8");
  octal(item.mode ?? (type === "5" ? 0o755 : 0o644), 100, 8);
  octal(item.uid ?? 0, 108, 8);
  octal(item.gid ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(item.mtime ?? 1_400_000_000, 136, 12);
  block.write("        ", 148, "latin1");
  block.write(type, 156, 1, "latin1");
  block.write(item.link ?? "", 157, 100, "utf8");
  block.write("ustar\x0000", 257, "latin1");
  if (item.major !== undefined) octal(item.major, 329, 8);
  if (item.minor !== undefined) octal(item.minor, 337, 8);
  let sum = 0;
  for (const byte of block) sum += byte;
  if (item.badChecksum) sum += 1;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function padded(data: Uint8Array): Buffer[] {
  const rest = data.length % 512;
  return rest === 0 ? [Buffer.from(data)] : [Buffer.from(data), Buffer.alloc(512 - rest)];
}

function paxRecords(records: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const body = Buffer.byteLength(` ${key}=${value}\n`);
    let length = body + 1;
    while (String(length).length + body !== length) length = String(length).length + body;
    return `${length} ${key}=${value}\n`;
  });
  return Buffer.from(lines.join(""));
}

export function tarBytes(items: readonly TarItem[], options: { end?: boolean } = {}): Buffer {
  const blocks: Buffer[] = [];
  for (const item of items) {
    const content = Buffer.from((item.content ?? "") as string);
    const pax: Record<string, string> = { ...item.pax };
    if (Buffer.byteLength(item.name) > 100 && pax["path"] === undefined) pax["path"] = item.name;
    if (Buffer.byteLength(item.link ?? "") > 100) pax["linkpath"] = item.link ?? "";
    if (Object.keys(pax).length > 0) {
      const records = paxRecords(pax);
      blocks.push(header({ name: "PaxHeaders/x" }, "x", records.length), ...padded(records));
    }
    const type = TYPES[item.type ?? "file"] ?? item.type ?? "0";
    blocks.push(header(item, type, item.claimedSize ?? content.length), ...padded(content));
  }
  if (options.end !== false) blocks.push(Buffer.alloc(1024));
  return Buffer.concat(blocks);
}

export interface TarListing {
  readonly name: string;
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly link: string;
  readonly content: string;
  readonly pax: Readonly<Record<string, string>>;
}

/** The entries of an archive that a correct program wrote, content as Latin-1. */
export function listTar(bytes: Buffer): TarListing[] {
  const found: TarListing[] = [];
  let pax: Record<string, string> = {};
  for (let at = 0, next = 0; at + 512 <= bytes.length && bytes[at] !== 0; at = next) {
    const text = (from: number, length: number) =>
      bytes.toString("utf8", at + from, at + from + length).replace(/\0.*$/s, "");
    const number = (from: number, length: number) =>
      Number.parseInt(text(from, length).trim() || "0", 8);
    const size = number(124, 12);
    const body = bytes.subarray(at + 512, at + 512 + size);
    const type = text(156, 1);
    next = at + 512 + Math.ceil(size / 512) * 512;
    if (type === "x") {
      pax = Object.fromEntries(
        [...body.toString("latin1").matchAll(/[0-9]+ ([^=]+)=(.*)\n/g)].map((m) => [m[1], m[2]]),
      );
      continue;
    }
    const prefix = text(345, 155);
    found.push({
      name: pax["path"] ?? `${prefix === "" ? "" : `${prefix}/`}${text(0, 100)}`.replace(/\/$/, ""),
      type,
      mode: number(100, 8),
      uid: Number(pax["uid"] ?? number(108, 8)),
      gid: Number(pax["gid"] ?? number(116, 8)),
      link: pax["linkpath"] ?? text(157, 100),
      content: body.toString("latin1"),
      pax,
    });
    pax = {};
  }
  return found;
}
