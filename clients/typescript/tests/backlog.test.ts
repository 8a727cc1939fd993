import assert from "node:assert/strict";
import { test } from "node:test";

import { fromBinary } from "@bufbuild/protobuf";
import { RecordCallRequestSchema } from "recorder-client/v1";

import { Backlog } from "../src/backlog.js";

const dtmf = (digit: string) => ({ case: "dtmf", value: { legId: "caller", digit } }) as const;
const never = new AbortController().signal;

test("requests are numbered from 2 and kept until they are acknowledged", async () => {
  const backlog = new Backlog(1_000);
  for (const digit of ["1", "2", "3"]) backlog.add(dtmf(digit));
  const request = fromBinary(RecordCallRequestSchema, await backlog.get(3, never));
  assert.deepEqual([request.sequence, request.payload.case], [3n, "dtmf"]);
  backlog.acknowledge(3);
  assert.deepEqual([backlog.firstSequence, backlog.nextSequence], [4, 5]);
  backlog.acknowledge(99);
  assert.deepEqual([backlog.firstSequence, backlog.sizeBytes], [5, 0]);
});

test("a sender waits for the request that is not there yet", async () => {
  const backlog = new Backlog(1_000);
  const request = backlog.get(2, never);
  backlog.add(dtmf("1"));
  assert.ok((await request).length > 0);
});

test("room waits while too much is kept, and acknowledged until nothing is", async () => {
  const backlog = new Backlog(20);
  await backlog.room();
  for (const digit of ["1", "2"]) backlog.add(dtmf(digit));
  const order: string[] = [];
  const waiting = [backlog.room().then(() => order.push("room")), backlog.acknowledged().then(() => order.push("all"))];
  backlog.acknowledge(2);
  await waiting[0];
  assert.deepEqual(order, ["room"]);
  backlog.acknowledge(3);
  await waiting[1];
  assert.deepEqual(order, ["room", "all"]);
});

test("what is durable is told once, in order, and not of what was dropped", () => {
  const backlog = new Backlog(1_000);
  const told: number[] = [];
  for (const number of [1, 2, 3]) backlog.add(dtmf("1"), () => { told.push(number); });
  backlog.acknowledge(3);
  backlog.acknowledge(2);
  backlog.close();
  assert.deepEqual(told, [1, 2]);
});

test("a closed backlog drops everything and lets everybody through", async () => {
  const backlog = new Backlog(1);
  backlog.add(dtmf("1"));
  const waiting = Promise.all([backlog.room(), backlog.acknowledged()]);
  backlog.close();
  await waiting;
  backlog.add(dtmf("2"));
  assert.deepEqual([backlog.firstSequence, backlog.nextSequence, backlog.sizeBytes], [3, 3, 0]);
});
