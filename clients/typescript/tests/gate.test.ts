import assert from "node:assert/strict";
import { test } from "node:test";

import { Gate } from "../src/gate.js";

test("a gate that opens lets everybody through", async () => {
  const gate = new Gate(false);
  const waiting = Promise.all([gate.wait(), gate.wait()]);
  gate.set(true);
  await waiting;
  await gate.wait();
});

test("an aborted wait rejects with the signal's reason, and the gate is usable by others", async () => {
  const gate = new Gate(false);
  const given = new AbortController();
  const aborted = gate.wait(given.signal);
  const other = gate.wait();
  given.abort(new Error("enough"));
  await assert.rejects(aborted, /enough/);
  gate.set(true);
  await other;
  await assert.rejects(gate.wait(given.signal), /enough/);
});
