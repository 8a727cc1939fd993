import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** Options of the NCCO `record` action, as its reference has them. */
export interface RecordActionOptions {
  /** `mp3` or `wav`; absent means mp3, or wav for more than two channels. */
  format?: "mp3" | "wav";
  /** `conversation` keeps the parties apart. */
  split?: "conversation";
  /** Number of channels, 1 to 32; needs `split`. */
  channels?: number;
  /** End after this much silence, 3 to 10 s; makes the recording synchronous. */
  endOnSilence?: number;
  /** End on this key, one of 0-9, *, #; makes the recording synchronous. */
  endOnKey?: string;
  /** End after this time, 3 to 7200 s. */
  timeOut?: number;
  /** Beep when the recording begins. */
  beepStart?: boolean;
  /** Where the record event goes; absent means the application's. */
  eventUrl?: string;
  /** How it is sent; absent means POST. */
  eventMethod?: "POST" | "GET";
  /** Settings for whoever transcribes the file. */
  transcription?: {
    /** Language as a BCP-47 tag. */
    language?: string;
    /** Where the transcription event shall go. */
    eventUrl?: string;
    /** How it shall be sent. */
    eventMethod?: "POST" | "GET";
    /** Whether sentiment shall be scored. */
    sentimentAnalysis?: boolean;
  };
}

/** An NCCO `record` action: goes into an NCCO as it is, and into `recordCall({ ncco })`. */
export type RecordAction = JsonObject & { action: "record" };

/** Make an NCCO `record` action. Options that are absent stay absent; the server checks the ranges. */
export function recordAction(options: RecordActionOptions = {}): RecordAction {
  const { transcription, ...plain } = options;
  const action: RecordAction = { action: "record", ...withUrlList(plain) };
  if (transcription !== undefined) action["transcription"] = withUrlList(transcription);
  return action;
}

/**
 * Find the `record` action of an NCCO, as the answer URL gave it, to record with exactly its options.
 *
 * @param ncco - The parsed NCCO or its JSON text.
 * @returns The first `record` action; undefined where there is none.
 * @throws TypeError or SyntaxError if it is not a list of actions.
 */
export function findRecordAction(ncco: unknown): RecordAction | undefined {
  const actions: unknown = typeof ncco === "string" ? JSON.parse(ncco) : ncco;
  if (!Array.isArray(actions)) throw new TypeError("an NCCO is a list of actions");
  return actions.find(isRecordAction);
}

function isRecordAction(action: unknown): action is RecordAction {
  return typeof action === "object" && action !== null && "action" in action && action.action === "record";
}

// Both `eventUrl` are lists of one in an NCCO.
function withUrlList(options: Record<string, JsonValue | undefined>): JsonObject {
  const given = Object.entries(options).filter((entry): entry is [string, JsonValue] => entry[1] !== undefined);
  return Object.fromEntries(given.map(([key, value]) => [key, key === "eventUrl" ? [value] : value]));
}
