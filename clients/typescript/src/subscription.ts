import type { MessageInitShape } from "@bufbuild/protobuf";

import { Backoff } from "./backoff.js";
import { RecorderError, unavailable } from "./errors.js";
import type { Event, EventType } from "./gen/recorder/v1/event_pb.js";
import type { SubscribeEventsRequestSchema, SubscribeEventsResponse } from "./gen/recorder/v1/event_service_pb.js";

/** Where a subscription begins and what it gives; filters that are set must all match. */
export interface SubscriptionOptions {
  /** Begin after this cursor of a subscription or event. Without it and `fromOldest`: with what happens from now on. */
  cursor?: string | undefined;
  /** Begin with the oldest event that is kept. */
  fromOldest?: boolean | undefined;
  /** Only these types. */
  types?: EventType[] | undefined;
  /** Only this recording's. */
  recordingId?: string | undefined;
  /** Only this conversation's. */
  conversationId?: string | undefined;
  /** Only this application's; for the admin. */
  applicationId?: string | undefined;
  /** How long to go on trying after the line broke, ms; 5 min where absent. */
  reconnectForMs?: number | undefined;
  /** Is called once the feed stands: what happens from then on will be told. */
  onSubscribed?: (() => void) | undefined;
  /** Ends the subscription; iterating rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** What a subscription needs of the server: starts the RPC, with a fresh token. */
export type OpenFeed = (
  request: MessageInitShape<typeof SubscribeEventsRequestSchema>,
  signal: AbortSignal | undefined,
) => AsyncIterable<SubscribeEventsResponse>;

const RECONNECT_FOR_MS = 300_000;

/** Events in order, without holes and without repeats, across lost connections, for as long as it is iterated. */
export class Subscription implements AsyncIterable<Event> {
  readonly #options: SubscriptionOptions;
  readonly #openFeed: OpenFeed;
  readonly #backoff: Backoff;
  #cursor: string;
  #subscribed = false;

  /**
   * Prepare a subscription; it begins when it is iterated.
   *
   * @internal
   */
  constructor(options: SubscriptionOptions, openFeed: OpenFeed) {
    this.#options = options;
    this.#openFeed = openFeed;
    this.#backoff = new Backoff(options.reconnectForMs ?? RECONNECT_FOR_MS);
    this.#cursor = options.cursor ?? "";
  }

  /** Place after everything given so far; empty before the first message. Keep it to go on another time. */
  get cursor(): string {
    return this.#cursor;
  }

  /**
   * Give the events.
   *
   * @throws RecorderError if the subscription was refused, or the server could not be reached for too long.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Event, never, undefined> {
    const { signal } = this.#options;
    for (;;) {
      let lost: unknown = unavailable("the server ended the event feed");
      try {
        for await (const { payload } of this.#openFeed(this.#request(), signal)) {
          this.#heard();
          const cursor = payload.value?.cursor ?? "";
          if (cursor !== "") this.#cursor = cursor;
          if (payload.case === "event") yield payload.value;
        }
      } catch (error) {
        if (!(error instanceof RecorderError)) throw error;
        lost = error;
      }
      await this.#backoff.wait(lost, signal);
    }
  }

  #request(): MessageInitShape<typeof SubscribeEventsRequestSchema> {
    const { types = [], recordingId = "", conversationId = "", applicationId = "", fromOldest = false } = this.#options;
    const request = { types, recordingId, conversationId, applicationId };
    if (this.#cursor !== "") return { ...request, begin: { case: "cursor", value: this.#cursor } };
    return fromOldest ? { ...request, begin: { case: "fromOldest", value: true } } : request;
  }

  #heard(): void {
    this.#backoff.succeeded();
    if (this.#subscribed) return;
    this.#subscribed = true;
    this.#options.onSubscribed?.();
  }
}
