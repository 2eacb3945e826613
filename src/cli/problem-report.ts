// SPDX-License-Identifier: Apache-2.0
// What a list could not show, after the list, on stderr (rkt-cli §5.4).
import { AC_VERSION } from "../appc/index.ts";

export function problemReport(what: "pods" | "images", problems: readonly string[]): string {
  const head = `${problems.length} error(s) encountered when listing ${what}:`;
  return [
    head,
    "-".repeat(head.length),
    ...problems,
    "",
    "misc:",
    `  rkt's appc version: ${AC_VERSION}`,
    "",
  ].join("\n");
}
