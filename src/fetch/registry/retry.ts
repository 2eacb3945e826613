// SPDX-License-Identifier: Apache-2.0
// When a request is tried again, and how long is waited before: twice as long each time, by chance a little
// less, so that many machines do not come back together. A server's Retry-After decides where it gives one.
import { FetchError } from "../errors.ts";

/** Tries of one request, or of one blob without a byte of progress. */
const MAX_TRIES = 5;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;
/** Who says to come back later than this has said no. */
const LONGEST_RETRY_AFTER = 120_000;

/** An answer that says: not now. `retryAfter` in milliseconds, where the server said it. */
export class BusyError extends FetchError {
  readonly retryAfter: number | undefined;

  constructor(
    message: string,
    options: {
      readonly limited: boolean;
      readonly retryAfter: number | undefined;
      readonly remedy?: string | undefined;
      readonly details: Readonly<Record<string, unknown>>;
    },
  ) {
    super(options.limited ? "REGISTRY_RATE_LIMIT" : "HTTP_STATUS", message, options);
    this.retryAfter = options.retryAfter;
  }
}

function isTransient(error: unknown): error is FetchError {
  if (error instanceof BusyError) return true;
  if (!(error instanceof FetchError)) return false;
  switch (error.code) {
    case "BODY_SHORT":
    case "TIMEOUT":
      return true;
    case "CONNECTION_FAILED":
      // A name that does not exist, a port where nobody listens, or a server without TLS is the same in ten seconds.
      return !/refused|EPROTO|ENOTFOUND|NONAME|NODATA|FailedToOpenSocket/i.test(
        String(error.details?.["code"]),
      );
    default:
      return false;
  }
}

/** Milliseconds to wait before the next try, the first being 1; undefined when there is to be none. */
export function pauseBefore(
  tries: number,
  error: unknown,
  random: () => number = Math.random,
): number | undefined {
  if (tries >= MAX_TRIES || !isTransient(error)) return undefined;
  if (error instanceof BusyError && error.retryAfter !== undefined) {
    return error.retryAfter > LONGEST_RETRY_AFTER ? undefined : error.retryAfter;
  }
  const full = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1));
  return full * (0.5 + random() / 2);
}

export interface Tries {
  /** One try is no retry; 5 when left out. */
  readonly most?: number;
  readonly pause: (milliseconds: number) => Promise<unknown>;
  /** Told before each pause, with its length. */
  readonly onPause: (text: string, milliseconds: number) => void;
}

/** Runs `work` until it succeeds, fails for good, or has been tried often enough. */
export async function withTries<T>(work: () => Promise<T>, tries: Tries): Promise<T> {
  for (let n = 1; ; n++) {
    try {
      return await work();
    } catch (error) {
      if (n >= (tries.most ?? MAX_TRIES)) throw error;
      await pauseOrThrow(n, error, tries);
    }
  }
}

/** Waits for the next try; throws the error when there is to be none. */
export async function pauseOrThrow(n: number, error: unknown, tries: Tries): Promise<void> {
  const pause = pauseBefore(n, error);
  if (pause === undefined) throw error;
  const what = error instanceof Error ? error.message : "";
  tries.onPause(`${what}: trying again in ${(pause / 1000).toFixed(1)} s`, pause);
  await tries.pause(pause);
}

/** Milliseconds from now of a Retry-After header: seconds, or a date. */
export function parseRetryAfter(header: string | null, now: number): number | undefined {
  const text = header?.trim() ?? "";
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000;
  const date = /^[A-Z][a-z]{2}, /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
