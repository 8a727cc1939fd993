import { setTimeout as sleep } from "node:timers/promises";

import { RecorderError } from "./errors.js";

const FIRST_MS = 100;
const MOST_MS = 5_000;

/** Waits between tries: doubling from 100 ms to 5 s, with jitter, for a limited time since things last went well. */
export class Backoff {
  readonly #giveUpAfterMs: number;
  #failingSince: number | undefined;
  #nextMs = FIRST_MS;

  /**
   * Start as if things went well just now.
   *
   * @param giveUpAfterMs - How long to go on trying after the first failure.
   */
  constructor(giveUpAfterMs: number) {
    this.#giveUpAfterMs = giveUpAfterMs;
  }

  /** Forget the failures so far. */
  succeeded(): void {
    this.#failingSince = undefined;
    this.#nextMs = FIRST_MS;
  }

  /**
   * Sleep before the next try: as long as the server asked for, or longer each time.
   *
   * @throws `error` itself, where a retry does not help or the time is up; the signal's reason when it is aborted.
   */
  async wait(error: unknown, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (!(error instanceof RecorderError) || !error.retryable) throw error;
    const now = performance.now();
    this.#failingSince ??= now;
    // Jitter keeps the calls of one media server from coming back in one burst.
    const delayMs = Math.max(this.#nextMs * (0.5 + Math.random() / 2), error.retryAfterMs ?? 0);
    if (now + delayMs - this.#failingSince > this.#giveUpAfterMs) throw error;
    this.#nextMs = Math.min(2 * this.#nextMs, MOST_MS);
    await pause(delayMs, signal);
  }
}

/**
 * Sleep.
 *
 * @throws The signal's reason, when it is aborted first.
 */
export async function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleep(delayMs, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
