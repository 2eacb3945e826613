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
const encoder = new TextEncoder();

class Writer {
  #bytes = new Uint8Array(8192);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  #room(n: number): void {
    if (this.length + n <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + n));
    larger.set(this.#bytes.subarray(0, this.length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }

  u32(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.length, value, true);
    this.length += 4;
  }

  u64(value: bigint): void {
    this.#room(8);
    this.#view.setBigUint64(this.length, value, true);
    this.length += 8;
  }

  string(text: string): void {
    if (text.includes("\0")) {
      throw new Stage1Error(
        "PLAN_INVALID",
        `cannot encode ${quote(text)}: the kernel takes no string with a NUL byte`,
      );
    }
    // At most three bytes of UTF-8 for one UTF-16 unit.
    this.#room(5 + text.length * 3);
    const { written } = encoder.encodeInto(text, this.#bytes.subarray(this.length + 4));
    this.#view.setUint32(this.length, written, true);
    this.length += 4 + written;
    this.#bytes[this.length++] = 0;
    if (this.length > PLAN_MAX_BYTES) {
      throw new Stage1Error(
        "PLAN_TOO_LARGE",
        `cannot encode the pod's plan: it needs more than ${PLAN_MAX_BYTES} bytes`,
        { remedy: "shorten arguments and environment, or run fewer apps in one pod" },
      );
    }
  }

  patch(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}

function writeField(out: Writer, type: FieldType, value: unknown): void {
  switch (type) {
    case "u32":
      out.u32(value as number);
      return;
    case "u64":
      out.u64(value as bigint);
      return;
    case "string":
      out.string(value as string);
      return;
    case "strings": {
      const list = value as readonly string[];
      out.u32(list.length);
      for (const text of list) out.string(text);
      return;
    }
    case "numbers": {
      const list = value as readonly number[];
      out.u32(list.length);
      for (const n of list) out.u32(n);
      return;
    }
  }
}

/** The bytes that stage1 reads. Throws PLAN_TOO_LARGE, or PLAN_INVALID on a NUL byte. */
export function encodePlan(plan: Plan): Uint8Array {
  const out = new Writer();
  for (const c of PLAN_MAGIC.match(/.{4}/gs) ?? []) {
    out.u32([...c].reduce((sum, ch, i) => sum + ch.charCodeAt(0) * 2 ** (8 * i), 0));
  }
  out.u32(0);
  out.u32(plan.ops.length);
  for (const op of plan.ops) {
    const declaration: { code: number; fields: Readonly<Record<string, FieldType>> } =
      OPCODES[op.kind];
    out.u32(declaration.code);
    const lengthAt = out.length;
    out.u32(0);
    const start = out.length;
    const values = op as unknown as Readonly<Record<string, unknown>>;
    for (const field in declaration.fields) {
      writeField(out, declaration.fields[field] as FieldType, values[field]);
    }
    out.patch(lengthAt, out.length - start);
  }
  out.patch(8, out.length);
  return out.bytes();
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
