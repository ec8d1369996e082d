import { builtin } from "./builtin.ts";
import { NatsError } from "./errors.ts";
import { encoder, isBytes } from "./text.ts";

/**
 * What proves to a NATS server who we are; exactly one of the forms.
 *
 * - `user` and `pass`: the password as it was set, not as the server stores it
 * - `token`: the one token of the server's configuration
 * - `nkeySeed`: a user's nkey seed, 58 characters starting with SU; it never leaves the process
 * - `creds`: the contents (not the path) of a credentials file: a user JWT and the seed that it belongs to
 * - `sign`, with `nkey` (a user's public key, 56 characters starting with U), `jwt` (a user JWT) or both: for a seed
 *   that this process does not have. At every dial the function gets the bytes of the server's nonce. It returns the 64
 *   bytes of their Ed25519 signature, or a promise of them, in what is left of `connectTimeout`; a server waits 2
 *   seconds by default. If it throws or returns anything else, the dial fails, with `AUTH_FAILED`.
 */
export type Credentials =
  | { user: string; pass: string }
  | { token: string }
  | { nkeySeed: string }
  | { creds: string }
  | { nkey: string; sign: (nonce: Uint8Array) => Uint8Array | Promise<Uint8Array> }
  | { jwt: string; sign: (nonce: Uint8Array) => Uint8Array | Promise<Uint8Array> };

/** @internal The fields of CONNECT that carry credentials, under the names that they have there. */
export interface AuthFields {
  user?: string;
  pass?: string;
  auth_token?: string;
  nkey?: string;
  jwt?: string;
  sig?: string;
}

/** Well-formed credentials: fields that CONNECT sends as they are, or what signs the server's nonce. */
type Checked =
  | { fields: AuthFields }
  | { seed: Uint8Array; jwt?: string }
  | { fieldsToSign: AuthFields; sign: (nonce: Uint8Array) => unknown };

/**
 * @internal
 * Returns the fields of CONNECT for these credentials, or none without credentials. The seed of an nkey or a creds
 * text signs the nonce of the server's INFO by Ed25519, or the caller's function does. The signature is in base64url
 * without padding (nats-server 2.10 takes it).
 *
 * Rejects with a NatsError `AUTHORIZATION` if the credentials are malformed, if they need a nonce and the server gave
 * none, or if the caller's function fails. The message has no part of a secret.
 */
export async function authenticate(
  credentials: Credentials | undefined,
  nonce: string | undefined,
): Promise<AuthFields> {
  if (credentials === undefined) return {};
  const checked = usable(credentials);
  if ("fields" in checked) return checked.fields;
  if (!nonce) {
    throw new NatsError("AUTHORIZATION", "the server gave no nonce to sign: it is not set up for nkeys or JWTs");
  }
  const bytes = encoder.encode(nonce);
  if ("sign" in checked) {
    return { ...checked.fieldsToSign, sig: encode(await signedBy(checked.sign, bytes), base64url) };
  }
  const { publicKey, signature } = sign(checked.seed, bytes);
  const sig = encode(signature, base64url);
  return checked.jwt === undefined ? { nkey: nkey(publicKey), sig } : { jwt: checked.jwt, sig };
}

/**
 * @internal
 * Checks that the credentials have one of the forms and are well-formed. That includes the checksum and the kind of an
 * nkey or its seed, and the two blocks of a creds text. It needs no server and no cryptography.
 *
 * @throws TypeError that names the option and the rule. The message has no part of a secret.
 */
export function checkCredentials(credentials: unknown): asserts credentials is Credentials {
  check(credentials);
}

function usable(credentials: Credentials): Checked {
  try {
    return check(credentials);
  } catch (error) {
    throw new NatsError("AUTHORIZATION", error instanceof TypeError ? error.message : "auth cannot be read");
  }
}

