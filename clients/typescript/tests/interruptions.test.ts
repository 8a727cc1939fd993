// The client against a real server whose line breaks, or that goes down.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { AudioEncoding, type Client, EventType, FileFormat, LegRole, readWav, RecorderError, RecordingState, StopReason } from "recorder-client";

import { noise } from "./audio.js";
import { Proxy } from "./proxy.js";
import { noServer, Server, type Tenant } from "./server.js";

const LEGS = [{ legId: "caller", role: LegRole.CALLER, encoding: AudioEncoding.LINEAR16, sampleRateHz: 16_000 }];
const START = { legs: LEGS, typed: { format: FileFormat.WAV } };
const BUFFER_BYTES = 64 * 1024;

describe("with a server whose line breaks", { skip: noServer, timeout: 180_000 }, () => {
  let server: Server;
  let tenant: Tenant;
  let proxy: Proxy;
  let client: Client;

  before(async () => {
    server = await Server.start();
    tenant = await server.tenant();
    proxy = await Proxy.to(server.target);
    client = server.connect(tenant, proxy.target);
  });

  after(async () => {
    client.close();
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  async function fileOf(recordingId: string): Promise<Buffer> {
    const pieces = [];
    for await (const piece of client.download(recordingId)) pieces.push(piece);
    return readWav(Buffer.concat(pieces)).payload;
  }

  test("writing waits while the line is down, memory is bounded, and nothing is lost", async () => {
    const audio = noise(10_000);
    await using call = await client.recordCall(START, { bufferBytes: BUFFER_BYTES });
    await call.write({ caller: audio.subarray(0, 32_000) });
    proxy.refuse();
    let mostBytes = 0;
    let written = false;
    const writing = (async () => {
      for (let start = 32_000; start < audio.length; start += 640) {
        await call.write({ caller: audio.subarray(start, start + 640) });
        mostBytes = Math.max(mostBytes, call.unacknowledgedBytes);
      }
      written = true;
    })();
    while (call.unacknowledgedBytes < BUFFER_BYTES) await new Promise(setImmediate);
    assert.equal(written, false);
    proxy.accept();
    await writing;
    await call.close();
    assert.equal((await call.completed()).stopReason, StopReason.HANGUP);
    assert.ok((await fileOf(call.recordingId)).equals(audio));
    assert.ok(mostBytes < BUFFER_BYTES + 4_000, `${mostBytes} bytes were kept`);
    assert.equal(call.unacknowledgedBytes, 0);
  });

  test("a recording that ended while nobody could hear it is caught up with", async () => {
    await using call = await client.recordCall(START);
    await call.write({ caller: noise(500) });
    await call.durable();
    proxy.refuse();
    using direct = server.connect(tenant);
    await direct.recordings.stopRecording({ recordingId: call.recordingId });
    while ((await direct.recording(call.recordingId)).state !== RecordingState.AVAILABLE) await new Promise((done) => setTimeout(done, 50));
    proxy.accept();
    const recording = await call.completed();
    assert.equal(recording.state, RecordingState.AVAILABLE);
    assert.deepEqual([call.stopped?.reason, call.stopped?.frame], [StopReason.REQUESTED, 8_000n]);
    const told = [];
    for await (const message of call.events()) told.push(message.case);
    assert.deepEqual(told, ["opened", "stopped", "completed"]);
  });

  test("a call that cannot be had back fails for good, without an unhandled rejection", async () => {
    await using call = await client.recordCall(START, { reconnectForMs: 200 });
    void call.write({ caller: noise(200) });
    proxy.refuse();
    const unavailable = (error: unknown) => error instanceof RecorderError && error.reason === "UNAVAILABLE" && error.retryable;
    void call.close();
    await assert.rejects(call.completed(), unavailable);
    void call.write({ caller: noise(200) });
    void call.completed();
    await assert.rejects(call.durable(), unavailable);
    await assert.rejects(async () => { for await (const message of call.events()) assert.equal(message.case, "opened"); }, unavailable);
    proxy.accept();
  });

  test("a download that is cut goes on from where it was", async () => {
    const audio = noise(20_000);
    await using call = await client.recordCall(START);
    await call.write({ caller: audio });
    await call.close();
    await call.completed();
    let cuts = 0;
    const pieces = [];
    const download = client.download(call.recordingId, {
      onProgress: ({ receivedBytes, sizeBytes }) => {
        if (cuts < 2 && receivedBytes > (cuts * sizeBytes) / 3) proxy.cut();
        if (cuts < 2 && receivedBytes > (cuts * sizeBytes) / 3) cuts += 1;
      },
    });
    for await (const piece of download) pieces.push(piece);
    assert.ok(readWav(Buffer.concat(pieces)).payload.equals(audio));
    assert.equal(cuts, 2);
  });

  test("a server that goes down in order is followed, and its events go on without holes", async () => {
    const audio = noise(2_000);
    await using call = await client.recordCall(START);
    const types: EventType[] = [];
    const following = (async () => {
      for await (const event of client.subscribe({ recordingId: call.recordingId, fromOldest: true })) {
        types.push(event.type);
        if (event.type === EventType.RECORDING_COMPLETED) return;
      }
    })();
    await call.write({ caller: audio.subarray(0, 32_000) });
    await call.durable();
    const going = server.kill("SIGTERM");
    await call.write({ caller: audio.subarray(32_000) });
    await going;
    await server.restart();
    await call.close();
    await call.completed();
    assert.ok((await fileOf(call.recordingId)).equals(audio));
    await following;
    assert.deepEqual(types, [EventType.RECORDING_STARTED, EventType.RECORDING_STOPPED, EventType.RECORDING_COMPLETED]);
  });

  test("a server that is killed in the middle of a call costs nothing", async () => {
    const audio = noise(3_000);
    await using call = await client.recordCall(START);
    await call.write({ caller: audio.subarray(0, 48_000) });
    const killing = server.kill();
    await call.write({ caller: audio.subarray(48_000) });
    await killing;
    await server.restart();
    await call.close();
    assert.equal((await call.completed()).stopReason, StopReason.HANGUP);
    assert.ok((await fileOf(call.recordingId)).equals(audio));
  });
});
