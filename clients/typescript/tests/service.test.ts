// The client against a real server that nothing disturbs.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import {
  applicationToken,
  AudioEncoding,
  type Client,
  type DownloadProgress,
  EventType,
  FileFormat,
  LegRole,
  PauseMode,
  readWav,
  RecorderError,
  RecordingState,
  recordAction,
  StopReason,
} from "recorder-client";

import { noise, wav } from "./audio.js";
import { noServer, Server, type Tenant } from "./server.js";

const CALLER = { legId: "caller", role: LegRole.CALLER, encoding: AudioEncoding.LINEAR16, sampleRateHz: 16_000 };
const CALLEE = { ...CALLER, legId: "callee", role: LegRole.CALLEE };
const WAV = { format: FileFormat.WAV };

function refusal(work: Promise<unknown>, expected: Partial<RecorderError>): Promise<void> {
  return assert.rejects(work, (error) => {
    assert.ok(error instanceof RecorderError, String(error));
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(error[key as keyof RecorderError], value);
    return true;
  });
}

describe("with a server", { skip: noServer, timeout: 120_000 }, () => {
  let server: Server;
  let tenant: Tenant;
  let client: Client;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "recorder-ts-files-"));
    server = await Server.start({ RECORDER_RESUME_WINDOW_S: "1" });
    tenant = await server.tenant();
    client = server.connect(tenant);
  });

  after(async () => {
    client.close();
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
    assert.ok(!server.log.includes("Traceback"), server.log);
  });

  async function recorded(durationMs: number, seed = 1): Promise<string> {
    await using call = await client.recordCall({ legs: [CALLER], typed: WAV });
    await call.write({ caller: noise(durationMs, seed) });
    await call.close();
    return (await call.completed()).recordingId;
  }

  test("a call ends in a file with what was written, of any length at a time", async () => {
    const audio = noise(3_000);
    await using call = await client.recordCall({ legs: [CALLER], typed: WAV, metadata: { ticket: "42" } });
    for (const [from, to] of [[0, 2], [2, 32_000], [32_000, 96_000]]) await call.write({ caller: audio.subarray(from, to) });
    await call.close();
    assert.deepEqual(call.durableFrames, { caller: 48_000 });
    const recording = await call.completed();
    assert.equal(recording.state, RecordingState.AVAILABLE);
    assert.equal(recording.metadata["ticket"], "42");
    assert.equal(call.stopped?.reason, StopReason.HANGUP);
    const path = join(folder, "call.wav");
    const told: DownloadProgress[] = [];
    const file = await client.downloadTo(call.recordingId, path, { onProgress: (progress) => told.push(progress) });
    assert.ok(readWav(await readFile(path)).payload.equals(audio));
    assert.deepEqual(told.at(-1), { receivedBytes: Number(file.sizeBytes), sizeBytes: Number(file.sizeBytes) });
    assert.deepEqual(await readdir(folder), ["call.wav"]);
  });

  test("writes that nobody awaits are recorded in order", async () => {
    const audio = noise(1_000);
    await using call = await client.recordCall({ legs: [CALLER], typed: WAV }, { bufferBytes: 4_000, ackIntervalMs: 50 });
    for (let start = 0; start < audio.length; start += 640) void call.write({ caller: audio.subarray(start, start + 640) });
    await call.close();
    await call.completed();
    const pieces = [];
    for await (const piece of client.download(call.recordingId)) pieces.push(piece);
    assert.ok(readWav(Buffer.concat(pieces)).payload.equals(audio));
  });

  test("audio that stays alone is sent without more coming", async () => {
    await using call = await client.recordCall({ legs: [CALLER] }, { ackIntervalMs: 50 });
    await call.write({ caller: noise(20) });
    while (call.durableFrames["caller"] === 0) await new Promise(setImmediate);
    assert.equal(call.durableFrames["caller"], 320);
    await call.close();
  });

  test("the server's messages are told: a beep, the end by a key, the recording", async () => {
    const ncco = recordAction({ endOnKey: "#", beepStart: true, format: "wav" });
    await using call = await client.recordCall({ legs: [CALLER], ncco });
    await call.write({ caller: noise(1_000) });
    await call.dtmf("caller", "#", { frame: 8_000, durationMs: 80 });
    const told: string[] = [];
    for await (const message of call.events()) {
      told.push(message.case);
      if (message.case === "play") assert.ok(message.value.payload.length > 0);
      if (message.case === "stopped") assert.deepEqual([message.value.reason, message.value.frame], [StopReason.KEY, 8_000n]);
    }
    assert.deepEqual([told[0], told.at(-2), told.at(-1)], ["opened", "stopped", "completed"]);
    assert.ok(told.includes("play"));
    await call.write({ caller: noise(100) });
    assert.equal((await call.completed()).file?.frames, 8_000n);
  });

  test("a pause that cuts shortens the file, and stop ends it", async () => {
    const audio = noise(3_000);
    await using call = await client.recordCall({ legs: [CALLER], typed: WAV });
    await call.write({ caller: audio.subarray(0, 32_000) });
    await call.pause({ mode: PauseMode.CUT, frame: 16_000 });
    await call.write({ caller: audio.subarray(32_000, 64_000) });
    await call.resume({ frame: 32_000n });
    await call.write({ caller: audio.subarray(64_000) });
    await call.stop({ frame: 48_000 });
    const recording = await call.completed();
    assert.deepEqual([recording.stopReason, recording.file?.frames], [StopReason.REQUESTED, 32_000n]);
  });

  test("positions from the media clock leave silence where nothing was written", async () => {
    const audio = noise(100);
    await using call = await client.recordCall({ legs: [CALLER, CALLEE], typed: WAV });
    await call.write({ caller: audio, callee: audio });
    await call.write({ caller: audio }, { caller: 16_000 });
    await call.close();
    const [caller, callee] = (await call.completed()).legs;
    assert.deepEqual([caller?.frames, caller?.gapFrames, caller?.endFrame], [3_200n, 14_400n, 17_600n]);
    assert.equal(callee?.frames, 1_600n);
  });

  test("a call that is left keeps what was written, and says that it was left", async () => {
    let left;
    {
      await using call = await client.recordCall({ legs: [CALLER], typed: WAV });
      void call.write({ caller: noise(1_010) });
      left = call;
    }
    await refusal(left.completed(), { reason: "CALL_LEFT", retryable: false });
    await refusal(left.write({ caller: noise(20) }), { reason: "CALL_LEFT" });
    for await (const message of left.events()) assert.equal(message.case, "opened");
    for await (const event of client.subscribe({ recordingId: left.recordingId, fromOldest: true })) {
      if (event.type !== EventType.RECORDING_COMPLETED) continue;
      assert.deepEqual([event.recording?.stopReason, event.recording?.file?.frames], [StopReason.INTERRUPTED, 16_160n]);
      break;
    }
  });

  test("an aborted call ends everything that waits with the signal's reason", async () => {
    const given = new AbortController();
    await using call = await client.recordCall({ legs: [CALLER] }, { signal: given.signal });
    const waiting = call.completed();
    given.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    await assert.rejects(call.close(), /enough/);
    await assert.rejects(client.recordCall({ legs: [CALLER] }, { signal: given.signal }), /enough/);
    await assert.rejects(client.recording(call.recordingId, { signal: given.signal }), /enough/);
    const subscribed = client.subscribe({ signal: given.signal })[Symbol.asyncIterator]();
    await assert.rejects(subscribed.next(), /enough/);
    await assert.rejects(client.downloadTo(call.recordingId, join(folder, "none"), { signal: given.signal }), /enough/);
  });

  test("one wait can be aborted, and the call goes on", async () => {
    await using call = await client.recordCall({ legs: [CALLER] });
    const given = new AbortController();
    const waiting = call.completed({ signal: given.signal });
    given.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    await call.write({ caller: noise(100) });
    await call.close();
    assert.equal((await call.completed()).state, RecordingState.AVAILABLE);
  });

  test("wrong arguments throw at once and leave the call as it was", async () => {
    await using call = await client.recordCall({ legs: [CALLER] });
    assert.throws(() => call.write({ nobody: noise(20) }), RangeError);
    assert.throws(() => call.write({ caller: noise(20).subarray(1) }), RangeError);
    assert.throws(() => call.dtmf("nobody", "1"), RangeError);
    assert.throws(() => call.stop({ frame: 0.5 }), RangeError);
    await assert.rejects(client.recordCall({ legs: [] }), RangeError);
    await assert.rejects(client.recordCall({ legs: [CALLER], ncco: {}, typed: {} }), TypeError);
    await call.write({ caller: noise(20) });
    await call.close();
    assert.equal((await call.completed()).file?.frames, 320n);
  });

  test("refusals are one typed error with the server's reason", async () => {
    await refusal(client.recordCall({ legs: [{ ...CALLER, sampleRateHz: 11_025 }] }), { reason: "INVALID_FIELD", status: "INVALID_ARGUMENT", retryable: false });
    await refusal(client.recording(crypto.randomUUID()), { reason: "RECORDING_NOT_FOUND", status: "NOT_FOUND", retryable: false });
    using expired = server.connect(tenant);
    const nowS = Date.now() / 1000 - 3_600;
    using old = server.connectWith(() => applicationToken(tenant.applicationId, tenant.privateKeyPem, { nowS }));
    await refusal(old.recordCall({ legs: [CALLER] }), { reason: "TOKEN_EXPIRED", status: "UNAUTHENTICATED", retryable: false });
    await refusal(old.subscribe()[Symbol.asyncIterator]().next(), { reason: "TOKEN_EXPIRED" });
    using nobody = server.connectWith(undefined);
    await refusal(nobody.recording(crypto.randomUUID()), { reason: "MISSING_TOKEN", retryable: false });
    await refusal(expired.applications.listApplications({}), { reason: "ADMIN_ONLY", status: "PERMISSION_DENIED" });
    const small = await server.tenant({ maxLiveRecordings: 1 });
    using full = server.connect(small);
    await using call = await full.recordCall({ legs: [CALLER] });
    assert.equal(call.stopped, undefined);
    const second = full.recordCall({ legs: [CALLER] }, { connectForMs: 100 });
    await refusal(second, { reason: "TOO_MANY_RECORDINGS", status: "RESOURCE_EXHAUSTED", retryable: true });
  });

  test("a target that nobody serves is an error that a retry may heal, after the time given", async () => {
    using nowhere = server.connectWith("a token", "127.0.0.1:1");
    await refusal(nowhere.recordCall({ legs: [CALLER] }, { connectForMs: 300 }), { reason: "UNAVAILABLE", retryable: true });
    await refusal(nowhere.recording(crypto.randomUUID()), { reason: "UNAVAILABLE", retryable: true });
  });

  test("events are followed from now on and from a cursor", async () => {
    let subscribed: () => void = () => undefined;
    const ready = new Promise<void>((done) => { subscribed = done; });
    const types = [EventType.RECORDING_STARTED, EventType.RECORDING_COMPLETED];
    const live = client.subscribe({ types, onSubscribed: () => { subscribed(); } });
    const events = live[Symbol.asyncIterator]();
    const first = events.next();
    await ready;
    const recordingId = await recorded(200);
    const { value: started } = await first;
    assert.deepEqual([started.type, started.recording?.recordingId], [EventType.RECORDING_STARTED, recordingId]);
    const { cursor } = live;
    const { value: completed } = await events.next();
    await events.return(undefined as never);
    for await (const event of client.subscribe({ cursor, types })) {
      assert.deepEqual(event, completed);
      break;
    }
  });

  test("a download goes on where an earlier one ended, and one of another file begins anew", async () => {
    const recordingId = await recorded(5_000);
    const path = join(folder, "resumed.wav");
    await client.downloadTo(recordingId, path);
    const whole = await readFile(path);
    for (const part of [whole.subarray(0, 100_000), Buffer.alloc(100_000), Buffer.alloc(whole.length + 1)]) {
      await writeFile(`${path}.part`, part);
      let first = -1;
      await client.downloadTo(recordingId, path, { onProgress: ({ receivedBytes }) => { if (first < 0) first = receivedBytes; } });
      assert.ok((await readFile(path)).equals(whole));
      assert.equal(first, part.length > whole.length ? 0 : part.length);
    }
    await refusal(client.downloadTo(crypto.randomUUID(), path), { reason: "RECORDING_NOT_FOUND" });
  });

  test("the example records a WAV file and prints the recording", async () => {
    const [key, file] = [join(folder, "key.pem"), join(folder, "in.wav")];
    await writeFile(key, tenant.privateKeyPem);
    await writeFile(file, wav(noise(2_000)));
    const example = resolve(import.meta.dirname, "../examples/record.js");
    const { stdout } = await promisify(execFile)(process.execPath, [example, server.target, tenant.applicationId, key, file]);
    const recording = JSON.parse(stdout) as { state: string; file: { duration: string } };
    assert.deepEqual([recording.state, recording.file.duration], ["RECORDING_STATE_AVAILABLE", "2s"]);
  });
});
