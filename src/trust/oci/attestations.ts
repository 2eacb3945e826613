// SPDX-License-Identifier: Apache-2.0
// Whether a signed statement is what a policy wants attached: an SLSA provenance of some builder and source, an SBOM.
import { quote } from "../../lib/text.ts";
import type { AttestationRule } from "../../oci/trust-policy.ts";
import { textAt } from "./fields.ts";
import type { Statement } from "./statement.ts";

const PROVENANCE = /^https:\/\/slsa\.dev\/provenance\/v(?:1(?:\.\d)?|0\.[12])$/;
const SPDX = /^https:\/\/spdx\.dev\/Document(?:\/v\d+\.\d+)?$/;
const CYCLONEDX = /^https:\/\/cyclonedx\.org\/bom(?:\/v\d+\.\d+)?$/;

export interface Provenance {
  readonly builder: string | undefined;
  readonly source: string | undefined;
}

/** Who built it, and of what; each undefined where the statement does not say. */
export function readProvenance({ predicate, predicateType }: Statement): Provenance {
  if (!PROVENANCE.test(predicateType)) return { builder: undefined, source: undefined };
  return {
    builder: textAt(predicate, "runDetails", "builder", "id") ?? textAt(predicate, "builder", "id"),
    source:
      textAt(predicate, "buildDefinition", "externalParameters", "workflow", "repository") ??
      textAt(predicate, "buildDefinition", "externalParameters", "source") ??
      textAt(predicate, "buildDefinition", "resolvedDependencies", 0, "uri") ??
      textAt(predicate, "invocation", "configSource", "uri") ??
      textAt(predicate, "materials", 0, "uri"),
  };
}

/** Why the statement is not what the rule wants; undefined: it is. `unrelated`: it is of another kind. */
export function refuseStatement(
  statement: Statement,
  rule: AttestationRule,
): string | undefined | "unrelated" {
  const { predicateType } = statement;
  if (rule.type === "sbom") {
    const format = SPDX.test(predicateType)
      ? "spdx"
      : CYCLONEDX.test(predicateType)
        ? "cyclonedx"
        : undefined;
    if (format === undefined) return "unrelated";
    if (rule.format !== undefined && format !== rule.format) return `it is in the format ${format}`;
    return undefined;
  }
  if (!PROVENANCE.test(predicateType)) return "unrelated";
  const { builder, source } = readProvenance(statement);
  if (rule.builder !== undefined && rule.builder !== builder) {
    return `it was built by ${quote(builder ?? "nobody who is named")}`;
  }
  if (rule.source !== undefined && !isSource(source, rule.source)) {
    return `it was built from ${quote(source ?? "a source that is not named")}`;
  }
  return undefined;
}

/** The same repository, at whatever revision: `git+https://host/x@refs/tags/v1` is of `git+https://host/x`. */
function isSource(found: string | undefined, wanted: string): boolean {
  if (found === undefined) return false;
  return found === wanted || found.startsWith(`${wanted}@`);
}

export function showRule(rule: AttestationRule): string {
  if (rule.type === "sbom")
    return rule.format === undefined ? "an SBOM" : `an SBOM (${rule.format})`;
  const parts = [
    ...(rule.builder === undefined ? [] : [`built by ${quote(rule.builder)}`]),
    ...(rule.source === undefined ? [] : [`from ${quote(rule.source)}`]),
  ];
  return ["a provenance", ...parts].join(" ");
}
