// SPDX-License-Identifier: Apache-2.0
// `rkt tool docker2aci`: the tool of that name.
import type { Run } from "../command.ts";
import { runDocker2aci } from "../docker2aci.ts";

export const run: Run = ({ context, args }) => runDocker2aci({ ...context.host, args });
