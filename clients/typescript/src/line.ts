import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";

import { type Backlog, encodeRequest } from "./backlog.js";
import { Backoff, pause } from "./backoff.js";
import { RecorderError, unavailable } from "./errors.js";
import { CompletedSchema, type Opened, type Stopped, StoppedSchema } from "./gen/recorder/v1/media_pb.js";
import type { OpenCallSchema, RecordCallResponse, StartCall } from "./gen/recorder/v1/recorder_service_pb.js";
import { PauseMode, type Recording, RecordingState, StopReason } from "./gen/recorder/v1/recording_pb.js";
import type { CallStream } from "./stream.js";

/** How a call is sent. */
export interface CallSettings {
  /** Media time in one message, 1 to 5000 ms: longer costs less, shorter loses less when the client dies. 100. */
  messageMs: number;
  /** Longest wait for an acknowledgement, 50 to 10000 ms. 500. */
  ackIntervalMs: number;
  /** What may wait for acknowledgement; `Call.write` waits while it is exceeded. 8 MiB. */
  bufferBytes: number;
  /** How long to go on trying to reach the server before the recording was opened, ms. 5 s. */
  connectForMs: number;
  /** How long to go on trying after the line broke, ms. 2 min. */
  reconnectForMs: number;
}

/** The settings of a call where nothing is said. */
export const DEFAULT_SETTINGS: Readonly<CallSettings> = {
  messageMs: 100,
  ackIntervalMs: 500,
  bufferBytes: 8 * 1024 * 1024,
  connectForMs: 5_000,
  reconnectForMs: 120_000,
};

/** What the server says, but acknowledgements. */
export type CallMessage = Exclude<RecordCallResponse["payload"], { case: "ack" } | { case: undefined }>;

/** What a line needs of the server. */
export interface LineServer {
  /** Starts the RPC, with a fresh token. */
  openStream(): Promise<CallStream<RecordCallResponse>>;
  /** Asks for the recording's state, for when its stream cannot be had back. */
  getRecording(recordingId: string, signal: AbortSignal): Promise<Recording>;
}

type Stream = CallStream<RecordCallResponse>;

const ANSWER_MS = 10_000;
const GOODBYE_MS = 1_000;
const OUTCOME_POLL_MS = 500;
const RUNNING = new Set([RecordingState.RECORDING, RecordingState.PAUSED, RecordingState.FINISHING]);
const ENDED = "RECORDING_NOT_LIVE";

/**
 * The line of one call to the server: opened, lost, resumed and replayed until the recording is completed. Sends what
 * is in the backlog over one stream after another, and hands on what the server says.
 */
export class Line {
  /** The answer to the newest opening; undefined until there is one. */
  opened: Opened | undefined;
  /** What ended the recording; undefined while it runs. */
  stopped: Stopped | undefined;
  /** The recording in its last state; undefined until then. */
  completed: Recording | undefined;
  /** Set once hang-up was asked for: the line then stays with a server that is going down. */
  closing = false;

  readonly #start: StartCall;
  readonly #settings: CallSettings;
  readonly #backlog: Backlog;
  readonly #server: LineServer;
  readonly #onMessage: (message: CallMessage) => void;
  readonly #reconnecting: Backoff;

  /**
   * Prepare a line; nothing is sent before `run`.
   *
   * @param start - What to record, with a recording id.
   * @param onMessage - Is given every message but acknowledgements.
   */
  constructor(
    start: StartCall,
    settings: CallSettings,
    backlog: Backlog,
    server: LineServer,
    onMessage: (message: CallMessage) => void,
  ) {
    this.#start = start;
    this.#settings = settings;
    this.#backlog = backlog;
    this.#server = server;
    this.#onMessage = onMessage;
    this.#reconnecting = new Backoff(settings.reconnectForMs);
  }

