import type { MessageInitShape } from "@bufbuild/protobuf";

import { toFrameNumber, type Frame } from "./frames.js";
import type { AudioSchema } from "./gen/recorder/v1/media_pb.js";
import { AudioEncoding, type Leg } from "./gen/recorder/v1/recording_pb.js";

/** Most bytes that the server takes in one chunk. */
export const MAX_CHUNK_BYTES = 65_536;

/** What was held. */
export interface Packed {
  /** As one message. */
  readonly audio: MessageInitShape<typeof AudioSchema>;
  /** By leg, the end of its furthest audio, in the leg's own rate. */
  readonly ends: ReadonlyMap<string, number>;
}

interface Run {
  readonly startFrame: number;
  sizeBytes: number;
  readonly pieces: Uint8Array[];
}

interface LegState {
  readonly frameBytes: number;
  readonly dueBytes: number;
  nextFrame: number;
  heldBytes: number;
  runs: Run[];
}

/**
 * Packs what legs write into few messages, since a message costs more than its bytes: collects the chunks of all legs
 * until one leg holds `messageMs`, and keeps every leg's position.
 *
 * Consecutive chunks of a leg become one; a jump in its frames, or 64 KiB, begins another.
 */
export class Packer {
  readonly #legs = new Map<string, LegState>();
  #due = false;

  /**
   * Begin at frame 0 of every leg.
   *
   * @throws RangeError if `messageMs` is not within 1 to 5000, or there are no legs.
   */
  constructor(legs: readonly Leg[], messageMs: number) {
    if (!Number.isInteger(messageMs) || messageMs < 1 || messageMs > 5_000) {
      throw new RangeError(`messageMs is ${messageMs}; 1 to 5000 are possible`);
    }
    if (legs.length === 0) throw new RangeError("legs is empty; give at least the caller's");
    for (const leg of legs) {
      const frameBytes = leg.encoding === AudioEncoding.LINEAR16 ? 2 : 1;
      const dueBytes = Math.max(1, Math.floor((leg.sampleRateHz * messageMs) / 1000)) * frameBytes;
      this.#legs.set(leg.legId, { frameBytes, dueBytes, nextFrame: 0, heldBytes: 0, runs: [] });
    }
  }

  /** Whether a leg holds enough for a message. */
  get due(): boolean {
    return this.#due;
  }

  /** Whether nothing is held. */
  get empty(): boolean {
    return [...this.#legs.values()].every((leg) => leg.runs.length === 0);
  }

  /** Give the frame after the last one written of a leg, in the leg's own rate. */
  position(legId: string): number {
    return this.#known(legId).nextFrame;
  }

  /**
   * Check what is about to be written.
   *
   * @throws RangeError if the leg is unknown, the payload is not a whole number of frames, or the position is no integer.
   */
  check(legId: string, payload: Uint8Array, frame?: Frame): void {
    if (payload.byteLength % this.#known(legId).frameBytes !== 0) {
      throw new RangeError(`payload of leg ${legId} has ${payload.byteLength} bytes; a LINEAR16 frame has 2`);
    }
    if (frame !== undefined) toFrameNumber(frame, `frame of leg ${legId}`);
  }

  /** Cut a payload into pieces of at most one message, without copying. */
  *pieces(legId: string, payload: Uint8Array): Generator<Uint8Array> {
    const pieceBytes = Math.min(this.#known(legId).dueBytes, MAX_CHUNK_BYTES);
    for (let start = 0; start < payload.byteLength; start += pieceBytes) {
      yield payload.subarray(start, start + pieceBytes);
    }
  }

  /** Hold a copy of a piece; without `frame` it follows the leg's last one. */
  add(legId: string, piece: Uint8Array, frame?: Frame): void {
    const leg = this.#known(legId);
    const startFrame = frame === undefined ? leg.nextFrame : toFrameNumber(frame, `frame of leg ${legId}`);
    const last = leg.runs.at(-1);
    if (last !== undefined && startFrame === leg.nextFrame && last.sizeBytes + piece.byteLength <= MAX_CHUNK_BYTES) {
      last.pieces.push(new Uint8Array(piece));
      last.sizeBytes += piece.byteLength;
    } else {
      leg.runs.push({ startFrame, sizeBytes: piece.byteLength, pieces: [new Uint8Array(piece)] });
    }
    leg.nextFrame = startFrame + piece.byteLength / leg.frameBytes;
    leg.heldBytes += piece.byteLength;
    this.#due ||= leg.heldBytes >= leg.dueBytes;
  }

  /** Give everything held as one message and hold nothing. */
  take(): Packed {
    const chunks = [];
    const ends = new Map<string, number>();
    for (const [legId, leg] of this.#legs) {
      for (const { startFrame, sizeBytes, pieces } of leg.runs) {
        chunks.push({ legId, startFrame: BigInt(startFrame), payload: Buffer.concat(pieces) });
        ends.set(legId, Math.max(ends.get(legId) ?? 0, startFrame + sizeBytes / leg.frameBytes));
      }
      leg.runs = [];
      leg.heldBytes = 0;
    }
    this.#due = false;
    return { audio: { chunks }, ends };
  }

  #known(legId: string): LegState {
    const leg = this.#legs.get(legId);
    if (leg === undefined) {
      throw new RangeError(`leg ${JSON.stringify(legId)} is not one of this call's: ${[...this.#legs.keys()].join(", ")}`);
    }
    return leg;
  }
}
