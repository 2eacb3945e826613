// SPDX-License-Identifier: Apache-2.0
// `rkt version` (rkt-cli §5.16). The labels are those that scripts look for; there is no Go in here.
import { COMMIT, SPECIFICATION, VERSION } from "../../lib/version.ts";
import type { Run } from "../command.ts";

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };

export const run: Run = ({ context }) => {
  const arch = ARCHITECTURES[process.arch] ?? process.arch;
  context.out(
    [
      `rkt Version: ${VERSION}`,
      `appc Version: ${SPECIFICATION}`,
      `Go Version: none (Bun ${Bun.version})`,
      `Go OS/Arch: ${process.platform}/${arch}`,
      "Features: -TPM -SDJOURNAL",
      ...(COMMIT === "" ? [] : [`Commit: ${COMMIT}`]),
      "",
    ].join("\n"),
  );
  return 0;
};
