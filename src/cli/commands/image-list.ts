// SPDX-License-Identifier: Apache-2.0
// `rkt image list` (rkt-cli §5.14).
import { errorChain, RktError } from "../../lib/errors.ts";
import { formatTime, humanizeAge, humanizeBytes } from "../../lib/humanize.ts";
import { stripControl } from "../../lib/text.ts";
import type { ImageRecord, Store } from "../../store/index.ts";
import type { Run } from "../command.ts";
import type { ImageField, imageListFlags } from "../flag-sets.ts";
import { formatJson, nanoseconds } from "../json.ts";
import { problemReport } from "../problem-report.ts";
import { formatTable } from "../table.ts";

/** `sha512-` and twelve digits. */
const SHORT_ID = 19;

interface Row {
  readonly record: ImageRecord;
  /** With the version, where the image has one. */
  readonly name: string;
  /** Of the blob and of its rendered tree. */
  readonly size: number;
}

export const run: Run<typeof imageListFlags> = async ({ context, flags }) => {
  const store = await context.store();
  const rows: Row[] = [];
  const problems: string[] = [];
  for (const record of store.listImages()) {
    try {
      rows.push(describe(store, record));
    } catch (error) {
      if (!(error instanceof RktError)) throw error;
      problems.push(
        `image ${record.key}: ${errorChain(error)
          .map((e) => e.message)
          .join(": ")}`,
      );
    }
  }
  rows.sort(comparison(flags.sort));
  if (flags.order === "desc") rows.reverse();
  if (flags.format !== "") {
    context.out(`${formatJson(rows.map(toJson), flags.format)}\n`);
  } else {
    const table = rows.map((row) =>
      flags.fields.map((field) => cell(row, field, { full: flags.full, now: context.now() })),
    );
    if (!flags["no-legend"]) table.unshift(flags.fields.map((field) => HEADERS[field]));
    context.out(formatTable(table));
  }
  if (problems.length > 0) context.err(problemReport("images", problems));
  return 0;
};

const HEADERS: Readonly<Record<ImageField, string>> = {
  id: "ID",
  name: "NAME",
  size: "SIZE",
  importtime: "IMPORT TIME",
  lastused: "LAST USED",
  verified: "VERIFIED BY",
};

function describe(store: Store, record: ImageRecord): Row {
  const { name, labels } = store.manifest(record.key);
  const version = labels.find((label) => label.name === "version")?.value;
  return {
    record,
    name: version === undefined ? name : `${name}:${stripControl(version)}`,
    size: record.size + record.treeSize,
  };
}

function comparison(
  field: "name" | "importtime" | "lastused" | "size",
): (a: Row, b: Row) => number {
  switch (field) {
    case "name":
      return (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
    case "size":
      return (a, b) => a.size - b.size;
    case "importtime":
      return (a, b) => a.record.importTime.getTime() - b.record.importTime.getTime();
    case "lastused":
      return (a, b) => a.record.lastUsed.getTime() - b.record.lastUsed.getTime();
  }
}

function cell(
  { record, name, size }: Row,
  field: ImageField,
  { full, now }: { readonly full: boolean; readonly now: Date },
): string {
  const time = (date: Date): string => (full ? formatTime(date) : humanizeAge(date, now));
  switch (field) {
    case "id":
      return full ? record.key : record.key.slice(0, SHORT_ID);
    case "name":
      return name;
    case "size":
      return full ? String(size) : humanizeBytes(size);
    case "importtime":
      return time(record.importTime);
    case "lastused":
      return time(record.lastUsed);
    case "verified":
      return verifier(record.verification, full);
  }
}

/** Digits of a fingerprint that people know a key by. */
const KEY_ID = 16;

function verifier(verification: ImageRecord["verification"], full: boolean): string {
  switch (verification.kind) {
    case "openpgp": {
      const { fingerprint, identities, prefix } = verification;
      if (!full) return `key ${fingerprint.slice(-KEY_ID)}`;
      return `key ${fingerprint} for ${stripControl(prefix)} (${identities.map(stripControl).join(", ")})`;
    }
    case "sigstore": {
      const { key, identity, issuer, prefix } = verification;
      if (!full) {
        return key === undefined
          ? `identity ${stripControl(identity ?? "")}`
          : `sigstore ${key.slice("sha256:".length).slice(0, KEY_ID)}`;
      }
      const who = key === undefined ? `identity ${identity} by ${issuer}` : `sigstore key ${key}`;
      return stripControl(`${who} for ${prefix}`);
    }
    case "policy":
      return full ? `nobody (policy for ${stripControl(verification.prefix)})` : "nobody";
    case "unverified":
      return full ? `nobody (${verification.reason})` : "nobody";
    case "unknown":
      return "unknown";
  }
}

function toJson({ record, name, size }: Row) {
  return {
    id: record.key,
    name,
    import_time: nanoseconds(record.importTime),
    last_used_time: nanoseconds(record.lastUsed),
    size,
    verification: record.verification,
  };
}
