import { randomUUID } from "node:crypto";

import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";

import { Call } from "./call.js";
import { Download, type DownloadOptions, downloadTo, type OpenDownload } from "./download.js";
import { RecorderError } from "./errors.js";
import { ApplicationService } from "./gen/recorder/v1/application_service_pb.js";
import { EventService } from "./gen/recorder/v1/event_service_pb.js";
import { RecorderService, type StartCall, StartCallSchema } from "./gen/recorder/v1/recorder_service_pb.js";
import type {
  EncoderOptionsSchema,
  LegSchema,
  Recording,
  RecordingFile,
  RecordOptionsSchema,
} from "./gen/recorder/v1/recording_pb.js";
import { RecordingService } from "./gen/recorder/v1/recording_service_pb.js";
import { WebhookService } from "./gen/recorder/v1/webhook_service_pb.js";
import { type CallSettings, DEFAULT_SETTINGS } from "./line.js";
import { type RequestOptions, Rpc, type Tls, type Token, type UnaryClient } from "./rpc.js";
import { Subscription, type SubscriptionOptions } from "./subscription.js";

/** How a client reaches its server. */
export interface ClientOptions {
  /** The application's or the admin's token, or a supplier of fresh ones. */
  token?: Token;
  /** Trust; absent means plaintext. */
  tls?: Tls | undefined;
}

/** What to record. */
export interface CallStart {
  /** Id of the recording, a UUID; absent means a new one, so that a lost answer does no harm. */
  recordingId?: string | undefined;
  /** Conversation the call belongs to, `CON-` and a UUID; absent lets the server make one. */
  conversationId?: string | undefined;
  /** Application that owns the recording; only with the admin's token. */
  applicationId?: string | undefined;
  /** The parties: exactly one CALLER and at most one CALLEE. */
  legs: readonly MessageInitShape<typeof LegSchema>[];
  /** The NCCO `record` action as it is; see `recordAction`. Give this or `typed`, or neither for all defaults. */
  ncco?: JsonObject | undefined;
  /** The options, typed. */
  typed?: MessageInitShape<typeof RecordOptionsSchema> | undefined;
  /** Encoder settings. */
  encoder?: MessageInitShape<typeof EncoderOptionsSchema> | undefined;
  /** Free labels kept with the recording and echoed in its events. */
  metadata?: Readonly<Record<string, string>> | undefined;
}

/** How to record it. */
export interface CallOptions extends Partial<CallSettings> {
  /** Gives the call up, like `Call.leave`; what waits rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** A connection to one Recorder server; it is made with the first request. Close it in the end. */
export class Client implements Disposable {
  /** The unary methods of ApplicationService, which need the admin's token. */
  readonly applications: UnaryClient<typeof ApplicationService>;
  /** The unary methods of RecordingService. */
  readonly recordings: UnaryClient<typeof RecordingService>;
  /** The methods of WebhookService. */
  readonly webhooks: UnaryClient<typeof WebhookService>;
  readonly #rpc: Rpc;

  /**
   * Prepare a connection.
   *
   * @param target - `HOST:PORT` of the server's gRPC port.
   */
  constructor(target: string, options: ClientOptions = {}) {
    this.#rpc = new Rpc(target, options.token, options.tls);
    this.applications = this.#rpc.service(ApplicationService);
    this.recordings = this.#rpc.service(RecordingService);
    this.webhooks = this.#rpc.service(WebhookService);
  }

  /**
   * Record a call.
   *
   * @returns The call, once its recording exists.
   * @throws RecorderError if the server refused it or could not be reached within `connectForMs`.
   * @throws RangeError if there are no legs, or a setting is out of its range.
   */
  async recordCall(start: CallStart, options: CallOptions = {}): Promise<Call> {
    const { signal, ...settings } = options;
    const server = {
      openStream: () => this.#rpc.duplex(RecorderService.method.recordCall),
      getRecording: (recordingId: string, ended: AbortSignal) => this.recording(recordingId, { signal: ended }),
    };
    return Call.begin(startCall(start), { ...DEFAULT_SETTINGS, ...withoutUndefined(settings) }, server, signal);
  }

  /** Follow the event feed, across lost connections, by iterating the result. */
  subscribe(options: SubscriptionOptions = {}): Subscription {
    return new Subscription(options, (request, signal) =>
      this.#rpc.serverStream(EventService.method.subscribeEvents, request, signal),
    );
  }

  /**
   * Get one recording as it stands.
   *
   * @throws RecorderError if there is none for this token, or the server could not be reached.
   */
  async recording(recordingId: string, options?: RequestOptions): Promise<Recording> {
    const { recording } = await this.recordings.getRecording({ recordingId }, options);
    if (recording === undefined) throw new RecorderError("INVALID_MESSAGE", "the server answered without a recording");
    return recording;
  }

  /** Download a finished file in pieces, across lost connections, by iterating the result. */
  download(recordingId: string, options: DownloadOptions = {}): Download {
    return new Download(this.#openDownload(recordingId), options);
  }

  /**
   * Download a finished file to `path`. What is not complete is kept beside it, as `PATH.part`, and gone on with the
   * next time; the file itself appears when it is whole and its SHA-256 was checked.
   *
   * @returns The file's facts.
   * @throws RecorderError if there is no such file, or the server could not be reached for too long.
   */
  async downloadTo(recordingId: string, path: string, options: DownloadOptions = {}): Promise<RecordingFile> {
    const { file } = await this.recording(recordingId, { signal: options.signal });
    if (file === undefined) throw new RecorderError("FILE_NOT_FOUND", "the recording has no file", { status: "NOT_FOUND" });
    await downloadTo(path, file, this.#openDownload(recordingId), options);
    return file;
  }

  /** Close the connection; what runs over it ends. */
  close(): void {
    this.#rpc.close();
  }

  /** The same as `close`, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #openDownload(recordingId: string): OpenDownload {
    return (offsetBytes, signal) => {
      const request = { recordingId, offsetBytes: BigInt(offsetBytes) };
      return this.#rpc.serverStream(RecordingService.method.downloadRecording, request, signal);
    };
  }
}

function startCall({ recordingId, legs, ncco, typed, metadata, ...rest }: CallStart): StartCall {
  if (ncco !== undefined && typed !== undefined) throw new TypeError("give either ncco or typed");
  const common = {
    ...withoutUndefined(rest),
    recordingId: recordingId ?? randomUUID(),
    legs: [...legs],
    metadata: { ...metadata },
  };
  if (ncco !== undefined) return create(StartCallSchema, { ...common, options: { case: "ncco", value: ncco } });
  if (typed !== undefined) return create(StartCallSchema, { ...common, options: { case: "typed", value: typed } });
  return create(StartCallSchema, common);
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const given = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(given) as { [K in keyof T]: Exclude<T[K], undefined> };
}
