import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { status as Status, type ServiceError } from "@grpc/grpc-js";

import { ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";

const DETAILS_KEY = "grpc-status-details-bin";
const UNAVAILABLE = "UNAVAILABLE";
// A new try heals these, whatever the server says of waiting.
const RETRYABLE_REASONS = new Set(["SUBSCRIBER_TOO_SLOW", "WINDOW_EXCEEDED"]);
// What grpc-js makes of a stream that broke, by the way in which it broke. Recorder's own refusals carry an ErrorInfo.
const BROKEN = new Set([Status.CANCELLED, Status.INTERNAL, Status.UNKNOWN]);

/** What is known of a failure beside its reason and message. */
export interface RecorderErrorDetails {
  /** Name of the canonical gRPC status. */
  status?: string | undefined;
  /** Facts for machines. */
  metadata?: Readonly<Record<string, string>> | undefined;
  /** How long the server asks to wait, ms. */
  retryAfterMs?: number | undefined;
  /** What it came from. */
  cause?: unknown;
}

/** What the server refused, or what kept a request from reaching it. The only error that requests reject with. */
export class RecorderError extends Error {
  /** Tells it from other errors where the class is not at hand. */
  override readonly name = "RecorderError";
  /**
   * A value of `recorder.v1.ErrorReason` without its prefix, `INVALID_FIELD` say. Where no Recorder answered (no
   * connection, a proxy) it is the name of the gRPC status, `UNAVAILABLE` say. `CALL_LEFT` says that the call was left
   * by this program.
   */
  readonly reason: string;
  /** Name of the canonical gRPC status, `INVALID_ARGUMENT` say. */
  readonly status: string;
  /** Facts for machines: `field` and `value` where one field is at fault, `expected_sequence`, ... */
  readonly metadata: Readonly<Record<string, string>>;
  /** How long the server asks to wait before a retry, ms; undefined where it did not say. */
  readonly retryAfterMs: number | undefined;

  /** Describe a failure. */
  constructor(reason: string, message: string, details: RecorderErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = reason;
    this.status = details.status ?? "UNKNOWN";
    this.metadata = details.metadata ?? {};
    this.retryAfterMs = details.retryAfterMs;
  }

  /** Whether the same request may succeed later: the server is away, or said when to come back. */
  get retryable(): boolean {
    return this.status === UNAVAILABLE || this.retryAfterMs !== undefined || RETRYABLE_REASONS.has(this.reason);
  }
}

/** Describe a connection that was lost without a status of its own. */
export function unavailable(message: string, details: RecorderErrorDetails = {}): RecorderError {
  return new RecorderError(UNAVAILABLE, message, { ...details, status: UNAVAILABLE });
}

/** Read the status and its details (google.rpc.ErrorInfo, RetryInfo) out of a failed RPC; other errors stay as they are. */
export function fromRpcError(error: unknown): unknown {
  if (!isServiceError(error)) return error;
  const told = readDetails(error);
  const status = Status[error.code];
  const message = error.details || `the server answered ${status}`;
  if (told.reason === undefined && BROKEN.has(error.code)) return unavailable(message, { cause: error });
  return new RecorderError(told.reason ?? status, message, {
    status,
    metadata: told.metadata,
    retryAfterMs: told.retryAfterMs,
    cause: error,
  });
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "metadata" in error;
}

function readDetails(error: ServiceError): RecorderErrorDetails & { reason?: string } {
  const told: RecorderErrorDetails & { reason?: string } = {};
  const [packed] = error.metadata.get(DETAILS_KEY);
  if (!Buffer.isBuffer(packed)) return told;
  for (const detail of fromBinary(StatusSchema, packed).details) {
    const info = anyUnpack(detail, ErrorInfoSchema);
    if (info !== undefined) Object.assign(told, { reason: info.reason, metadata: info.metadata });
    const retry = anyUnpack(detail, RetryInfoSchema);
    if (retry?.retryDelay !== undefined) told.retryAfterMs = durationMs(retry.retryDelay);
  }
  return told;
}
