import assert from "node:assert/strict";
import { test } from "node:test";

import { AudioEncoding, readWav } from "recorder-client";

import { wav } from "./audio.js";

test("PCM of 16 bit and G.711 are read, odd ends and open sizes are survived", () => {
  const payload = Buffer.from([1, 2, 3, 4]);
  assert.deepEqual(readWav(wav(payload)), { encoding: AudioEncoding.LINEAR16, sampleRateHz: 16_000, payload });
  const law = readWav(wav(payload, { tag: 7, bits: 8, sampleRateHz: 8_000 }));
  assert.deepEqual([law.encoding, law.sampleRateHz, law.payload.length], [AudioEncoding.MULAW, 8_000, 4]);
  const open = wav(Buffer.concat([payload, Buffer.from([9])]));
  open.writeUInt32LE(0xffff_ffff, 40);
  assert.deepEqual(readWav(open).payload, payload);
});

test("what no leg can be made of is refused with the way out", () => {
  assert.throws(() => readWav(Buffer.from("OggS")), /not a WAV file; convert it, as with: ffmpeg/);
  assert.throws(() => readWav(wav(Buffer.alloc(8), { channels: 2 })), /of 2 channels/);
  assert.throws(() => readWav(wav(Buffer.alloc(8), { bits: 24 })), /format 1 of 24 bit/);
});
