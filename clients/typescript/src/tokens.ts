import { createPrivateKey, type KeyObject, randomUUID, sign } from "node:crypto";

const MIN_TTL_S = 30;
const MAX_TTL_S = 24 * 3600;
const MIN_KEY_BITS = 2048;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What a token holds beside the application. */
export interface TokenOptions {
  /** How long it holds, 30 s to 24 h; 900 s where absent. */
  ttlS?: number;
  /**
   * Limits it to some paths: `{paths: {"/*\/files/**": {methods: ["GET"]}}}`, where `methods` may be left out. `*`
   * stands for one segment, `**` for the rest. Absent means no limit.
   */
  acl?: Readonly<Record<string, unknown>>;
  /** Unix time in seconds; absent means the clock's. */
  nowS?: number;
}

/**
 * Make a token that proves to Recorder which application is calling, with the claims that the Vonage SDKs put into
 * theirs.
 *
 * Make a new one well before it ends: it cannot be renewed. Whoever holds it has the application's rights until then.
 *
 * @param applicationId - The application's UUID.
 * @param privateKeyPem - Its private key, RSA, at least 2048 bits, as it was shown when the key was made.
 * @throws RangeError if an argument is not as described; the text names it.
 */
export function applicationToken(applicationId: string, privateKeyPem: string | Buffer, options: TokenOptions = {}): string {
  const { ttlS = 900, acl, nowS = Date.now() / 1000 } = options;
  if (!(ttlS >= MIN_TTL_S && ttlS <= MAX_TTL_S)) {
    throw new RangeError(`ttlS is ${ttlS} but must be ${MIN_TTL_S} to ${MAX_TTL_S} seconds`);
  }
  if (!UUID.test(applicationId)) {
    throw new RangeError(`applicationId is ${JSON.stringify(applicationId)} but must be a UUID`);
  }
  const iat = Math.floor(nowS);
  const claims = { application_id: applicationId.toLowerCase(), iat, jti: randomUUID(), exp: iat + Math.floor(ttlS), acl };
  const signed = `${base64url({ alg: "RS256", typ: "JWT" })}.${base64url(claims)}`;
  return `${signed}.${sign("sha256", Buffer.from(signed), rsaKey(privateKeyPem)).toString("base64url")}`;
}

function base64url(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function rsaKey(pem: string | Buffer): KeyObject {
  const key = readKey(pem);
  if (key?.asymmetricKeyType !== "rsa" || (key.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_KEY_BITS) {
    throw new RangeError(
      `privateKeyPem is not the PEM of an RSA private key without a passphrase, of at least ${MIN_KEY_BITS} bits`,
    );
  }
  return key;
}

function readKey(pem: string | Buffer): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    // OpenSSL's words would not help, and may quote the key.
    return undefined;
  }
}
