// Audio for the tests.

/** A WAV file around samples. */
export function wav(payload: Buffer, { tag = 1, channels = 1, sampleRateHz = 16_000, bits = 16 } = {}): Buffer {
  const header = Buffer.alloc(44);
  const frameBytes = (channels * bits) / 8;
  header.write("RIFF", 0, "latin1");
  header.writeUInt32LE(36 + payload.length, 4);
  header.write("WAVEfmt ", 8, "latin1");
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(tag, 20);
  header.writeUInt16LE(channels, 22);
  header.writeUInt32LE(sampleRateHz, 24);
  header.writeUInt32LE(sampleRateHz * frameBytes, 28);
  header.writeUInt16LE(frameBytes, 32);
  header.writeUInt16LE(bits, 34);
  header.write("data", 36, "latin1");
  header.writeUInt32LE(payload.length, 40);
  return Buffer.concat([header, payload]);
}

/** Noise of 16 bit at 16 kHz that is the same every time: a linear congruential generator. */
export function noise(durationMs: number, seed = 1): Buffer {
  const samples = Buffer.alloc(32 * durationMs);
  let state = seed;
  for (let offset = 0; offset < samples.length; offset += 2) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    samples.writeInt16LE((state >>> 20) - 2048, offset);
  }
  return samples;
}
