// SPDX-License-Identifier: Apache-2.0
// `rkt explain` (ours): what `rkt run` with the same words would do. It goes the way of `run --dry-run`: the pod is
// prepared, planned and discarded, so that what it says is what would be done.
import type { ImageKey, Isolator } from "../../appc/index.ts";
import { networkMode, parseNetList } from "../../network/net-list.ts";
import { planFacts } from "../../stage1/plan/facts.ts";
import type { ImageVerification, Store } from "../../store/index.ts";
import type { Run } from "../command.ts";
import { type AppExplanation, type Explanation, explanationText } from "../explanation.ts";
import type { explainFlags } from "../flag-sets.ts";
import { formatJson } from "../json.ts";
import { type PlannedPod, runPod } from "./run.ts";

export const run: Run<typeof explainFlags> = (words) => {
  const { context, flags } = words;
  const warnings: string[] = [];
  const { reporter } = context;
  const collecting = {
    ...reporter,
    line(module: string, text: string): void {
      if (text.startsWith("warning: ")) warnings.push(text.slice("warning: ".length));
      else reporter.line(module, text);
    },
  };
  return runPod(
    {
      ...words,
      flags: { ...flags, "dry-run": true, "uuid-file-save": "" },
      // The plan names the command that its sentences are for.
      context: { ...context, reporter: collecting, commandName: "run" },
    },
    async (planned) => {
      const explanation = explain(planned, await context.store(), {
        network: flags.net,
        warnings,
        plan: flags.plan ? await planLines(planned) : undefined,
      });
      const { format } = flags;
      return format === "" ? explanationText(explanation) : `${formatJson(explanation, format)}\n`;
    },
  );
};

/** The pod that is explained has a UUID for a moment only. */
function withoutUuid(text: string, { uuid }: PlannedPod): string {
  // In the names of cgroups its dashes are escaped as systemd does it.
  return text.replaceAll(uuid, "UUID").replaceAll(uuid.replaceAll("-", "\\x2d"), "UUID");
}

async function planLines(planned: PlannedPod): Promise<string[]> {
  const { describePlan } = await import("../../stage1/plan/describe.ts");
  return withoutUuid(describePlan(planned.plan), planned).split("\n");
}

function explain(
  planned: PlannedPod,
  store: Store,
  more: Pick<Explanation, "network" | "warnings" | "plan">,
): Explanation {
  const { plan, manifest, apps } = planned;
  const facts = planFacts(plan);
  return {
    apps: facts.apps.map((app, i): AppExplanation => {
      const prepared = apps[i];
      if (prepared === undefined) throw new Error("an app of the plan that is not in the pod");
      const [image, ...dependencies] = imagesOf(prepared.key, store);
      if (image === undefined) throw new Error("an app without an image");
      return {
        name: app.name,
        image,
        dependencies,
        user: { uid: app.uid, gid: app.gid, supplementary_gids: app.groups },
        exec: app.exec,
        pre_start: app.preStart.length === 0 ? undefined : app.preStart,
        post_stop: app.postStop.length === 0 ? undefined : app.postStop,
        working_directory: app.workingDirectory,
        environment: app.environment,
        read_only_rootfs: app.readOnlyRoot,
        mounts: app.mounts.map(({ readOnly, ...mount }) => ({ ...mount, read_only: readOnly })),
        capabilities: app.capabilities,
        no_new_privileges: app.noNewPrivileges,
        seccomp: app.seccomp ?? null,
        security_label: app.label,
        limits: limitsOf(prepared.app.isolators),
        hidden_paths: app.hiddenPaths,
        read_only_paths: app.readOnlyPaths,
      };
    }),
    limits: limitsOf(manifest.isolators),
    hostname: withoutUuid(facts.hostname, planned),
    namespaces: namespacesOf(facts.namespaces, more.network),
    ...more,
  };
}

/** stage1 makes a network namespace for `none` alone: that of a pod that joins networks is there before it starts. */
function namespacesOf(made: readonly string[], network: string): readonly string[] {
  return networkMode(parseNetList(network)) === "own" ? [...made, "network"] : made;
}

/** The image, then what it depends on. */
function imagesOf(key: ImageKey, store: Store) {
  const keys = [key, ...store.flatten(key).filter((other) => other !== key)];
  return keys.map((each) => {
    const { name, labels } = store.manifest(each);
    const version = labels.find((label) => label.name === "version")?.value;
    const verification: ImageVerification = store.verification(each);
    return { id: store.record(each).id, name, version, verification };
  });
}

/** Isolators with a section of their own in what is printed. */
const ELSEWHERE = /^os\/linux\/(capabilities|seccomp)-|^os\/linux\/no-new-privileges$/;

const limitsOf = (isolators: readonly Isolator[]) =>
  isolators.filter(({ name }) => !ELSEWHERE.test(name)).map(({ name, value }) => ({ name, value }));
