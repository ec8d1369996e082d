import { createPrivateKey, type KeyObject, sign } from "node:crypto";

// Samples out of bytes that count up, made by the Go library nkeys 0.4.11; in use nowhere.
const operator = "OAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QZVT";
const account = "AAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QPZV";
/** Of another account: JetStream wants one for the system. */
const system = "AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT";
const issuerSeed = Array.from({ length: 32 }, (_, i) => i);
/** A user's public nkey, its seed, and the seed of another user. */
export const user = "UDO2LEHOZQ3Y25SXVAOIF63UIY2AYIISNTT7TGAODYJI2FI6ATDQXPFW";
export const userSeed = "SUAE2T2RKNKVOWK3LVPWCY3FM5UWW3LPOFZXK53ZPN6X7AMDQWDYTC2GHM";
export const otherSeed = "SUAJVHNAUOTKTLFPWK23RO56YHCMPSWN2DJ5NWO437ROL2HL53Y7J54PPE";

const utf8 = new TextEncoder();

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** A JWT, signed with `issuerSeed`, which the operator and the account share. `exp` is in seconds since 1970. */
function token(issuer: string, subject: string, nats: object, exp?: number): string {
  const part = (value: object): string => base64url(utf8.encode(JSON.stringify(value)));
  const claims = { jti: "test", iat: 1_700_000_000, iss: issuer, name: "test", sub: subject, nats, exp };
  const text = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part(claims)}`;
  return `${text}.${base64url(sign(null, utf8.encode(text), keyOf(issuerSeed)))}`;
}

/** The contents of a creds file for the user above, with this seed. The JWT expires at `exp`, in seconds since 1970. */
export function creds(seed: string, exp?: number): string {
  const limits = { pub: {}, sub: {}, subs: -1, data: -1, payload: -1 };
  const jwt = token(account, user, { ...limits, type: "user", version: 2 }, exp);
  return `-----BEGIN NATS USER JWT-----\r\n${jwt}\r\n------END NATS USER JWT------\r\n
-----BEGIN USER NKEY SEED-----\r\n${seed}\r\n------END USER NKEY SEED------\r\n`;
}

/** The JWT in a creds text. */
export function jwtOf(creds: string): string {
  return creds.split("\r\n")[1]!;
}

/** Signs as a program that has the seed and keeps it from this library. */
export function signature(seed: string, nonce: Uint8Array): Uint8Array {
  const letters = Array.from(seed, (letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter));
  const bits = letters.map((letter) => letter.toString(2).padStart(5, "0")).join("");
  const bytes = Array.from({ length: 32 }, (_, i) => parseInt(bits.slice(16 + i * 8, 24 + i * 8), 2));
  return sign(null, nonce, keyOf(bytes));
}

function keyOf(bytes: readonly number[]): KeyObject {
  const header = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
  return createPrivateKey({ key: Buffer.from([...header, ...bytes]), format: "der", type: "pkcs8" });
}

/** The configuration of a server that takes these creds, and lets them use JetStream if it has that. */
export function jwtConfig(): string {
  const limits = {
    ...{ subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 },
    ...{ mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 },
  };
  const tokenOf = (subject: string): string => token(operator, subject, { limits, type: "account", version: 2 });
  const systemToken = token(operator, system, { limits: {}, type: "account", version: 2 });
  return `operator: ${token(operator, operator, { type: "operator", version: 2 })}
    resolver: MEMORY
    system_account: ${system}
    resolver_preload: { ${account}: ${tokenOf(account)}, ${system}: ${systemToken} }`;
}