function check(credentials: unknown): Checked {
  const { user, pass, token, nkeySeed, creds, nkey, jwt, sign } = Object(credentials) as Record<string, unknown>;
  const forms = [user ?? pass, token, nkeySeed, creds, sign].filter((form) => form !== undefined);
  if (forms.length !== 1) {
    throw new TypeError("auth must hold exactly one of: user and pass; token; nkeySeed; creds; sign with nkey or jwt");
  }
  if (token !== undefined) return { fields: { auth_token: filled(token, "auth.token") } };
  if (nkeySeed !== undefined) return { seed: readSeed(filled(nkeySeed, "auth.nkeySeed").trim(), "auth.nkeySeed") };
  if (creds !== undefined) return readCreds(filled(creds, "auth.creds"));
  if (sign !== undefined) {
    if (typeof sign !== "function") throw new TypeError("auth.sign must be a function");
    if (nkey === undefined && jwt === undefined) throw new TypeError("auth.sign needs auth.nkey or auth.jwt beside it");
    const fields: AuthFields = {};
    if (nkey !== undefined) fields.nkey = readPublicKey(filled(nkey, "auth.nkey").trim());
    if (jwt !== undefined) fields.jwt = readJwt(filled(jwt, "auth.jwt").trim(), "auth.jwt");
    return { fieldsToSign: fields, sign: (nonce) => sign.call(credentials, nonce) };
  }
  if (typeof pass !== "string") throw new TypeError("auth.pass must be a string");
  return { fields: { user: filled(user, "auth.user"), pass } };
}

function filled(value: unknown, name: string): string {
  if (typeof value !== "string" || value === "") throw new TypeError(`${name} must be a string that is not empty`);
  return value;
}

/**
 * Reads a creds text. It has two blocks: the JWT, then the seed. A block is a line of dashes around a title, a line
 * of data, and a line of dashes again. The titles and the lines between the blocks may be anything. Lines may end
 * in CR LF.
 */
function readCreds(creds: string): Checked {
  const lines = creds.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const isRule = (line: string | undefined) => line !== undefined && /^---.*---$/.test(line);
  const blocks: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    if (isRule(lines[i]) && !isRule(lines[i + 1]) && isRule(lines[i + 2])) {
      blocks.push(lines[i + 1]);
      i += 2;
    }
  }
  const [jwt, seed] = blocks;
  if (jwt === undefined) {
    throw new TypeError("auth.creds must be the contents (not the path) of a creds file: no block of dashes and data");
  }
  readJwt(jwt, "auth.creds: the first block");
  if (seed === undefined) throw new TypeError("auth.creds: the second block, the seed, is missing");
  return { jwt, seed: readSeed(seed, "auth.creds: the seed") };
}

function readJwt(jwt: string, name: string): string {
  if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(jwt)) return jwt;
  throw new TypeError(`${name} must be a JWT: three parts of base64url with dots between them`);
}

/** Calls the caller's function. What it returns is not shown: it may be the seed. */
async function signedBy(sign: (nonce: Uint8Array) => unknown, nonce: Uint8Array): Promise<Uint8Array> {
  let signature: unknown;
  try {
    signature = await sign(nonce);
  } catch (error) {
    throw new NatsError("AUTHORIZATION", "auth.sign: the function that signs the server's nonce failed", error);
  }
  if (isBytes(signature) && signature.length === SIGNATURE_BYTES) return signature;
  const given = isBytes(signature) ? `${signature.length} bytes` : `a value of type ${typeof signature}`;
  throw new NatsError("AUTHORIZATION", `auth.sign must return a Uint8Array of ${SIGNATURE_BYTES} bytes, not ${given}`);
}

// nkeys: base32 of a prefix (one byte; two in a seed), 32 bytes of key, and the CRC-16 of all that, low byte first.

const base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const SIGNATURE_BYTES = 64;
const seedPrefix = 18 << 3;
const userPrefix = 20 << 3;
const kinds = new Map([
  [userPrefix, "a user"],
  [0 << 3, "an account"],
  [14 << 3, "an operator"],
  [13 << 3, "a server"],
  [2 << 3, "a cluster"],
  [23 << 3, "a curve key"],
]);

