// SPDX-License-Identifier: Apache-2.0
// Runs stage1 itself on a plan, without rkt around it: for the tests of src/stage1. Pods live in a temporary
// directory, under a mount namespace of their own, with tests/payload/inspect.c as their program.
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { App, Isolator, Mount, MountPoint, Volume } from "../../src/appc/index.ts";
import { type InsecureOptions, SECURE } from "../../src/lib/insecure-options.ts";
import { appEnvironment } from "../../src/stage1/environment.ts";
import { compileEnterPlan, compilePlan } from "../../src/stage1/plan/compile.ts";
import type { PlanApp, PlanInput } from "../../src/stage1/plan/input.ts";
import { encodePlan, type Plan } from "../../src/stage1/plan/wire.ts";
import type { SeccompFilter } from "../../src/stage1/seccomp/filter.ts";

const STAGE1 = resolve(import.meta.dir, "../../build/stage1");
const INSPECT = resolve(import.meta.dir, "../../build/inspect");

/** Why pods cannot run here, or undefined. Tests print it and skip. */
export function cannotRunPods(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  if (!existsSync(STAGE1) || !existsSync(INSPECT)) return "needs `make -C stage1 all`";
  return undefined;
}

export interface TestApp {
  readonly name?: string;
  /** Facts for `inspect`, or the whole argv when the first word is absolute. */
  readonly run: readonly string[];
  readonly rootfs?: "overlay" | "directory";
  readonly uid?: number;
  readonly gid?: number;
  readonly groups?: readonly number[];
  readonly workingDirectory?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly isolators?: readonly { readonly name: string; readonly value: unknown }[];
  readonly mounts?: readonly { readonly volume: string; readonly path: string }[];
  readonly mountPoints?: readonly {
    readonly name: string;
    readonly path: string;
    readonly readOnly?: boolean;
  }[];
  readonly readOnly?: boolean;
  readonly preStart?: readonly string[];
  readonly postStop?: readonly string[];
  /** None unless it says so. */
  readonly filter?: SeccompFilter;
}

export interface TestPodOptions extends Partial<Omit<PlanInput, "apps" | "pod" | "insecure">> {
  readonly volumes?: readonly object[];
  readonly insecure?: Partial<InsecureOptions>;
}

export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
}

const command = (words: readonly string[]) =>
  words[0]?.startsWith("/") === true
    ? { path: words[0], args: words.slice(1) }
    : { path: "/inspect", args: words };

/** A directory with an image (`image/`) and pods; disposing it removes everything. */
export class TestPod implements Disposable {
  readonly base = mkdtempSync(join(tmpdir(), "stage1-"));
  /** The image's root: tests put into it what they need. */
  readonly image = join(this.base, "image");
  readonly dir = join(this.base, "pod");
  #apps: PlanApp[] = [];

  constructor() {
    mkdirSync(this.image);
    mkdirSync(this.dir);
    copyFileSync(INSPECT, join(this.image, "inspect"));
  }

  [Symbol.dispose](): void {
    rmSync(this.base, { recursive: true, force: true });
  }

  /** A file of the pod directory; undefined when there is none. */
  read(path: string): string | undefined {
    const full = join(this.dir, path);
    return existsSync(full) ? readFileSync(full, "utf8") : undefined;
  }

  status(app = "app"): string | undefined {
    return this.read(`stage1/rootfs/rkt/status/${app}`);
  }

  plan(apps: readonly TestApp[], options: TestPodOptions = {}): Plan {
    this.#apps = apps.map((app) => this.#planApp(app));
    const { volumes, insecure, ...rest } = options;
    return compilePlan({
      commandName: "run",
      uuid: "00000000-0000-4000-8000-000000000001",
      network: "none",
      hostname: "rkt-test",
      interactive: false,
      logPrefix: "auto",
      graceMs: 5000,
      ...rest,
      insecure: { ...SECURE, ...insecure },
      pod: { volumes: (volumes ?? []) as readonly Volume[] } as PlanInput["pod"],
      apps: this.#apps,
    });
  }

