// SPDX-License-Identifier: Apache-2.0
// One operation, disturbed at each of its places in turn, always from the same state; and what must hold after
// each disturbance: right away, after gc, and for whoever uses the data directory next.
import { newRkt, type Rkt, type RunOptions } from "../support/rkt.ts";
import {
  choosePlaces,
  type Fault,
  findAgain,
  findPlaces,
  type Injected,
  inject,
  type Place,
} from "./inject.ts";
import { orphans, Reference, remains, waste } from "./sound.ts";

export interface Operation {
  readonly name: string;
  /** Makes the state from which the command starts. */
  readonly before: (rkt: Rkt) => Promise<void>;
  /** The command; asked after `before`, because it may name a pod that was made there. */
  readonly args: (rkt: Rkt) => readonly string[];
  readonly options?: RunOptions;
  /** State that a copy of files does not bring back: runs before each disturbance. */
  readonly each?: (rkt: Rkt) => Promise<void>;
  /** Ends what `each` began; runs before garbage is collected. */
  readonly calm?: (rkt: Rkt) => Promise<void>;
  /** What must work afterwards, when garbage has been collected; throws when it does not. */
  readonly after: (rkt: Rkt) => Promise<void>;
  /** A download that breaks off stays, to be continued. */
  readonly keepsPartial?: boolean;
  /** The command takes something away: when it fails, the rest of that is for gc. */
  readonly removes?: boolean;
  /** Its own work is done in no fixed order, so that more places are not met again. */
  readonly isParallel?: boolean;
  /** Failures of this operation that it may survive with status 0. */
  readonly survives?: RegExp;
  /** Places that are not this operation's business. */
  readonly leaveOut?: RegExp;
}

/** As many as cores in the smallest machine that tests run on. */
const STATIONS = 2;

/** Disturbs the operation everywhere and gives a line for each thing that was wrong. */
export async function disturb(
  operation: Operation,
  kinds: readonly Fault[],
): Promise<readonly string[]> {
  const problems: string[] = [];
  const stations = await Promise.all(
    Array.from({ length: STATIONS }, () => Station.open(operation)),
  );
  try {
    const [first] = stations;
    if (first === undefined) throw new Error("no station");
    const all = await first.findPlaces();
    const chosen = choosePlaces(all).filter(
      ({ about }) => operation.leaveOut?.test(about) !== true,
    );
    const jobs = kinds.flatMap((fault) =>
      chosen.filter((place) => canFail(place, fault)).map((place) => ({ place, fault })),
    );
    const missed: string[] = [];
    const work = async (station: Station): Promise<void> => {
      if (station !== first) await station.findPlaces();
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
        const what = `${job.fault} at ${job.place.about}`;
        const found = await station.disturb(job.place, job.fault);
        if (found === "missed") missed.push(what);
        else problems.push(...found.map((text) => `${what}: ${text}`));
      }
    };
    const count = jobs.length;
    const results = await Promise.allSettled(
      stations.map((station) =>
        work(station).finally(() => {
          // The others need not go on when one has failed.
          jobs.length = 0;
        }),
      ),
    );
    for (const result of results) if (result.status === "rejected") throw result.reason;
    const disturbed = `${count - missed.length} disturbed (${kinds.join(", ")})`;
    console.log(`${operation.name}: ${all.length} calls of ${chosen.length} kinds, ${disturbed}`);
    for (const what of missed) console.log(`  not reached: ${what}`);
    // One of several may always be a thread that the runtime did not start this time.
    const tolerated = Math.max(1, count / (operation.isParallel === true ? 4 : 10));
    if (missed.length > tolerated || (count > 0 && missed.length === count))
      problems.push(`${missed.length} places were not reached`);
  } finally {
    for (const station of stations) await station[Symbol.asyncDispose]();
  }
  return problems;
}

/** Calls that make something fail on a full disk; what only reads or removes fails on a bad one. */
const NEEDS_SPACE =
  /^(rename|renameat2?|link|linkat|symlink|symlinkat|mkdir|mkdirat|mknodat|open|openat|p?writev?(64)?|copy_file_range|ftruncate|f?sync|fdatasync|syncfs|f?setxattr)$/;
/**
 * Failures that nobody need notice: ftruncate(2) to the size that a new file has anyway (the runtime's own
 * writeFile), what SQLite does for the sake of order, and the cache of names.
 */
const SURVIVED =
  /^ftruncate |^(fchmod|fchown) .*-journal$|^fsync \/data\/LAYOUT$|\/cas\/db\/names\.json$/;
/** A death before one of these leaves what a death before the next call that is not one of these leaves. */
const KEEPS_STATE = /^(fchmod|fchown|fchownat|lchown|utimensat|flock)$/;
const NEVER_FAILS = /^(clone3|execve|flock|unshare|setns)$/;

function canFail({ call, about }: Place, fault: Fault): boolean {
  if (fault === "KILL") return !KEEPS_STATE.test(call);
  if (NEVER_FAILS.test(call) || about.includes("/memfd:")) return false;
  return NEEDS_SPACE.test(call) === (fault === "ENOSPC");
}

class Station implements AsyncDisposable {
  readonly rkt: Rkt;
  readonly reference = new Reference();
  readonly #operation: Operation;
  readonly #saved: string;
  #args: readonly string[] = [];

