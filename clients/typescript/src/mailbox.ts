import { Gate } from "./gate.js";

/** The newest messages for a reader that may be slow, or not there at all: the oldest make room. */
export class Mailbox<Message> {
  readonly #limit: number;
  readonly #messages: Message[] = [];
  readonly #ready = new Gate(false);
  #closed = false;

  /** Keep at most `limit` messages. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Keep a message. */
  put(message: Message): void {
    if (this.#messages.length >= this.#limit) this.#messages.shift();
    this.#messages.push(message);
    this.#ready.set(true);
  }

  /** Say that no more come. */
  close(): void {
    this.#closed = true;
    this.#ready.set(true);
  }

  /** Give the next message, waiting for it; undefined once the last was given and no more come. */
  async take(): Promise<Message | undefined> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined || this.#closed) return message;
      this.#ready.set(false);
      await this.#ready.wait();
    }
  }
}
