// SPDX-License-Identifier: Apache-2.0
// The grammar of image arguments: images, the flags after each, its app's own arguments between `--` and
// `---`, and the mounts of all apps (rkt-cli §4). Words in, typed requests out; nothing is looked up here.
import { type Mount, parseACIdentifier } from "../appc/index.ts";
import type { AppOverrides } from "../pod/generate-manifest.ts";
import type { appFlags, runImageFlags } from "./flag-sets.ts";
import {
  applyFlag,
  type FlagSpecs,
  type FlagValues,
  isFlagWord,
  own,
  type SetContext,
  scanFlag,
} from "./flags.ts";
import { UsageError } from "./usage-error.ts";

export type MountRequest = Mount;

/** One image with everything that was said about it. */
export interface ImageRequest {
  /** As typed: hash, name, URL or path. */
  readonly image: string;
  /** A local file with the detached signature. */
  readonly signature: string | undefined;
  readonly overrides: AppOverrides;
  /** Modes of the app's streams (RKT_EXPERIMENT_ATTACH). */
  readonly streams: {
    readonly stdin: string | undefined;
    readonly stdout: string | undefined;
    readonly stderr: string | undefined;
  };
}

export interface ImageArguments {
  /** Values of the command's own flags, by name. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly given: ReadonlySet<string>;
  readonly deprecated: readonly string[];
  readonly images: readonly ImageRequest[];
  /** --mount before the first image. */
  readonly mounts: readonly MountRequest[];
  readonly help: boolean;
}

export interface ImageGrammar {
  /** Pod-level and global flags. */
  readonly flags: FlagSpecs;
  /** Flags that belong to the image before them. */
  readonly imageFlags: FlagSpecs;
  /** May `--` follow an image? Not for fetch. */
  readonly appArguments: boolean;
}

interface Draft {
  readonly image: string;
  args: string[] | undefined;
  readonly values: Record<string, unknown>;
}

/**
 * Parses all words of run, prepare, fetch and app add. Errors in flags before the first image are
 * UsageErrors as they are (the caller prints usage); later ones are `error parsing app image arguments`.
 */
export function parseImageArguments(
  words: readonly string[],
  grammar: ImageGrammar,
  context: Omit<SetContext, "given">,
): ImageArguments {
  const state = new State(grammar, context);
  let index = 0;
  let leading = true;
  while (index < words.length) {
    const word = words[index] ?? "";
    try {
      if (isFlagWord(word) && word !== "---") {
        index = state.flag(words, index);
        continue;
      }
      leading = false;
      if (word === "--") index = state.appArguments(words, index + 1);
      else {
        // A stray `---` and an empty word are not images.
        if (word !== "---" && word !== "") state.image(word);
        index++;
      }
    } catch (error) {
      if (leading || !(error instanceof UsageError)) throw error;
      throw new UsageError(
        "IMAGE_ARGUMENT_INVALID",
        `error parsing app image arguments: ${error.message}`,
      );
    }
  }
  return state.finish();
}

class State {
  readonly #grammar: ImageGrammar;
  readonly #all: FlagSpecs;
  readonly #context: SetContext;
  readonly #given = new Set<string>();
  readonly #values: Record<string, unknown> = {};
  readonly #deprecated: string[] = [];
  readonly #drafts: Draft[] = [];
  #mounts: unknown = [];

  constructor(grammar: ImageGrammar, context: Omit<SetContext, "given">) {
    this.#grammar = grammar;
    this.#all = { ...grammar.flags, ...grammar.imageFlags };
    this.#context = { ...context, given: this.#given };
    for (const [name, flag] of Object.entries(grammar.flags)) this.#values[name] = flag.initial;
  }