  #planApp(test: TestApp): PlanApp {
    const name = test.name ?? "app";
    const app: App = {
      exec: [],
      eventHandlers: [],
      user: "0",
      group: "0",
      supplementaryGIDs: [],
      workingDirectory: test.workingDirectory ?? "",
      environment: Object.entries(test.environment ?? {}).map(([n, value]) => ({ name: n, value })),
      mountPoints: (test.mountPoints ?? []).map((p) => ({ readOnly: false, ...p })) as MountPoint[],
      ports: [],
      isolators: (test.isolators ?? []) as Isolator[],
      userAnnotations: {},
      userLabels: {},
    };
    const upper = join(this.dir, "overlay", name, "upper");
    const work = join(this.dir, "overlay", name, "work");
    mkdirSync(upper, { recursive: true });
    mkdirSync(work, { recursive: true });
    return {
      runtime: {
        name,
        image: { labels: [] },
        readOnlyRootFS: test.readOnly ?? false,
        mounts: (test.mounts ?? []) as readonly Mount[],
        annotations: [],
      } as unknown as PlanApp["runtime"],
      app,
      rootfs:
        test.rootfs === "directory"
          ? { kind: "directory", path: this.image }
          : { kind: "overlay", lowers: [this.image], upper, work },
      ids: { uid: test.uid ?? 0, gid: test.gid ?? 0, supplementaryGids: test.groups ?? [] },
      command: command(test.run),
      preStart: test.preStart === undefined ? undefined : command(test.preStart),
      postStop: test.postStop === undefined ? undefined : command(test.postStop),
      environment: appEnvironment(app, { appName: name }),
      filter: test.filter,
    };
  }

  /** The shell words that become stage1 with this plan. */
  #shell(plan: Plan, how: "run" | "enter"): string[] {
    const file = join(this.base, `${how}.plan`);
    writeFileSync(file, encodePlan(plan));
    const words =
      how === "run"
        ? `exec 8<"$2" 9<"$1"; cd "$2"; exec "$0" run 9 8 pod -`
        : `exec 9<"$1"; exec "$0" enter 9 pod`;
    return ["unshare", "-m", "--propagation", "slave", "sh", "-c", words, STAGE1, file, this.dir];
  }

  spawn(plan: Plan, stdin: "ignore" | "pipe" = "ignore") {
    return Bun.spawn(this.#shell(plan, "run"), { stdin, stdout: "pipe", stderr: "pipe" });
  }

  /** Words for Bun.spawn with a terminal. */
  words(plan: Plan): string[] {
    return this.#shell(plan, "run");
  }

  async run(apps: readonly TestApp[], options: TestPodOptions = {}): Promise<Outcome> {
    return await outcome(this.spawn(this.plan(apps, options)));
  }

  /** Waits until every app executes; then the words that enter one. */
  async enterWords(
    argv: readonly string[],
    options: {
      readonly index?: number;
      readonly cgroup?: string;
      readonly terminal?: boolean;
    } = {},
  ): Promise<string[]> {
    const app = this.#apps[options.index ?? 0];
    if (app === undefined) throw new Error("no such app");
    await this.wait("stage1/rootfs/rkt/supervisor-status");
    const plan = compileEnterPlan({
      commandName: "enter",
      app,
      podPid: Number(await this.wait("pid")),
      appPid: Number(await this.wait(`stage1/rootfs/rkt/pids/${app.runtime.name}`)),
      argv,
      terminal: options.terminal ?? false,
      insecure: SECURE,
      cgroup: options.cgroup,
    });
    return this.#shell(plan, "enter");
  }

  async enter(...args: Parameters<TestPod["enterWords"]>): Promise<Outcome> {
    const words = await this.enterWords(...args);
    return await outcome(Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe" }));
  }

  /** The content of a pod file ("" for the symbolic link `supervisor-status`), as soon as it is there. */
  async wait(path: string): Promise<string> {
    for (;;) {
      // The link's target is the word "ready", which is no file.
      if (path.endsWith("supervisor-status")) {
        if (lstatSync(join(this.dir, path), { throwIfNoEntry: false }) !== undefined) return "";
      } else {
        const text = this.read(path);
        if (text !== undefined && text !== "") return text;
      }
      await Bun.sleep(5);
    }
  }
}

export async function outcome(child: {
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  readonly exited: Promise<number>;
}): Promise<Outcome> {
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, status };
}
