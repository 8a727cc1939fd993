import { durationFromMs } from "@bufbuild/protobuf/wkt";

import { Backlog, type Payload } from "./backlog.js";
import { pause } from "./backoff.js";
import { RecorderError } from "./errors.js";
import { type Frame, toFrameField, toFrameNumber } from "./frames.js";
import { Gate } from "./gate.js";
import type { Opened, Stopped } from "./gen/recorder/v1/media_pb.js";
import type { StartCall } from "./gen/recorder/v1/recorder_service_pb.js";
import type { PauseMode, Recording } from "./gen/recorder/v1/recording_pb.js";
import { type CallMessage, type CallSettings, Line, type LineServer } from "./line.js";
import { Mailbox } from "./mailbox.js";
import { Packer } from "./packer.js";

const UNREAD_MESSAGES = 1024;
const PARTING_MS = 2_000;

/**
 * A recording that runs; `Client.recordCall` begins one. Leave it with `await using`, or with `leave` in a `finally`.
 *
 * A line that breaks is taken up again by itself, and what is not acknowledged is sent again. What the methods are
 * given is sent in the order of the calls, awaited or not. A failure for good is told by whichever of them is awaited
 * next, by `completed` and by `events`; promises that nobody awaits never end the process.
 */
export class Call implements AsyncDisposable {
  /** The recording's id. */
  readonly recordingId: string;

  readonly #messageMs: number;
  readonly #packer: Packer;
  readonly #backlog: Backlog;
  readonly #line: Line;
  readonly #messages = new Mailbox<CallMessage>(UNREAD_MESSAGES);
  readonly #leaving = new AbortController();
  readonly #ready = new Gate(false);
  readonly #done = new Gate(false);
  readonly #running: Promise<void>;
  readonly #durableFrames = new Map<string, number>();
  #tail: Promise<void> = Promise.resolve();
  #flushTimer: NodeJS.Timeout | undefined;
  #failure: { error: unknown } | undefined;
  #left = false;

