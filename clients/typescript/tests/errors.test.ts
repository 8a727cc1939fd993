import assert from "node:assert/strict";
import { test } from "node:test";

import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { Metadata, status as Status } from "@grpc/grpc-js";

import { fromRpcError, RecorderError } from "../src/errors.js";
import { ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../src/gen/google/rpc/status_pb.js";

function rpcError(code: Status, details: string, status?: Uint8Array): RecorderError {
  const metadata = new Metadata();
  if (status !== undefined) metadata.set("grpc-status-details-bin", Buffer.from(status));
  const error = fromRpcError(Object.assign(new Error(details), { code, details, metadata }));
  assert.ok(error instanceof RecorderError);
  return error;
}

test("reason, facts and the time of a retry are read from the status", () => {
  const info = create(ErrorInfoSchema, { reason: "TOO_MANY_RECORDINGS", metadata: { limit: "5" } });
  const retry = create(RetryInfoSchema, { retryDelay: durationFromMs(1_500) });
  const details = [anyPack(ErrorInfoSchema, info), anyPack(RetryInfoSchema, retry)];
  const status = toBinary(StatusSchema, create(StatusSchema, { details }));
  const { reason, metadata, retryAfterMs, retryable, message } = rpcError(Status.RESOURCE_EXHAUSTED, "full", status);
  assert.deepEqual({ reason, retryAfterMs, retryable, message }, { reason: "TOO_MANY_RECORDINGS", retryAfterMs: 1_500, retryable: true, message: "full" });
  assert.equal(metadata["limit"], "5");
});

test("a stream that broke on its way is retryable, a proxy's refusal is not", () => {
  for (const code of [Status.UNAVAILABLE, Status.INTERNAL, Status.CANCELLED, Status.UNKNOWN]) {
    const error = rpcError(code, "Received RST_STREAM with code 2");
    assert.deepEqual([error.reason, error.retryable], ["UNAVAILABLE", true]);
  }
  const refused = rpcError(Status.UNIMPLEMENTED, "no such service");
  assert.deepEqual([refused.reason, refused.status, refused.retryable], ["UNIMPLEMENTED", "UNIMPLEMENTED", false]);
});

test("other errors stay as they are", () => {
  const fault = new TypeError("a fault of the program");
  assert.equal(fromRpcError(fault), fault);
});