  /**
   * Hold the line until the recording is completed.
   *
   * @throws RecorderError if the server refused the call, or could not be reached for too long; the signal's reason
   * when it is aborted.
   */
  async run(signal: AbortSignal): Promise<void> {
    const connecting = new Backoff(this.#settings.connectForMs);
    while (this.completed === undefined) {
      try {
        await this.#connect(signal);
      } catch (error) {
        signal.throwIfAborted();
        const ended = error instanceof RecorderError && error.reason === ENDED;
        if (this.opened !== undefined && ended) this.#catchUp(await this.#outcome(signal));
        else await (this.opened === undefined ? connecting : this.#reconnecting).wait(error, signal);
      }
    }
  }

  /** Hold one stream until the recording is completed or the stream breaks. */
  async #connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const stream = await this.#server.openStream();
    const sending = new AbortController();
    const abort = () => {
      stream.cancel(signal.reason);
      sending.abort();
    };
    signal.addEventListener("abort", abort);
    // It may have come while the stream was opened.
    if (signal.aborted) abort();
    try {
      await this.#converse(stream, sending.signal);
    } finally {
      signal.removeEventListener("abort", abort);
      sending.abort();
      stream.cancel(unavailable("the stream was given up"));
    }
  }

  async #converse(stream: Stream, sending: AbortSignal): Promise<void> {
    const late = unavailable(`the server did not answer within ${ANSWER_MS / 1000} s`);
    const answer = await within(ANSWER_MS, () => { stream.cancel(late); }, async () => {
      void stream.send(this.#opening(), sending).catch(() => undefined);
      return stream.receive();
    });
    const sequence = this.#accept(answer);
    void this.#replay(stream, sequence, sending);
    await this.#receive(stream);
  }

  #opening(): Buffer {
    const { recordingId } = this.#start;
    const target: MessageInitShape<typeof OpenCallSchema>["target"] =
      this.opened === undefined ? { case: "start", value: this.#start } : { case: "resume", value: { recordingId } };
    const ackInterval = durationFromMs(this.#settings.ackIntervalMs);
    return encodeRequest(this.opened === undefined ? 1 : 0, { case: "open", value: { target, ackInterval } });
  }

  /** Take the answer to the opening and give the sequence to send from. */
  #accept(answer: RecordCallResponse | undefined): number {
    if (answer === undefined) throw unavailable("the server ended the stream before it answered");
    const { payload } = answer;
    if (payload.case !== "opened") {
      throw new RecorderError("INVALID_MESSAGE", `the server answered \`open\` with ${String(payload.case)}`);
    }
    const expected = Number(payload.value.nextSequence);
    const { firstSequence, nextSequence } = this.#backlog;
    if (this.stopped === undefined && expected > nextSequence) {
      throw new RecorderError(
        "SEQUENCE_GAP",
        `the server expects message ${expected} of ${this.#start.recordingId}, but ${firstSequence} to ` +
          `${nextSequence} are at hand; does another client write to it?`,
        { status: "OUT_OF_RANGE" },
      );
    }
    this.opened = payload.value;
    this.#reconnecting.succeeded();
    this.#onMessage(payload);
    // What was acknowledged is gone here. If damage took it there, the server goes on without it.
    return Math.max(expected, firstSequence);
  }

  async #replay(stream: Stream, sequence: number, sending: AbortSignal): Promise<void> {
    try {
      for (let next = sequence; ; next += 1) await stream.send(await this.#backlog.get(next, sending), sending);
    } catch (error) {
      // Aborted when the stream broke; whoever reads it learns why. Anything else is told there too.
      if (!sending.aborted) stream.cancel(error);
    }
  }

  async #receive(stream: Stream): Promise<void> {
    for (;;) {
      const message = await stream.receive();
      if (message === undefined) throw unavailable("the server ended the stream before the recording was completed");
      this.#take(message.payload);
      if (this.completed !== undefined) {
        await part(stream);
        return;
      }
    }
  }

  #take(payload: RecordCallResponse["payload"]): void {
    switch (payload.case) {
      case undefined:
        return;
      case "ack":
        this.#backlog.acknowledge(Number(payload.value.sequence));
        return;
      case "stopped":
        this.stopped = payload.value;
        this.#backlog.close();
        break;
      case "completed":
        this.completed = payload.value.recording;
        this.#backlog.close();
        break;
      default:
    }
    this.#onMessage(payload);
    if (payload.case === "drain" && !this.closing && this.stopped === undefined) {
      const { retryAfter } = payload.value;
      const retryAfterMs = retryAfter === undefined ? undefined : durationMs(retryAfter);
      throw unavailable("the server is going down", { retryAfterMs });
    }
  }

  /** Tell what the server told while nobody could hear it. */
  #catchUp(recording: Recording): void {
    if (this.stopped === undefined) this.#take({ case: "stopped", value: endOf(recording) });
    this.#take({ case: "completed", value: create(CompletedSchema, { recording }) });
  }

  /** Wait for the last state of a recording whose stream is gone for good. */
  async #outcome(signal: AbortSignal): Promise<Recording> {
    this.#backlog.close();
    for (;;) {
      try {
        const recording = await this.#server.getRecording(this.#start.recordingId, signal);
        this.#reconnecting.succeeded();
        if (!RUNNING.has(recording.state)) return recording;
      } catch (error) {
        await this.#reconnecting.wait(error, signal);
        continue;
      }
      await pause(OUTCOME_POLL_MS, signal);
    }
  }
}

/** Say as `stopped` would have where a recording ended: what cut pauses took out of its file counts too. */
function endOf(recording: Recording): Stopped {
  let frame = recording.file?.frames ?? 0n;
  for (const { mode, startFrame, endFrame } of recording.pauses) {
    if (mode === PauseMode.CUT) frame += (endFrame ?? startFrame) - startFrame;
  }
  return create(StoppedSchema, { reason: recording.stopReason ?? StopReason.UNSPECIFIED, frame });
}

/** Let a stream end by itself; nothing depends on it any more. */
async function part(stream: Stream): Promise<void> {
  stream.end();
  try {
    await within(GOODBYE_MS, () => { stream.cancel(unavailable("the server did not end the stream")); }, async () => {
      while ((await stream.receive()) !== undefined);
    });
  } catch {
    return;
  }
}

async function within<T>(limitMs: number, onLate: () => void, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(onLate, limitMs);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}
