import { createHash, createHmac, timingSafeEqual } from "node:crypto";

const CLOCK_LEEWAY_S = 60;
const BASE64URL = /^[A-Za-z0-9_-]+$/;

/** What is wrong with a webhook, for programs. */
export type WebhookFault = "missing" | "malformed" | "signature" | "payload" | "age" | "api_key";

/** The webhook is not to be trusted: answer 401 and do nothing else. */
export class WebhookRejected extends Error {
  /** Tells it from other errors where the class is not at hand. */
  override readonly name = "WebhookRejected";
  /** What is wrong. */
  readonly reason: WebhookFault;

  /** Describe what is wrong. */
  constructor(reason: WebhookFault, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** What a good signature says. */
export interface VerifiedWebhook {
  /** Id of the delivery (`jti`), the same on every try: remember it to recognise repeats. */
  deliveryId: string;
  /** The application it is about; empty where it names none. */
  applicationId: string;
  /** Names the secret it was signed with. */
  apiKey: string;
  /** When this try was signed, Unix seconds. */
  issuedS: number;
  /** All claims. */
  claims: Readonly<Record<string, unknown>>;
}

/** A webhook as it came, and what it must be signed with. */
export interface WebhookToVerify {
  /** Value of the Authorization header. */
  authorization: string | undefined;
  /** The application's signature secret. */
  secret: string | Buffer;
  /** The raw body of a POST, before any parsing. Give either this or `query`. */
  body?: Uint8Array | string;
  /** The raw query of a GET, with or without its question mark. */
  query?: string;
  /** Oldest signature that is accepted, 300 s where absent. Each try is signed anew, so late retries are fresh too. */
  maxAgeS?: number;
  /** The key the webhook must name; absent means any. */
  apiKey?: string;
  /** Unix time in seconds; absent means the clock's. */
  nowS?: number;
}

/**
 * Check a webhook's signature and that it was made for exactly this content. A good signature alone proves nothing
 * about the body: the hash in it does, and it is compared here.
 *
 * @throws WebhookRejected if it is not to be trusted.
 * @throws TypeError if neither or both of `body` and `query` are given, or the secret is empty.
 */
export function verifyWebhook(webhook: WebhookToVerify): VerifiedWebhook {
  const { authorization, secret, body, query, maxAgeS = 300, apiKey, nowS = Date.now() / 1000 } = webhook;
  if ((body === undefined) === (query === undefined)) throw new TypeError("give either body (POST) or query (GET)");
  if (secret.length === 0) throw new TypeError("secret is empty; pass the application's signature secret");
  const claims = signedClaims(authorization, secret);
  checkPayload(claims, body ?? queryObject(query ?? ""));
  const verified = readClaims(claims);
  const ageS = nowS - verified.issuedS;
  if (!(ageS >= -CLOCK_LEEWAY_S && ageS <= maxAgeS)) {
    throw new WebhookRejected("age", `the webhook was signed ${Math.round(ageS)} s ago; at most ${maxAgeS} s are accepted`);
  }
  if (apiKey !== undefined && !equal(verified.apiKey, apiKey)) {
    throw new WebhookRejected("api_key", "the webhook names another api_key");
  }
  return verified;
}

// RFC 7515 section 5.2 and RFC 8725: the algorithm is ours to choose, not the token's.
function signedClaims(authorization: string | undefined, secret: string | Buffer): Readonly<Record<string, unknown>> {
  const [scheme = "", token = ""] = (authorization ?? "").trim().split(/ +/, 2);
  if (scheme.toLowerCase() !== "bearer") {
    throw new WebhookRejected("missing", "the webhook has no Authorization header with a Bearer token");
  }
  const [header = "", payload = "", signature = "", ...more] = token.split(".");
  const parts = [header, payload, signature];
  if (more.length > 0 || !parts.every((part) => BASE64URL.test(part)) || jsonObject(header)["alg"] !== "HS256") malformed();
  const expected = createHmac("sha256", secret).update(`${header}.${payload}`).digest("base64url");
  if (!equal(signature, expected)) {
    throw new WebhookRejected("signature", "the webhook was not signed with this secret");
  }
  return jsonObject(payload);
}

function jsonObject(part: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(part, "base64url")));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  return malformed();
}

/** Give what the signature of a GET is about: the parameters as one compact JSON object in their order. */
function queryObject(query: string): string {
  // The last value of a parameter counts, in the place of its first. A Map keeps the order, whatever the keys are.
  const parameters = new Map(new URLSearchParams(query));
  const members = [...parameters].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  return `{${members.join(",")}}`;
}

function checkPayload(claims: Readonly<Record<string, unknown>>, content: Uint8Array | string): void {
  const signedHash = claims["payload_hash"];
  if (typeof signedHash !== "string") throw new WebhookRejected("payload", "the webhook's signature covers no content");
  if (!equal(signedHash.toLowerCase(), createHash("sha256").update(content).digest("hex"))) {
    throw new WebhookRejected("payload", "the webhook's content is not what was signed");
  }
}

function readClaims(claims: Readonly<Record<string, unknown>>): VerifiedWebhook {
  const { jti, iat } = claims;
  if (typeof jti !== "string" || jti === "") return malformed("the webhook's signature has no jti");
  if (typeof iat !== "number") return malformed("the webhook's signature has no iat");
  return {
    deliveryId: jti,
    applicationId: text(claims["application_id"]),
    apiKey: text(claims["api_key"]),
    issuedS: Math.trunc(iat),
    claims,
  };
}

function text(claim: unknown): string {
  return typeof claim === "string" ? claim : "";
}

function equal(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function malformed(message = "the webhook's token is not one that Recorder makes"): never {
  throw new WebhookRejected("malformed", message);
}
