// SPDX-License-Identifier: Apache-2.0
// A plan for people: `rkt run --dry-run`. One line per operation, an app's operations indented.
import { stripControl } from "../../lib/text.ts";
import { capabilityNames } from "../capabilities.ts";
import {
  ATTACH_FLAGS,
  BIND_FLAGS,
  COPY_VOLUME_FLAGS,
  DEVICES_FLAGS,
  DIRECTORY_FLAGS,
  ENTER_FLAGS,
  FILTER_FLAGS,
  MOUNT_ATTRIBUTES,
  MOUNT_FLAGS,
  OPCODES,
  OPTION_FLAGS,
  type Op,
  OVERLAY_FLAGS,
  VOLUME_FLAGS,
} from "./opcodes.ts";
import type { Plan } from "./wire.ts";

const kebab = (name: string): string => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

function names(bits: number, set: Readonly<Record<string, number>>): string {
  const found = Object.entries(set).filter(([, bit]) => (bits & bit) !== 0);
  return found.map(([name]) => kebab(name)).join(",") || "none";
}

/** A word as a shell would need it. */
function word(text: string): string {
  const clean = stripControl(text);
  return /^[\w@%+=:,./-]+$/.test(clean) ? clean : `'${clean.replaceAll("'", "'\\''")}'`;
}

const octal = (mode: number): string => `0${mode.toString(8)}`;

function flagsOf(op: Op): Readonly<Record<string, number>> {
  switch (op.kind) {
    case "options":
      return OPTION_FLAGS;
    case "bind":
      return BIND_FLAGS;
    case "volume":
      return VOLUME_FLAGS;
    case "copyVolume":
      return COPY_VOLUME_FLAGS;
    case "attach":
      return ATTACH_FLAGS;
    case "devices":
      return DEVICES_FLAGS;
    case "overlay":
      return OVERLAY_FLAGS;
    case "mount":
      return MOUNT_FLAGS;
    case "directory":
      return DIRECTORY_FLAGS;
    case "filter":
      return FILTER_FLAGS;
    default:
      return ENTER_FLAGS;
  }
}

/** BPF of either kind has eight bytes for one; the field's type says in what they are counted. */
const instructions = (program: unknown): number =>
  program instanceof Uint8Array ? program.length / 8 : (program as readonly number[]).length / 2;

function fieldText(op: Op, field: string, value: unknown): string {
  if (field === "flags") return names(value as number, flagsOf(op));
  if (field === "program") return `${instructions(value)} instructions`;
  if (field === "attributes") return names(value as number, MOUNT_ATTRIBUTES);
  if (field === "mode") return octal(value as number);
  if (field === "capabilities") {
    const set = value as bigint;
    return set === 0xffff_ffff_ffff_ffffn ? "all" : capabilityNames(set).join(",") || "none";
  }
  if (Array.isArray(value)) {
    return `[${value.map((v) => (typeof v === "string" ? word(v) : String(v))).join(" ")}]`;
  }
  return typeof value === "string" ? word(value) : String(value);
}

/** A node has numbers; of a volume only a device has them. */
const hiddenWhenZero = (op: Op): readonly string[] =>
  op.kind === "volume" ? ["flags", "major", "minor"] : ["flags", "attributes"];

/** The same text for the same plan: golden tests compare it. */
export function describePlan(plan: Plan): string {
  let indent = "";
  const lines = plan.ops.map((op) => {
    if (op.kind === "end") indent = "";
    const values = op as unknown as Readonly<Record<string, unknown>>;
    const fields = Object.keys(OPCODES[op.kind].fields)
      .filter((field) => values[field] !== 0 || !hiddenWhenZero(op).includes(field))
      .map((field) => `${kebab(field)}=${fieldText(op, field, values[field])}`);
    const line = [indent + kebab(op.kind), ...fields].join(" ");
    if (op.kind === "app") indent = "  ";
    return line;
  });
  return lines.join("\n");
}
