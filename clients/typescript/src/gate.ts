/** Something that can be waited for, and that can come and go. */
export class Gate {
  #open: boolean;
  readonly #waiting = new Set<() => void>();

  /** Begin open or shut. */
  constructor(open: boolean) {
    this.#open = open;
  }

  /** Open it and let everybody through, or shut it. */
  set(open: boolean): void {
    this.#open = open;
    if (open) for (const wake of [...this.#waiting]) wake();
  }

  /**
   * Wait until it is open. It may be shut again when the caller runs on: look again where that matters.
   *
   * @throws The signal's reason, when it is aborted first.
   */
  async wait(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#open) return;
    let stop: () => void = () => undefined;
    try {
      await new Promise<void>((resolve) => {
        stop = resolve;
        this.#waiting.add(resolve);
        signal?.addEventListener("abort", stop);
      });
    } finally {
      this.#waiting.delete(stop);
      signal?.removeEventListener("abort", stop);
    }
    signal?.throwIfAborted();
  }
}
