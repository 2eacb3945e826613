// SPDX-License-Identifier: Apache-2.0
// Which app of a pod a command means: the only one, or the one that --app names (rkt-cli §5.9).
import type { PodManifest, RuntimeApp } from "../appc/index.ts";
import { quote } from "../lib/text.ts";
import { Stage0Error } from "./errors.ts";

/** `command` is the word for the remedy, e.g. "enter". */
export function selectApp(
  manifest: PodManifest,
  name: string | undefined,
  command: string,
): RuntimeApp {
  const apps = manifest.apps;
  if (name !== undefined && name !== "") {
    const app = apps.find((app) => app.name === name);
    if (app !== undefined) return app;
    throw new Stage0Error("APP_SELECTION", `app ${quote(name)} is not in the pod`, {
      remedy: `one of: ${apps.map((app) => app.name).join(", ")}`,
    });
  }
  const [only] = apps;
  if (only === undefined) throw new Stage0Error("APP_SELECTION", "pod contains zero apps");
  if (apps.length === 1) return only;
  const list = apps.map((app) => `\n\t${app.name}`).join("");
  throw new Stage0Error("APP_SELECTION", `pod contains multiple apps:${list}`, {
    remedy: `specify app using "rkt ${command === "exec" ? "app exec" : command} --app= ..."`,
  });
}
