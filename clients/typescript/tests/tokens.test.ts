import assert from "node:assert/strict";
import { generateKeyPairSync, verify } from "node:crypto";
import { test } from "node:test";

import { applicationToken } from "recorder-client";

const ID = "2c4f0e1a-6d9e-4a5b-9f0e-9b8a1c2d3e4f";
const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const PEM = privateKey.export({ type: "pkcs8", format: "pem" }).toString();

function decode(part: string | undefined): Record<string, unknown> {
  return JSON.parse(Buffer.from(part ?? "", "base64url").toString()) as Record<string, unknown>;
}

test("a token is signed with RS256 and has the claims of the Vonage SDKs", () => {
  const token = applicationToken(ID, PEM, { ttlS: 60, nowS: 1_700_000_000.7, acl: { paths: {} } });
  const [header, claims, signature] = token.split(".");
  assert.deepEqual(decode(header), { alg: "RS256", typ: "JWT" });
  const { jti, ...rest } = decode(claims);
  assert.match(String(jti), /^[0-9a-f-]{36}$/);
  assert.deepEqual(rest, { application_id: ID, iat: 1_700_000_000, exp: 1_700_000_060, acl: { paths: {} } });
  const signed = Buffer.from(`${header ?? ""}.${claims ?? ""}`);
  assert.ok(verify("sha256", signed, publicKey, Buffer.from(signature ?? "", "base64url")));
});

test("a wrong id, age or key is named, and the key is not told", () => {
  assert.throws(() => applicationToken("me", PEM), /applicationId is "me"/);
  assert.throws(() => applicationToken(ID, PEM, { ttlS: 29 }), /ttlS is 29/);
  assert.throws(() => applicationToken(ID, PEM, { ttlS: Number.NaN }), /ttlS is NaN/);
  const small = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey.export({ type: "pkcs8", format: "pem" });
  const curve = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
  for (const pem of ["secret words", small.toString(), curve.toString(), publicKey.export({ type: "spki", format: "pem" }).toString()]) {
    assert.throws(() => applicationToken(ID, pem), (error: Error) => error.message.startsWith("privateKeyPem is not") && !error.message.includes("secret words"));
  }
});