  static async open(operation: Operation): Promise<Station> {
    const station = new Station(operation);
    await operation.before(station.rkt);
    station.#args = operation.args(station.rkt);
    station.reference.learn(station.rkt);
    await run(["cp", "-a", station.rkt.data, `${station.#saved}/data`]);
    await run(["cp", "-a", station.rkt.local, `${station.#saved}/local`]);
    return station;
  }

  private constructor(operation: Operation) {
    this.#operation = operation;
    this.rkt = newRkt({ keepsPartial: operation.keepsPartial === true });
    this.#saved = `${this.rkt.work}/saved`;
    Bun.spawnSync(["mkdir", this.#saved]);
  }

  /** Runs the command undisturbed; also to learn what is whole here, because a pod may be this station's own. */
  async findPlaces(): Promise<readonly Place[]> {
    await this.#restore();
    const places = await findPlaces(this.rkt, this.#args, this.#operation.options);
    this.reference.learn(this.rkt);
    await this.#settle();
    return places;
  }

  async disturb(place: Place, fault: Fault): Promise<readonly string[] | "missed"> {
    const { rkt } = this;
    const operation = this.#operation;
    const result = await this.#inject(place, fault);
    if (result === "missed") return "missed";
    const problems: string[] = [];
    const keepsPartial = operation.keepsPartial === true;
    problems.push(...this.reference.broken(rkt));
    if (fault !== "KILL") {
      problems.push(...wording(result));
      const survives = [SURVIVED, operation.survives].some((each) => each?.test(place.about));
      if (result.status === 0 && !survives) problems.push("status 0");
      const isRemoval = operation.removes || /^(unlink|unlinkat|rmdir|umount2) /.test(place.about);
      if (result.status !== 0 && !isRemoval)
        problems.push(...waste(rkt, { keepsPartial, keystore: true }));
    }
    const must = async (args: readonly string[]): Promise<void> => {
      const { status, stderr } = await rkt.run(args);
      if (status !== 0) problems.push(`then "rkt ${args.join(" ")}" gives ${status}: ${stderr}`);
      if (isBug(stderr)) problems.push(`then "rkt ${args.join(" ")}" has a bug: ${stderr}`);
    };
    if (fault === "KILL") {
      // A reader that comes first sees nothing odd.
      await must(["list", "--full"]);
      await must(["image", "list"]);
    }
    await operation.calm?.(rkt);
    await must(["gc", "--grace-period=0s", "--expire-prepared=0s"]);
    problems.push(...this.reference.broken(rkt), ...waste(rkt, { keepsPartial }));
    await must(["image", "gc"]);
    problems.push(...this.reference.broken(rkt), ...orphans(rkt));
    try {
      await operation.after(rkt);
    } catch (error) {
      problems.push(`afterwards: ${(error as Error).message}`);
    }
    await must(["gc", "--grace-period=0s", "--expire-prepared=0s"]);
    await must(["image", "gc", "--grace-period=0s"]);
    problems.push(...remains(rkt));
    if (problems.length > 0) problems.push(`(it ended with ${result.status}: ${result.stderr})`);
    return problems;
  }

  async #inject(place: Place, fault: Fault): Promise<Injected | "missed"> {
    let aim: Place | undefined = place;
    for (let attempt = 0; attempt < 4 && aim !== undefined; attempt++) {
      await this.#restore();
      const options = { ...this.#operation.options, place: aim, fault };
      const result = await inject(this.rkt, this.#args, options);
      if (result !== "missed") return result;
      aim = findAgain(this.rkt, place);
      await this.#settle();
    }
    return "missed";
  }

  async #restore(): Promise<void> {
    const { rkt } = this;
    await run(
      [
        "sh",
        "-c",
        'rm -rf "$1" "$2" && cp -a "$3/data" "$1" && cp -a "$3/local" "$2"',
        "sh",
      ].concat(rkt.data, rkt.local, this.#saved),
    );
    await this.#operation.each?.(rkt);
  }

  async #settle(): Promise<void> {
    await this.#operation.calm?.(this.rkt);
    await this.rkt.ok(["gc", "--grace-period=0s", "--expire-prepared=0s"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rkt[Symbol.asyncDispose]();
  }
}

async function run(command: readonly string[]): Promise<void> {
  const child = Bun.spawn([...command], { stderr: "pipe" });
  if ((await child.exited) !== 0) throw new Error(`${command[0]}: ${await child.stderr.text()}`);
}

function isBug(stderr: string): boolean {
  return stderr.includes("this is a bug") || /^\s+at .*:\d+/m.test(stderr);
}

/** A failure is told in one sentence: `COMMAND: what failed: why`, a remedy below it at most. */
function* wording({ stderr, status, hits }: Injected): Iterable<string> {
  if (isBug(stderr)) yield `a bug is shown: ${stderr}`;
  if (status === 0) return;
  if (status !== 254) yield `status ${status}`;
  const why =
    /no space left on device|input\/output error|not enough space|disk is full|I\/O error|unable to open database file/i;
  const sentences = stderr.split("\n").filter((line) => why.test(line));
  if (sentences.length < 1 || sentences.length > hits)
    yield `${sentences.length} sentences about the failure`;
}
