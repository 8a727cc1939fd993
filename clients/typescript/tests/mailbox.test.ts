import assert from "node:assert/strict";
import { test } from "node:test";

import { Mailbox } from "../src/mailbox.js";

test("messages come in order, and undefined after the last", async () => {
  const mailbox = new Mailbox<number>(10);
  const first = mailbox.take();
  mailbox.put(1);
  mailbox.put(2);
  mailbox.close();
  assert.deepEqual([await first, await mailbox.take(), await mailbox.take()], [1, 2, undefined]);
});

test("the oldest make room for the newest", async () => {
  const mailbox = new Mailbox<number>(2);
  for (const message of [1, 2, 3]) mailbox.put(message);
  assert.deepEqual([await mailbox.take(), await mailbox.take()], [2, 3]);
});
