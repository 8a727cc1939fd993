import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import { Gate } from "./gate.js";
import { RecordCallRequestSchema } from "./gen/recorder/v1/recorder_service_pb.js";

/** What a request carries, before it has a number. */
export type Payload = NonNullable<MessageInitShape<typeof RecordCallRequestSchema>["payload"]>;

/** Give a request's bytes. */
export function encodeRequest(sequence: number, payload: Payload): Buffer {
  const bytes = toBinary(RecordCallRequestSchema, create(RecordCallRequestSchema, { sequence: BigInt(sequence), payload }));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * What was written but is not yet known to be durable: numbers requests and keeps each until it is acknowledged, so
 * that it can be sent again.
 *
 * The size is bounded softly: `room` waits while it is exceeded, and a request that has been let in is always taken.
 */
export class Backlog {
  readonly #maxBytes: number;
  // Insertion order is sequence order. A request is encoded once, however often it is sent.
  readonly #requests = new Map<number, { bytes: Buffer; onDurable: (() => void) | undefined }>();
  readonly #added = new Gate(false);
  readonly #room = new Gate(true);
  readonly #empty = new Gate(true);
  #sizeBytes = 0;
  #firstSequence = 2;
  #nextSequence = 2;
  #closed = false;

  /** Begin after the opening request, which has number 1. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The lowest number that is not acknowledged. */
  get firstSequence(): number {
    return this.#firstSequence;
  }

  /** The number that the next request will have. */
  get nextSequence(): number {
    return this.#nextSequence;
  }

  /** What is kept. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /**
   * Number a request and keep it; once closed, drop it.
   *
   * @param onDurable - Is called when it was acknowledged.
   */
  add(payload: Payload, onDurable?: () => void): void {
    if (this.#closed) return;
    const bytes = encodeRequest(this.#nextSequence, payload);
    this.#requests.set(this.#nextSequence, { bytes, onDurable });
    this.#nextSequence += 1;
    this.#sizeBytes += bytes.length;
    this.#settle();
    this.#added.set(true);
  }

  /** Drop everything up to and including `sequence`. */
  acknowledge(sequence: number): void {
    while (this.#firstSequence <= sequence && this.#firstSequence < this.#nextSequence) {
      const request = this.#requests.get(this.#firstSequence);
      this.#requests.delete(this.#firstSequence);
      this.#firstSequence += 1;
      this.#sizeBytes -= request?.bytes.length ?? 0;
      request?.onDurable?.();
    }
    this.#settle();
  }

  /** Drop everything and take nothing more: the recording has ended. */
  close(): void {
    this.#closed = true;
    this.#requests.clear();
    this.#firstSequence = this.#nextSequence;
    this.#sizeBytes = 0;
    this.#settle();
  }

  /** Give a request that is not acknowledged, waiting until it is there. For one sender at a time. */
  async get(sequence: number, signal: AbortSignal): Promise<Buffer> {
    for (;;) {
      const request = this.#requests.get(sequence);
      if (request !== undefined) return request.bytes;
      this.#added.set(false);
      await this.#added.wait(signal);
    }
  }

  /** Wait until less than the limit is kept. */
  async room(): Promise<void> {
    await this.#room.wait();
  }

  /** Wait until nothing is kept. */
  async acknowledged(signal?: AbortSignal): Promise<void> {
    await this.#empty.wait(signal);
  }

  #settle(): void {
    this.#room.set(this.#closed || this.#sizeBytes < this.#maxBytes);
    this.#empty.set(this.#requests.size === 0);
  }
}
