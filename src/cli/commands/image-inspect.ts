// SPDX-License-Identifier: Apache-2.0
// `rkt image inspect`: what an image is made of, who vouched for it, and what is attached to it.
import type { ImageManifest } from "../../appc/index.ts";
import { formatTime, humanizeBytes } from "../../lib/humanize.ts";
import { stripControl } from "../../lib/text.ts";
import type { ImageVerification, Store, StoredOci } from "../../store/index.ts";
import type { Run } from "../command.ts";
import { verifier } from "../explanation.ts";
import type { imageInspectFlags } from "../flag-sets.ts";
import { formatJson, nanoseconds } from "../json.ts";
import { resolveImage } from "../resolve-image.ts";
import { formatTable } from "../table.ts";

export const run: Run<typeof imageInspectFlags> = async ({ context, flags, args }) => {
  const store = await context.store();
  const key = resolveImage(context, store, args[0] ?? "");
  const facts = inspect(store, key);
  context.out(
    flags.format === "" ? formatTable(rows(facts)) : `${formatJson(toJson(facts), flags.format)}\n`,
  );
  return 0;
};

interface Facts {
  readonly id: string;
  readonly manifest: ImageManifest;
  readonly importTime: Date;
  readonly verification: ImageVerification;
  /** Undefined for an App Container Image. */
  readonly oci: StoredOci | undefined;
}

function inspect(store: Store, key: Parameters<Store["record"]>[0]): Facts {
  const { id, importTime } = store.record(key);
  return {
    id,
    manifest: store.manifest(key),
    importTime,
    verification: store.verification(key),
    oci: store.ociImage(key),
  };
}

const attestationsOf = (verification: ImageVerification) =>
  verification.kind === "sigstore" ? (verification.attestations ?? []) : [];

function rows({ id, manifest, importTime, verification, oci }: Facts): string[][] {
  const several = (label: string, values: readonly string[]): string[][] =>
    values.map((value, i) => [i === 0 ? label : "", stripControl(value)]);
  const { app } = manifest;
  return [
    ["id", id],
    ["name", manifest.name],
    ...several(
      "labels",
      manifest.labels.map(({ name, value }) => `${name}=${value}`),
    ),
    ["imported", formatTime(importTime)],
    ...several("verified by", verifier(verification)),
    ...several("attestations", attestationsOf(verification).map(attestationText)),
    ...(oci === undefined
      ? []
      : [
          ["reference", stripControl(oci.reference)],
          ["manifest", oci.digest],
          ["platform", oci.platform],
          ["config", oci.config],
          ...several(
            "layers",
            oci.layers.map(({ digest, size }) => `${digest} ${humanizeBytes(size)}`),
          ),
        ]),
    ...(app === undefined
      ? []
      : [
          ...several("exec", [app.exec.join(" ")]),
          ["user", `${app.user}:${app.group}`],
          ...several(
            "environment",
            app.environment.map(({ name, value }) => `${name}=${value}`),
          ),
        ]),
  ];
}

function attestationText({
  predicateType,
  builder,
  source,
  digest,
}: ReturnType<typeof attestationsOf>[number]): string {
  const by = builder === undefined ? "" : ` by ${builder}`;
  const from = source === undefined ? "" : ` from ${source}`;
  return `${predicateType}${by}${from} (${digest})`;
}

function toJson({ id, manifest, importTime, verification, oci }: Facts) {
  return {
    id,
    name: manifest.name,
    labels: manifest.labels,
    import_time: nanoseconds(importTime),
    verification,
    attestations: attestationsOf(verification),
    app: manifest.app,
    oci,
  };
}