  /**
   * Begin a call.
   *
   * @internal
   */
  private constructor(start: StartCall, settings: CallSettings, server: LineServer, signal: AbortSignal | undefined) {
    this.recordingId = start.recordingId;
    this.#messageMs = settings.messageMs;
    this.#packer = new Packer(start.legs, settings.messageMs);
    for (const { legId } of start.legs) this.#durableFrames.set(legId, 0);
    this.#backlog = new Backlog(settings.bufferBytes);
    this.#line = new Line(start, settings, this.#backlog, server, (message) => {
      this.#messages.put(message);
      this.#ready.set(true);
    });
    this.#running = this.#run(signal);
  }

  /**
   * Begin a call, and wait until the recording exists.
   *
   * @internal
   */
  static async begin(start: StartCall, settings: CallSettings, server: LineServer, signal?: AbortSignal): Promise<Call> {
    signal?.throwIfAborted();
    const call = new Call(start, settings, server, signal);
    await call.#ready.wait();
    call.#check();
    return call;
  }

  /** The server's answer to the newest opening: the options in force, and warnings. */
  get opened(): Opened | undefined {
    return this.#line.opened;
  }

  /** What ended the recording; undefined while it runs. From then on what is written is dropped. */
  get stopped(): Stopped | undefined {
    return this.#line.stopped;
  }

  /**
   * What is safe: by leg id, the end of the furthest audio that the server has on disk, in the leg's own rate. It never
   * decreases. It stays where it is once the recording has stopped: then `completed` tells what was kept.
   */
  get durableFrames(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#durableFrames);
  }

  /** What waits to be acknowledged, bytes: bounded by `bufferBytes` and one message. */
  get unacknowledgedBytes(): number {
    return this.#backlog.sizeBytes;
  }

  /**
   * Write one or more legs' audio, of any length. The promise waits while too much is unacknowledged: await it before
   * the next write, or memory is bounded by nothing. Leave the buffers as they are until then.
   *
   * @param payloads - Encoded samples by leg id.
   * @param frames - Position of the first sample by leg id, in the leg's own rate since the recording began, from the
   * media clock. A leg that is not named goes on where its last chunk ended.
   * @returns A promise that rejects with the RecorderError if the call failed for good.
   * @throws RangeError at once, if a leg is unknown or a payload is not a whole number of frames.
   */
  write(payloads: Readonly<Record<string, Uint8Array>>, frames: Readonly<Record<string, Frame>> = {}): Promise<void> {
    for (const [legId, payload] of Object.entries(payloads)) this.#packer.check(legId, payload, frames[legId]);
    return this.#inOrder(() => this.#write(payloads, frames));
  }

  /**
   * Tell of a key press.
   *
   * @param legId - Leg that pressed it.
   * @param digit - 0-9, *, #, A-D.
   * @param options - When the key went down, in the leg's own rate (by default where the leg's audio stands), and how
   * long it was held.
   * @throws RangeError at once, if the leg is unknown.
   */
  dtmf(legId: string, digit: string, options: { frame?: Frame | undefined; durationMs?: number | undefined } = {}): Promise<void> {
    const given = toFrameField(options.frame, "frame").frame;
    this.#packer.position(legId);
    const held = options.durationMs === undefined ? {} : { duration: durationFromMs(options.durationMs) };
    return this.#inOrder(() => {
      const frame = given ?? BigInt(this.#packer.position(legId));
      return this.#send({ case: "dtmf", value: { legId, digit, frame, ...held } });
    });
  }

  /**
   * Stop keeping audio.
   *
   * @param options - From which frame (16 kHz; by default from now), and what takes the place of the audio (by default
   * silence).
   */
  pause(options: { mode?: PauseMode | undefined; frame?: Frame | undefined } = {}): Promise<void> {
    const mode = options.mode === undefined ? {} : { mode: options.mode };
    const value = { ...mode, ...toFrameField(options.frame, "frame") };
    return this.#inOrder(() => this.#send({ case: "control", value: { action: { case: "pause", value } } }));
  }

  /** Keep audio again, from `frame` (16 kHz) or from now. */
  resume(options: { frame?: Frame | undefined } = {}): Promise<void> {
    const value = toFrameField(options.frame, "frame");
    return this.#inOrder(() => this.#send({ case: "control", value: { action: { case: "resume", value } } }));
  }

  /** End the recording at `frame` (16 kHz) or at the last audio. */
  stop(options: { frame?: Frame | undefined } = {}): Promise<void> {
    const value = toFrameField(options.frame, "frame");
    return this.#inOrder(() => this.#send({ case: "control", value: { action: { case: "stop", value } } }));
  }

  /**
   * Hang up at `frame` (16 kHz) or at the last audio, and wait until that is durable: nothing written is lost from then
   * on, whatever becomes of this program.
   */
  close(options: { frame?: Frame | undefined; signal?: AbortSignal | undefined } = {}): Promise<void> {
    const value = toFrameField(options.frame, "frame");
    return this.#inOrder(async () => {
      this.#line.closing = true;
      await this.#send({ case: "close", value });
      await this.#backlog.acknowledged(options.signal);
      this.#check();
    });
  }

  /**
   * Wait for the recording's last state: available, empty or failed.
   *
   * @returns A promise that rejects with the RecorderError if the call failed for good, or was left.
   */
  completed(options: { signal?: AbortSignal | undefined } = {}): Promise<Recording> {
    return handled(this.#completed(options.signal));
  }

  /**
   * Give the server's messages except acknowledgements, until the recording is completed: `opened` again after every
   * lost line, `play` with a beep for the caller's ear, `stopped`, `completed`, `drain`. Reading them is optional; only
   * the newest 1024 are kept. For one reader.
   *
   * @throws RecorderError if the call failed for good.
   */
  async *events(): AsyncGenerator<CallMessage, void, undefined> {
    for (;;) {
      const message = await this.#messages.take();
      if (message === undefined) break;
      yield message;
    }
    if (!this.#left) this.#check();
  }

  /**
   * Wait until everything written so far is on the server's disk, or the recording has stopped.
   *
   * @returns A promise that rejects with the RecorderError if the call failed for good.
   */
  durable(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    return this.#inOrder(async () => {
      this.#flush();
      await this.#backlog.acknowledged(options.signal);
      this.#check();
    });
  }

  /**
   * Give the call up, after two seconds at most in which what was written becomes durable. It is no hang-up: without
   * `close` before, the recording is interrupted, waits for the server's resume window and is then finished. Once the
   * recording is completed it does nothing. Never rejects.
   */
  async leave(): Promise<void> {
    await this.#save();
    this.#left = true;
    const message = "the call was left before its recording was completed";
    this.#leaving.abort(new RecorderError("CALL_LEFT", message, { status: "CANCELLED" }));
    await this.#running;
  }

  /** The same as `leave`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }

  /** Hold the line to its end, whatever that is. Never rejects. */
  async #run(signal: AbortSignal | undefined): Promise<void> {
    const abort = () => { this.#leaving.abort(signal?.reason); };
    signal?.addEventListener("abort", abort);
    try {
      await this.#line.run(this.#leaving.signal);
    } catch (error) {
      this.#failure = { error };
    } finally {
      signal?.removeEventListener("abort", abort);
      clearTimeout(this.#flushTimer);
      this.#backlog.close();
      this.#messages.close();
      this.#ready.set(true);
      this.#done.set(true);
    }
  }

  async #write(payloads: Readonly<Record<string, Uint8Array>>, frames: Readonly<Record<string, Frame>>): Promise<void> {
    const queues = Object.entries(payloads).map(([legId, payload]) => {
      const frame = frames[legId];
      const first = frame === undefined ? undefined : toFrameNumber(frame, `frame of leg ${legId}`);
      return { legId, first, pieces: this.#packer.pieces(legId, payload) };
    });
    for (let left = queues; left.length > 0;) {
      left = left.filter((queue) => {
        const piece = queue.pieces.next();
        if (piece.done === true) return false;
        this.#packer.add(queue.legId, piece.value, queue.first);
        queue.first = undefined;
        return true;
      });
      await this.#pack();
    }
  }

  async #pack(): Promise<void> {
    if (this.#packer.due) this.#flush();
    // Audio that stays alone must not wait for more: the recording may end with it.
    else if (!this.#packer.empty) this.#flushTimer ??= setTimeout(() => { this.#flush(); }, this.#messageMs);
    await this.#backlog.room();
    this.#check();
  }

  #flush(): void {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    if (this.#packer.empty) return;
    const { audio, ends } = this.#packer.take();
    this.#backlog.add({ case: "audio", value: audio }, () => {
      for (const [legId, end] of ends) this.#durableFrames.set(legId, Math.max(end, this.#durableFrames.get(legId) ?? 0));
    });
  }

  async #send(payload: Payload): Promise<void> {
    this.#check();
    this.#flush();
    this.#backlog.add(payload);
    await this.#backlog.room();
    this.#check();
  }

  /** Let what was written become durable; a program that failed does not wait for long. */
  async #save(): Promise<void> {
    const saved = new AbortController();
    const late = pause(PARTING_MS, saved.signal).catch(() => undefined);
    await Promise.race([late, this.durable().catch(() => undefined)]);
    saved.abort();
  }

  async #completed(signal: AbortSignal | undefined): Promise<Recording> {
    await this.#done.wait(signal);
    this.#check();
    if (this.#line.completed === undefined) throw new RecorderError("INVALID_MESSAGE", "the server completed no recording");
    return this.#line.completed;
  }

  /** Run tasks one after another; a promise that nobody awaits does no harm. */
  #inOrder(task: () => Promise<void>): Promise<void> {
    const done = this.#tail.then(task);
    this.#tail = done.catch(() => undefined);
    return done;
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