  flag(words: readonly string[], index: number): number {
    const flag = scanFlag(words, index, this.#all);
    if (flag.spec.deprecated !== undefined) this.#deprecated.push(flag.name);
    if (own(this.#grammar.imageFlags, flag.name) === undefined) {
      this.#values[flag.name] = applyFlag(flag, this.#values[flag.name], this.#context);
      this.#given.add(flag.name);
      return flag.next;
    }
    const draft = this.#drafts.at(-1);
    if (draft !== undefined) {
      const previous = draft.values[flag.name] ?? flag.spec.initial;
      draft.values[flag.name] = applyFlag(flag, previous, this.#context);
    } else if (flag.name === "mount") {
      this.#mounts = applyFlag(flag, this.#mounts, this.#context);
      this.#given.add("mount");
    } else {
      throw new UsageError("IMAGE_ARGUMENT_INVALID", `--${flag.name} must follow an image`);
    }
    return flag.next;
  }

  image(word: string): void {
    this.#drafts.push({ image: word, args: undefined, values: {} });
  }

  /** From the word after `--` to the one after `---`, or to the end. */
  appArguments(words: readonly string[], from: number): number {
    const fail = (message: string): never => {
      throw new UsageError("IMAGE_ARGUMENT_INVALID", message);
    };
    if (!this.#grammar.appArguments) fail("app arguments unsupported");
    const draft = this.#drafts.at(-1);
    if (draft === undefined) return fail("an image is required before any app arguments");
    if (draft.args !== undefined) fail("only one set of app arguments allowed per image");
    const end = words.indexOf("---", from);
    draft.args = words.slice(from, end < 0 ? words.length : end);
    return end < 0 ? words.length : end + 1;
  }

  finish(): ImageArguments {
    const images = this.#drafts.map(toRequest);
    // Only the flag's parser fills it.
    const mounts = this.#mounts as readonly MountRequest[];
    const help = this.#values["help"] === true;
    if (!help) {
      const all = [...mounts, ...images.flatMap((image) => image.overrides.mounts)];
      checkMounts(all, this.#values["volume"]);
    }
    return {
      values: this.#values,
      given: this.#given,
      deprecated: this.#deprecated,
      images,
      mounts,
      help,
    };
  }
}

function checkMounts(mounts: readonly MountRequest[], volumes: unknown): void {
  const names = new Set<string>();
  if (Array.isArray(volumes)) for (const volume of volumes) names.add(volume.name);
  for (const mount of mounts) {
    if (mount.appVolume === undefined && !names.has(mount.volume)) {
      throw new UsageError(
        "IMAGE_ARGUMENT_INVALID",
        `error parsing app image arguments: dangling mount point ${JSON.stringify(mount.path)}: volume ${JSON.stringify(mount.volume)} not found`,
      );
    }
  }
}

type Values = Partial<
  FlagValues<ReturnType<typeof runImageFlags>> &
    FlagValues<ReturnType<typeof appFlags>> & { readonly "mnt-volume": readonly Mount[] }
>;

function toRequest(draft: Draft): ImageRequest {
  // `values` was filled by exactly these flags' parsers.
  const values = draft.values as Values;
  const retain = joined(values["caps-retain"], values["cap-retain"]);
  const remove = joined(values["caps-remove"], values["cap-remove"]);
  if (retain !== undefined && remove !== undefined) {
    throw new UsageError(
      "IMAGE_ARGUMENT_INVALID",
      "error parsing app image arguments: cannot use both --caps-retain and --caps-remove on the same image",
    );
  }
  return {
    image: draft.image,
    signature: values.signature,
    streams: { stdin: values.stdin, stdout: values.stdout, stderr: values.stderr },
    overrides: {
      name: values.name,
      exec: values.exec,
      args: draft.args ?? [],
      workingDirectory: values["working-dir"],
      readOnlyRootFS: values["readonly-rootfs"],
      mounts: [...(values.mount ?? []), ...(values["mnt-volume"] ?? [])],
      user: values.user,
      group: values.group,
      supplementaryGIDs: values["supplementary-gids"],
      annotations: entries(values.annotation).map(([name, value]) => ({
        name: parseACIdentifier(name),
        value,
      })),
      userAnnotations: record(values["user-annotation"]),
      userLabels: record(values["user-label"]),
      environment: entries(values.environment).map(([name, value]) => ({ name, value })),
      memory: values.memory,
      cpu: values.cpu,
      cpuShares: values["cpu-shares"],
      oomScoreAdj: values["oom-score-adj"],
      capsRetain: retain,
      capsRemove: remove,
      seccomp: values.seccomp,
    },
  };
}

function joined(
  a: readonly string[] | undefined,
  b: readonly string[] | undefined,
): readonly string[] | undefined {
  return a === undefined ? b : b === undefined ? a : [...a, ...b];
}

function entries(map: ReadonlyMap<string, string> | undefined): [string, string][] {
  return map === undefined ? [] : [...map];
}

function record(
  map: ReadonlyMap<string, string> | undefined,
): Readonly<Record<string, string>> | undefined {
  return map === undefined ? undefined : Object.fromEntries(map);
}
