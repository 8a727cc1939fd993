import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rename, rm, stat } from "node:fs/promises";

import { Backoff } from "./backoff.js";
import { RecorderError, unavailable } from "./errors.js";
import type { RecordingFile } from "./gen/recorder/v1/recording_pb.js";
import type { DownloadRecordingResponse } from "./gen/recorder/v1/recording_service_pb.js";

/** How far a download is. */
export interface DownloadProgress {
  /** Bytes that are there, those of earlier tries included. */
  receivedBytes: number;
  /** Bytes of the whole file. */
  sizeBytes: number;
}

/** How a file is downloaded. */
export interface DownloadOptions {
  /** Is called after every piece. */
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** How long to go on trying after the line broke, ms; 2 min where absent. */
  reconnectForMs?: number | undefined;
  /** Ends the download; it rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** What a download needs of the server: starts the RPC from an offset, with a fresh token. */
export type OpenDownload = (offsetBytes: number, signal: AbortSignal | undefined) => AsyncIterable<DownloadRecordingResponse>;

const RECONNECT_FOR_MS = 120_000;

/**
 * The pieces of a finished file in order, across lost connections; iterate it once. When all were given and they are
 * not what the server's SHA-256 says, iterating rejects with DAMAGED.
 */
export class Download implements AsyncIterable<Uint8Array> {
  readonly #open: OpenDownload;
  readonly #options: DownloadOptions;
  readonly #hash: Hash;
  #receivedBytes: number;
  #file: RecordingFile | undefined;

  /**
   * Prepare a download; it begins when it is iterated.
   *
   * @param hash - The SHA-256 of what is there already.
   * @internal
   */
  constructor(open: OpenDownload, options: DownloadOptions, receivedBytes = 0, hash: Hash = createHash("sha256")) {
    this.#open = open;
    this.#options = options;
    this.#receivedBytes = receivedBytes;
    this.#hash = hash;
  }

  /** The file's facts; undefined before the first piece. */
  get file(): RecordingFile | undefined {
    return this.#file;
  }

  /**
   * Give the pieces.
   *
   * @throws RecorderError if there is no such file, or the server could not be reached for too long.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal } = this.#options;
    const backoff = new Backoff(this.#options.reconnectForMs ?? RECONNECT_FOR_MS);
    for (;;) {
      let lost: unknown = unavailable("the server ended the download before its end");
      try {
        for await (const { payload } of this.#open(this.#receivedBytes, signal)) {
          backoff.succeeded();
          if (payload.case === "file") this.#begin(payload.value);
          if (payload.case !== "chunk") continue;
          this.#receive(payload.value);
          yield payload.value;
        }
        if (this.#complete) break;
      } catch (error) {
        if (!(error instanceof RecorderError)) throw error;
        lost = error;
      }
      await backoff.wait(lost, signal);
    }
    if (this.#hash.digest("hex") !== this.#file?.sha256) throw damaged("what was downloaded is not what the server stored");
  }

  get #complete(): boolean {
    return this.#file !== undefined && this.#receivedBytes === Number(this.#file.sizeBytes);
  }

  #begin(file: RecordingFile): void {
    if (this.#file !== undefined && this.#file.sha256 !== file.sha256) throw damaged("the file changed meanwhile");
    this.#file = file;
    this.#tell();
  }

  #receive(chunk: Uint8Array): void {
    this.#receivedBytes += chunk.byteLength;
    this.#hash.update(chunk);
    this.#tell();
  }

  #tell(): void {
    const sizeBytes = Number(this.#file?.sizeBytes ?? 0n);
    this.#options.onProgress?.({ receivedBytes: this.#receivedBytes, sizeBytes });
  }
}

/**
 * Download into a file. What is not complete is kept beside it, as `PATH.part`, and gone on with the next time; the
 * file itself appears when it is whole and its SHA-256 was checked.
 *
 * @param facts - What the server says of the file; a part that is larger is thrown away.
 * @internal
 */
export async function downloadTo(path: string, facts: RecordingFile, from: OpenDownload, options: DownloadOptions): Promise<void> {
  const part = `${path}.part`;
  const earlierBytes = await sizeOf(part);
  if (earlierBytes > Number(facts.sizeBytes)) await rm(part);
  try {
    await fetchRest(part, from, options);
  } catch (error) {
    if (!(error instanceof RecorderError) || error.reason !== "DAMAGED") throw error;
    await rm(part);
    // What an earlier try left may have been of another file.
    if (earlierBytes === 0) throw error;
    await fetchRest(part, from, options);
  }
  await rename(part, path);
}

async function fetchRest(part: string, from: OpenDownload, options: DownloadOptions): Promise<void> {
  const hash = createHash("sha256");
  const offsetBytes = await sizeOf(part);
  if (offsetBytes > 0) for await (const block of createReadStream(part)) hash.update(block as Buffer);
  const file = await open(part, "a");
  try {
    for await (const chunk of new Download(from, options, offsetBytes, hash)) await file.writeFile(chunk);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return 0;
    throw error;
  }
}

function damaged(message: string): RecorderError {
  return new RecorderError("DAMAGED", message, { status: "DATA_LOSS" });
}
