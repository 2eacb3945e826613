// SPDX-License-Identifier: Apache-2.0
// What `rkt image rm` and `rkt image gc` say about images that are gone.
import type { ImageKey } from "../appc/index.ts";
import type { Context } from "./context.ts";

export function sayRemoved(context: Context, key: ImageKey): void {
  context.out(`successfully removed aci for image: "${key}"\n`);
}

export function sayCount(context: Context, count: number): void {
  if (count > 0) context.reporter.line("", `${count} image(s) successfully removed`);
}
