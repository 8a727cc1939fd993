// The driver of the conformance scenarios, over the client's public interface only: see tests/clients/README.md.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import {
  applicationToken,
  type Call,
  Client,
  type Event,
  EventType,
  PauseMode,
  RecorderError,
  type Recording,
  RecordingSchema,
  toJson,
} from "recorder-client";
import { StartCallSchema } from "recorder-client/v1";

const SAMPLE_RATE_HZ = 16_000;
const BYTES_A_MS = (2 * SAMPLE_RATE_HZ) / 1000;
const PIECE_MS = 20;

interface Scenario {
  start: JsonObject;
  steps: Record<string, JsonValue>[];
}

interface StepValue {
  toMs: number;
  legId: string;
  digit: string;
  mode: keyof typeof PauseMode;
  frame: number;
  first: number;
}

class Driver {
  readonly #client: Client;
  readonly #call: Call;
  readonly #audio: ReadonlyMap<string, Buffer>;
  readonly #realTime: boolean;
  readonly #answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  readonly #events: string[] = [];
  #writtenMs = 0;

  constructor(client: Client, call: Call, audio: ReadonlyMap<string, Buffer>, realTime: boolean) {
    this.#client = client;
    this.#call = call;
    this.#audio = audio;
    this.#realTime = realTime;
  }

  async run(steps: Scenario["steps"]): Promise<JsonObject> {
    const plays = this.#plays();
    for (const step of steps) {
      for (const [name, value] of Object.entries(step)) await this.#step(name, value);
    }
    const recording = await this.#call.completed();
    return { ...(await this.#describe(recording)), plays: await plays, events: this.#events };
  }

  async #step(name: string, value: JsonValue): Promise<void> {
    const given = value as unknown as Partial<StepValue>;
    switch (name) {
      case "write":
        return this.#write(given.toMs ?? 0);
      case "dtmf":
        return this.#call.dtmf(given.legId ?? "", given.digit ?? "", given);
      case "pause":
        return this.#call.pause({ frame: given.frame, mode: pauseMode(given.mode) });
      case "resume":
        return this.#call.resume(given);
      case "close":
        return this.#call.close(given);
      case "completed":
        await this.#call.completed();
        return;
      case "ask":
        return this.#ask(value);
      case "events":
        return this.#readEvents(given.first ?? 0);
      default:
        throw new Error(`unknown step ${name}`);
    }
  }

  async #write(toMs: number): Promise<void> {
    for (; this.#writtenMs < toMs; this.#writtenMs += PIECE_MS) {
      const [from, to] = [this.#writtenMs * BYTES_A_MS, Math.min(this.#writtenMs + PIECE_MS, toMs) * BYTES_A_MS];
      const pieces = [...this.#audio].map(([legId, audio]) => [legId, audio.subarray(from, to)] as const);
      await this.#call.write(Object.fromEntries(pieces));
      if (this.#realTime) await sleep(PIECE_MS);
    }
  }

  async #ask(what: JsonValue): Promise<void> {
    print({ ask: what });
    const { done } = await this.#answers.next();
    if (done === true) throw new Error("standard input ended");
  }

  async #readEvents(first: number): Promise<void> {
    const { recordingId } = this.#call;
    const beginning = this.#client.subscribe({ recordingId, fromOldest: true });
    for await (const event of beginning) if (this.#note(event) === first) break;
    for await (const event of this.#client.subscribe({ recordingId, cursor: beginning.cursor })) {
      this.#note(event);
      if (event.type === EventType.RECORDING_COMPLETED) break;
    }
  }

  #note(event: Event): number {
    return this.#events.push(`EVENT_TYPE_${EventType[event.type]}`);
  }

  async #plays(): Promise<number> {
    let plays = 0;
    for await (const message of this.#call.events()) if (message.case === "play") plays += 1;
    return plays;
  }

  async #describe(recording: Recording): Promise<JsonObject> {
    const { state, stopReason, file } = toJson(RecordingSchema, recording) as { [key: string]: JsonValue; file?: JsonObject };
    const hash = createHash("sha256");
    for await (const chunk of this.#client.download(recording.recordingId)) hash.update(chunk);
    const frames = Number(recording.file?.frames);
    const facts = { state: state ?? null, stopReason: stopReason ?? null, frames, sha256: file?.["sha256"] ?? null };
    return { ...facts, downloadedSha256: hash.digest("hex") };
  }
}

function pauseMode(name: string | undefined): PauseMode | undefined {
  return name === undefined ? undefined : PauseMode[name.replace("PAUSE_MODE_", "") as keyof typeof PauseMode];
}

function print(line: JsonObject): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function main(): Promise<void> {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      target: text, key: text, application: text, audio: text, "recording-id": text, scenario: text,
      // Beyond the protocol: write at the pace of a call.
      "real-time": { type: "boolean" },
    },
  });
  const { target = "", key = "", application = "", audio = "", scenario = "" } = values;
  const { start, steps } = JSON.parse(readFileSync(scenario, "utf8")) as Scenario;
  const { options, ...rest } = fromJson(StartCallSchema, start);
  const wanted = { ...rest, recordingId: values["recording-id"], [options.case ?? "typed"]: options.value };
  const legs = rest.legs.map(({ legId }) => [legId, readFileSync(join(audio, `${legId}.raw`))] as const);
  const pem = readFileSync(key, "utf8");
  using client = new Client(target, { token: () => applicationToken(application, pem) });
  await using call = await client.recordCall(wanted);
  print({ result: await new Driver(client, call, new Map(legs), values["real-time"] ?? false).run(steps) });
}

try {
  await main();
} catch (error) {
  if (!(error instanceof RecorderError)) throw error;
  print({ error: { reason: error.reason, status: error.status, retryable: error.retryable } });
}
process.stdin.destroy();