/** Returns the 32 bytes of a user's Ed25519 seed. */
function readSeed(seed: string, name: string): Uint8Array {
  const bytes = readKey(seed, name, 58);
  if ((bytes[0] & 0xf8) !== seedPrefix) throw new TypeError(`${name} must be a seed, which starts with SU`);
  // The prefix byte of the seed's owner lies across two bytes: its upper three bits, then its lower five.
  checkOwner(((bytes[0] & 7) << 5) | (bytes[1] >> 3), `${name} must be the seed`);
  return bytes.slice(2, 34);
}

/** Returns the text again if it is a user's public key. */
function readPublicKey(key: string): string {
  checkOwner(readKey(key, "auth.nkey", 56)[0], "auth.nkey must be the public key");
  return key;
}

/** Returns the bytes of a key or seed of so many characters. */
function readKey(text: string, name: string, length: number): Uint8Array {
  if (!/^[A-Z2-7]*$/.test(text)) throw new TypeError(`${name} must have only the characters A to Z and 2 to 7`);
  if (text.length !== length) throw new TypeError(`${name} must have ${length} characters, but has ${text.length}`);
  const bytes = decodeBase32(text);
  const end = bytes.length - 2;
  if ((bytes[end] | (bytes[end + 1] << 8)) !== crc16(bytes.subarray(0, end))) {
    throw new TypeError(`${name} has a wrong checksum: a character was changed or lost`);
  }
  return bytes;
}

function checkOwner(prefix: number, what: string): void {
  if (prefix === userPrefix) return;
  throw new TypeError(`${what} of a user, but is that of ${kinds.get(prefix) ?? "an unknown kind"}`);
}

/** Returns the text of a user's public key. */
function nkey(publicKey: Uint8Array): string {
  const bytes = new Uint8Array(35);
  bytes[0] = userPrefix;
  bytes.set(publicKey, 1);
  const crc = crc16(bytes.subarray(0, 33));
  bytes[33] = crc & 0xff;
  bytes[34] = crc >> 8;
  return encode(bytes, base32);
}

/** The bytes before the 32 bytes of an Ed25519 seed in PKCS #8 (RFC 8410). */
const pkcs8Header = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

function sign(seed: Uint8Array, data: Uint8Array): { publicKey: Uint8Array; signature: Uint8Array } {
  // Loaded here: it takes 3 to 4 ms, and most programs never need it.
  const { crypto } = builtin;
  const pkcs8 = Uint8Array.from([...pkcs8Header, ...seed]);
  const key = crypto.createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  const publicKey = crypto.createPublicKey(key).export({ type: "spki", format: "der" }).subarray(-32);
  return { publicKey, signature: crypto.sign(null, data, key) };
}

/** CRC-16/XMODEM: polynomial 0x1021, starting at 0, not reflected. */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return crc;
}

/** Encodes by RFC 4648 without padding: 5 bits a character for an alphabet of 32 characters, 6 for one of 64. */
function encode(bytes: Uint8Array, alphabet: string): string {
  const width = Math.log2(alphabet.length);
  let text = "";
  let pending = 0;
  let bits = 0;
  for (const byte of bytes) {
    pending = ((pending << 8) | byte) & 0xffff;
    for (bits += 8; bits >= width; bits -= width) text += alphabet[(pending >> (bits - width)) & (alphabet.length - 1)];
  }
  return bits === 0 ? text : text + alphabet[(pending << (width - bits)) & (alphabet.length - 1)];
}

function decodeBase32(text: string): Uint8Array {
  const bytes = new Uint8Array((text.length * 5) >> 3);
  for (let i = 0; i < bytes.length * 8; i++) {
    const bit = (base32.indexOf(text[(i / 5) | 0]) >> (4 - (i % 5))) & 1;
    bytes[i >> 3] |= bit << (7 - (i & 7));
  }
  return bytes;
}
