// SPDX-License-Identifier: Apache-2.0
// The plan's binary form: magic, total length, number of operations, then per operation its code, the
// length of its fields, the fields. stage1/plan.c is the decoder that counts; the one here serves tests.
import { quote } from "../../lib/text.ts";
import { Stage1Error } from "../errors.ts";
import {
  type FieldType,
  OPCODES,
  type Op,
  type OpKind,
  PLAN_MAGIC,
  PLAN_MAX_BYTES,
} from "./opcodes.ts";

/** An ordered list of operations; made by `compilePlan` and `compileEnterPlan`. */
export interface Plan {
  readonly ops: readonly Op[];
  /** Sentences for the person: what was assumed, what is ignored. */
  readonly warnings: readonly string[];
}

const HEADER = 16;
/**
 * The bytes that stage1 reads. Throws PLAN_TOO_LARGE, or PLAN_INVALID on a NUL byte. One flat loop: functions
 * for the parts would be called a thousand times, and compiling them costs a start more than all of this.
 */
export function encodePlan(plan: Plan): Uint8Array {
  let bytes = Buffer.allocUnsafe(16 * 1024);
  let at = bytes.write(PLAN_MAGIC, 0, "latin1");
  const room = (n: number): void => {
    if (at + n <= bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(bytes.length * 2, at + n));
    bytes.copy(larger, 0, 0, at);
    bytes = larger;
  };
  at += 4;
  at = bytes.writeUInt32LE(plan.ops.length, at);
  for (const op of plan.ops) {
    const declaration: { code: number; fields: Readonly<Record<string, FieldType>> } =
      OPCODES[op.kind];
    const values = op as unknown as Readonly<Record<string, unknown>>;
    if (at + 8 > bytes.length) room(8);
    bytes.writeUInt32LE(declaration.code, at);
    const start = at + 8;
    at = start;
    for (const field in declaration.fields) {
      const type = declaration.fields[field];
      const value = values[field];
      if (at + 8 > bytes.length) room(8);
      if (type === "u32") {
        at = bytes.writeUInt32LE(value as number, at);
        continue;
      }
      if (type === "u64") {
        at = bytes.writeBigUInt64LE(value as bigint, at);
        continue;
      }
      if (type === "bytes") {
        const data = value as Uint8Array;
        if (at + 4 + data.length > bytes.length) room(4 + data.length);
        at = bytes.writeUInt32LE(data.length, at);
        bytes.set(data, at);
        at += data.length;
        continue;
      }
      let list: readonly (string | number)[];
      if (type === "string") list = [value as string];
      else {
        list = value as readonly (string | number)[];
        at = bytes.writeUInt32LE(list.length, at);
      }
      for (const item of list) {
        if (typeof item === "number") {
          if (at + 4 > bytes.length) room(4);
          at = bytes.writeUInt32LE(item, at);
          continue;
        }
        if (item.includes("\0")) throw nulByte(item);
        // At most three bytes of UTF-8 for one UTF-16 unit; its length before it, a NUL behind it.
        const most = 5 + item.length * 3;
        if (at + most > bytes.length) room(most);
        const length = bytes.write(item, at + 4, "utf8");
        bytes.writeUInt32LE(length, at);
        at += 4 + length;
        bytes[at++] = 0;
        if (at > PLAN_MAX_BYTES) throw tooLarge();
      }
    }
    bytes.writeUInt32LE(at - start, start - 4);
  }
  bytes.writeUInt32LE(at, PLAN_MAGIC.length);
  return bytes.subarray(0, at);
}

function nulByte(text: string): Stage1Error {
  return new Stage1Error(
    "PLAN_INVALID",
    `cannot encode ${quote(text)}: the kernel takes no string with a NUL byte`,
  );
}

function tooLarge(): Stage1Error {
  return new Stage1Error(
    "PLAN_TOO_LARGE",
    `cannot encode the pod's plan: it needs more than ${PLAN_MAX_BYTES} bytes`,
    { remedy: "shorten arguments and environment, or run fewer apps in one pod" },
  );
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u32(): number {
    this.at += 4;
    return this.#view.getUint32(this.at - 4, true);
  }

  u64(): bigint {
    this.at += 8;
    return this.#view.getBigUint64(this.at - 8, true);
  }

  string(): string {
    const length = this.u32();
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      this.#bytes.subarray(this.at, this.at + length),
    );
    this.at += length;
    if (this.#bytes[this.at++] !== 0) throw new RangeError("string without NUL");
    return text;
  }

  bytes(): Uint8Array {
    const length = this.u32();
    if (this.at + length > this.#bytes.length) throw new RangeError("bytes past the end");
    this.at += length;
    return this.#bytes.slice(this.at - length, this.at);
  }

  field(type: FieldType): unknown {
    switch (type) {
      case "u32":
        return this.u32();
      case "u64":
        return this.u64();
      case "string":
        return this.string();
      case "strings":
        return Array.from({ length: this.u32() }, () => this.string());
      case "numbers":
        return Array.from({ length: this.u32() }, () => this.u32());
      case "bytes":
        return this.bytes();
    }
  }
}

/** The inverse of `encodePlan`, for tests and tools. Throws RangeError on anything else. */
export function decodePlan(bytes: Uint8Array): readonly Op[] {
  const reader = new Reader(bytes);
  reader.at = PLAN_MAGIC.length;
  if (reader.u32() !== bytes.length) throw new RangeError("wrong length");
  const count = reader.u32();
  if (reader.at !== HEADER) throw new RangeError("wrong header");
  const kinds = new Map(Object.entries(OPCODES).map(([kind, d]) => [d.code as number, kind]));
  const ops: Op[] = [];
  for (let i = 0; i < count; i++) {
    const kind = kinds.get(reader.u32()) as OpKind | undefined;
    if (kind === undefined) throw new RangeError("unknown operation");
    const length = reader.u32();
    const end: number = length + reader.at;
    const fields = Object.entries(OPCODES[kind].fields).map(([name, type]) => [
      name,
      reader.field(type),
    ]);
    if (reader.at !== end) throw new RangeError("wrong operation length");
    ops.push({ kind, ...Object.fromEntries(fields) } as Op);
  }
  if (reader.at !== bytes.length) throw new RangeError("trailing bytes");
  return ops;
}
