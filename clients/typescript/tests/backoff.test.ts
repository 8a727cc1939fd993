import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "../src/backoff.js";
import { RecorderError, unavailable } from "../src/errors.js";

async function elapsedMs(work: Promise<void>): Promise<number> {
  const began = performance.now();
  await work;
  return performance.now() - began;
}

test("the first wait is jittered below 100 ms, and the next ones grow", async () => {
  const backoff = new Backoff(10_000);
  assert.ok((await elapsedMs(backoff.wait(unavailable("away")))) >= 49);
  assert.ok((await elapsedMs(backoff.wait(unavailable("away")))) >= 99);
  backoff.succeeded();
  assert.ok((await elapsedMs(backoff.wait(unavailable("away")))) >= 49);
});

test("the server's word on when to come back counts", async () => {
  const error = new RecorderError("TOO_MANY_RECORDINGS", "full", { status: "RESOURCE_EXHAUSTED", retryAfterMs: 250 });
  assert.ok((await elapsedMs(new Backoff(10_000).wait(error))) >= 249);
});

test("the error is thrown where a retry does not help, or the time is up", async () => {
  const refused = new RecorderError("INVALID_FIELD", "no", { status: "INVALID_ARGUMENT" });
  await assert.rejects(new Backoff(10_000).wait(refused), (error) => error === refused);
  const away = unavailable("away");
  await assert.rejects(new Backoff(10).wait(away), (error) => error === away);
  const fault = new TypeError("a fault of the program");
  await assert.rejects(new Backoff(10_000).wait(fault), (error) => error === fault);
});

test("a wait that is aborted ends at once with the signal's reason", async () => {
  const given = new AbortController();
  const away = unavailable("away", { retryAfterMs: 60_000 });
  const waiting = new Backoff(600_000).wait(away, given.signal);
  given.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
});
