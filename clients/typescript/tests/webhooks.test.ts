import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { test } from "node:test";

import { verifyWebhook, WebhookRejected, type WebhookToVerify } from "recorder-client";

const SECRET = "a signature secret of at least 32 bytes";
const BODY = '{"size":162558,"recording_uuid":"aaaaaaaa-0000-4000-8000-000000000001"}';
const NOW_S = 1_700_000_010;

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

function signed(changes: Record<string, unknown> = {}, { secret = SECRET, alg = "HS256", content = BODY } = {}): string {
  const payload_hash = createHash("sha256").update(content).digest("hex");
  const claims = { iat: NOW_S - 10, jti: "delivery-1", iss: "Vonage", payload_hash, api_key: "12ab34cd", ...changes };
  const text = `${part({ alg, typ: "JWT" })}.${part(claims)}`;
  return `Bearer ${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

function fault(webhook: Partial<WebhookToVerify>): string {
  try {
    verifyWebhook({ authorization: signed(), secret: SECRET, nowS: NOW_S, ...("query" in webhook ? {} : { body: BODY }), ...webhook });
  } catch (error) {
    assert.ok(error instanceof WebhookRejected);
    assert.ok(!error.message.includes(SECRET));
    return error.reason;
  }
  return "none";
}

test("a good webhook is told apart by its delivery", () => {
  const found = verifyWebhook({ authorization: signed(), secret: SECRET, body: Buffer.from(BODY), nowS: NOW_S, apiKey: "12ab34cd" });
  const { claims, ...rest } = found;
  assert.deepEqual(rest, { deliveryId: "delivery-1", applicationId: "", apiKey: "12ab34cd", issuedS: NOW_S - 10 });
  assert.equal(claims["iss"], "Vonage");
});

test("a GET is verified by its parameters in their order, the last of a name in the place of its first", () => {
  const content = '{"b":"2 ä","10":"x","a":"3"}';
  const authorization = signed({}, { content });
  assert.equal(fault({ authorization, query: "?b=1&10=x&a=3&b=2%20%C3%A4" }), "none");
  assert.equal(fault({ authorization, query: "10=x&b=2%20%C3%A4&a=3" }), "payload");
});

test("what is not from Recorder, not whole, or not fresh is rejected with the reason", () => {
  assert.equal(fault({ authorization: undefined }), "missing");
  assert.equal(fault({ authorization: "Basic abc" }), "missing");
  assert.equal(fault({ authorization: "Bearer abc" }), "malformed");
  assert.equal(fault({ authorization: signed({}, { alg: "none" }) }), "malformed");
  assert.equal(fault({ authorization: `${signed()}.x` }), "malformed");
  assert.equal(fault({ authorization: signed({}, { secret: "another secret" }) }), "signature");
  assert.equal(fault({ authorization: signed({ payload_hash: undefined }) }), "payload");
  assert.equal(fault({ body: `${BODY} ` }), "payload");
  assert.equal(fault({ authorization: signed({ jti: "" }) }), "malformed");
  assert.equal(fault({ authorization: signed({ iat: "now" }) }), "malformed");
  assert.equal(fault({ nowS: NOW_S + 300 }), "age");
  assert.equal(fault({ nowS: NOW_S - 75 }), "age");
  assert.equal(fault({ apiKey: "another" }), "api_key");
});

test("a wrong use is a TypeError", () => {
  assert.throws(() => verifyWebhook({ authorization: signed(), secret: SECRET }), TypeError);
  assert.throws(() => verifyWebhook({ authorization: signed(), secret: "", body: BODY }), TypeError);
});
