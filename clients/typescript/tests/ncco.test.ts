import assert from "node:assert/strict";
import { test } from "node:test";

import { findRecordAction, recordAction } from "recorder-client";

test("a record action has the keys of the reference, and URLs in lists", () => {
  const transcription = { language: "en-US", eventUrl: "https://e.example/t" };
  assert.deepEqual(recordAction({ format: "wav", endOnSilence: 3, eventUrl: "https://e.example/", transcription }), {
    action: "record",
    format: "wav",
    endOnSilence: 3,
    eventUrl: ["https://e.example/"],
    transcription: { language: "en-US", eventUrl: ["https://e.example/t"] },
  });
  assert.deepEqual(recordAction(), { action: "record" });
});

test("the first record action of an NCCO is found", () => {
  const ncco = [{ action: "talk", text: "Hello" }, { action: "record", endOnKey: "#" }, { action: "record" }];
  assert.deepEqual(findRecordAction(ncco), { action: "record", endOnKey: "#" });
  assert.deepEqual(findRecordAction(JSON.stringify(ncco)), { action: "record", endOnKey: "#" });
  assert.equal(findRecordAction([{ action: "talk" }]), undefined);
  assert.throws(() => findRecordAction({ action: "record" }), /a list of actions/);
});
