import { AudioEncoding } from "./gen/recorder/v1/recording_pb.js";

const PCM = 1;
const LAWS = new Map([
  [6, AudioEncoding.ALAW],
  [7, AudioEncoding.MULAW],
]);
const EXTENSIBLE = 0xfffe;

/** One leg's samples, as a WAV file holds them. */
export interface WavAudio {
  /** How the samples are encoded. */
  encoding: AudioEncoding;
  /** Frames a second. */
  sampleRateHz: number;
  /** The samples. */
  payload: Buffer;
}

/**
 * Read the bytes of a mono WAV file of 16 bit PCM or G.711. Nothing is copied.
 *
 * Source: Microsoft/IBM Multimedia Programming Interface 1.0 (RIFF, WAVE), WAVEFORMATEXTENSIBLE.
 *
 * @throws RangeError if it is something else; the message says how to convert it.
 */
export function readWav(file: Buffer): WavAudio {
  const isWave = file.toString("latin1", 0, 4) === "RIFF" && file.toString("latin1", 8, 12) === "WAVE";
  const chunks = isWave ? new Map(riffChunks(file)) : new Map<string, Buffer>();
  const format = chunks.get("fmt ") ?? Buffer.alloc(0);
  const data = chunks.get("data");
  if (format.length < 16 || data === undefined) unreadable("not a WAV file");
  const [channels, sampleRateHz, bits] = [format.readUInt16LE(2), format.readUInt32LE(4), format.readUInt16LE(14)];
  let tag = format.readUInt16LE(0);
  if (tag === EXTENSIBLE && format.length >= 26) tag = format.readUInt16LE(24);
  if (channels !== 1) unreadable(`of ${channels} channels, and a leg is mono`);
  const encoding = tag === PCM && bits === 16 ? AudioEncoding.LINEAR16 : LAWS.get(tag);
  if (encoding === undefined) unreadable(`in format ${tag} of ${bits} bit, neither 16 bit PCM nor G.711`);
  const frameBytes = encoding === AudioEncoding.LINEAR16 ? 2 : 1;
  return { encoding, sampleRateHz, payload: data.subarray(0, data.length - (data.length % frameBytes)) };
}

function* riffChunks(file: Buffer): Generator<[string, Buffer]> {
  // Chunks begin at even offsets. A size that reaches beyond the file is that of a writer that could not seek back.
  for (let start = 12; start + 8 <= file.length;) {
    const sizeBytes = file.readUInt32LE(start + 4);
    yield [file.toString("latin1", start, start + 4), file.subarray(start + 8, start + 8 + sizeBytes)];
    start += 8 + sizeBytes + (sizeBytes % 2);
  }
}

function unreadable(what: string): never {
  throw new RangeError(`the audio is ${what}; convert it, as with: ffmpeg -i IN -ac 1 -ar 16000 -c:a pcm_s16le leg.wav`);
}
