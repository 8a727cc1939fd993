/**
 * Client for Recorder, the call-recording service. The generated messages are in `recorder-client/v1`.
 *
 * @packageDocumentation
 */

export type { Call } from "./call.js";
export { type CallOptions, type CallStart, Client, type ClientOptions } from "./client.js";
export type { Download, DownloadOptions, DownloadProgress } from "./download.js";
export { RecorderError, type RecorderErrorDetails } from "./errors.js";
export type { Frame } from "./frames.js";
export { type Event, EventType } from "./gen/recorder/v1/event_pb.js";
export {
  AudioEncoding,
  FileFormat,
  type Leg,
  LegRole,
  PauseMode,
  type Recording,
  type RecordingFile,
  RecordingSchema,
  RecordingState,
  Split,
  StopReason,
} from "./gen/recorder/v1/recording_pb.js";
export type { CallMessage, CallSettings } from "./line.js";
export { findRecordAction, type RecordAction, recordAction, type RecordActionOptions } from "./ncco.js";
export type { RequestOptions, Tls, Token, UnaryClient } from "./rpc.js";
export type { Subscription, SubscriptionOptions } from "./subscription.js";
export { applicationToken, type TokenOptions } from "./tokens.js";
export { readWav, type WavAudio } from "./wav.js";
export { type VerifiedWebhook, verifyWebhook, type WebhookFault, WebhookRejected, type WebhookToVerify } from "./webhooks.js";
export { toJson } from "@bufbuild/protobuf";
