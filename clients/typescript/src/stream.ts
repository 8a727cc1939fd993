import type { ClientDuplexStream } from "@grpc/grpc-js";

import { fromRpcError } from "./errors.js";
import { Gate } from "./gate.js";

/** One stream of encoded requests and decoded answers, as promises. */
export class CallStream<Answer> {
  readonly #call: ClientDuplexStream<Buffer, Answer>;
  readonly #answers: AsyncIterator<Answer, undefined>;
  readonly #writable = new Gate(true);
  #cancelled: { reason: unknown } | undefined;

  /** Take over a stream. */
  constructor(call: ClientDuplexStream<Buffer, Answer>) {
    this.#call = call;
    // Whoever reads learns of errors; one that comes when nobody does must not end the process.
    call.on("error", () => undefined);
    call.on("drain", () => { this.#writable.set(true); });
    this.#answers = call[Symbol.asyncIterator]() as AsyncIterator<Answer, undefined>;
  }

  /**
   * Send a request, and wait until the transport takes more. A stream that breaks meanwhile is told by `receive`.
   *
   * @throws The signal's reason when it is aborted.
   */
  async send(request: Buffer, signal: AbortSignal): Promise<void> {
    if (!this.#call.write(request)) this.#writable.set(false);
    await this.#writable.wait(signal);
  }

  /**
   * Give the next answer; undefined when the server ended the stream in order.
   *
   * @throws RecorderError if the stream broke; the reason of `cancel` once that was called.
   */
  async receive(): Promise<Answer | undefined> {
    try {
      const next = await this.#answers.next();
      return next.done === true ? undefined : next.value;
    } catch (error) {
      throw this.#cancelled === undefined ? fromRpcError(error) : this.#cancelled.reason;
    }
  }

  /** Say that no more requests come. */
  end(): void {
    this.#call.end();
  }

  /** Give the stream up; reading it rejects with `reason` from then on. Only the first reason counts. */
  cancel(reason: unknown): void {
    this.#cancelled ??= { reason };
    this.#call.cancel();
  }
}
