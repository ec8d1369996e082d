import { createPublicKey, verify } from "node:crypto";
import { runInNewContext } from "node:vm";
import { describe, expect, test, vi } from "vitest";
import type { AuthFields, Credentials } from "../../src/core-nats/auth.ts";
import { authenticate, checkCredentials } from "../../src/core-nats/auth.ts";
import { NatsError } from "../../src/core-nats/errors.ts";
import { forEachSeed } from "../support/random.ts";

const nonce = "PXoWU7zWAMt75FY";

// Made by the Go library nkeys 0.4.11 out of bytes that count up (in steps of 1, 2 and 3): samples, in use nowhere.
const samples = [
  {
    seed: "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y",
    nkey: "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK",
    signature:
      "6e7c60e46f1a395d8b41d484fe570cf5c9719bf7db4d3671b2a4351294cd8095" +
      "e61facf97b37ac778f645dfb8d86802ac3f0e612db0670db0976e83dc0cb910d",
  },
  {
    seed: "SUAE2T2RKNKVOWK3LVPWCY3FM5UWW3LPOFZXK53ZPN6X7AMDQWDYTC2GHM",
    nkey: "UDO2LEHOZQ3Y25SXVAOIF63UIY2AYIISNTT7TGAODYJI2FI6ATDQXPFW",
    signature:
      "c0005112f1015bbe8e7381d7012d4abfc2a64be3b5b198f2fd2b4760c22b2be8" +
      "3844d2fa6a7353be9dcfd5627d31afab4f78648b482c2d64d5b32e7b02b9400a",
  },
  {
    seed: "SUAJVHNAUOTKTLFPWK23RO56YHCMPSWN2DJ5NWO437ROL2HL53Y7J54PPE",
    nkey: "UAVVHXHYTCG6A3OWQQUWNSPEOR7NNISELN3BSJYCSJD3DPULCTCWMPFK",
    signature:
      "d62917f88e7029f5e9d6a65e6fb410ea337b82b1e0efe3659de08da50f28f40c" +
      "729973073cf115704d0b69dd71d6deca25e78335c4319be880508ef324005407",
  },
];
const { seed, nkey } = samples[0]!;
const otherKinds = {
  "an account": "SAAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4HYMHI",
  "an operator": "SOAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H2AJA",
  "a server": "SNAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H2D5U",
  "a cluster": "SCAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4HYO7Q",
};

const jwt = "eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJDQU5BUlkifQ.c2lnbmF0dXJl-_";
const creds = `-----BEGIN NATS USER JWT-----
${jwt}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.
NKEYs are sensitive and should be treated as secrets.

-----BEGIN USER NKEY SEED-----
${seed}
------END USER NKEY SEED------

*************************************************************
`;

const spkiHeader = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const user = [0xa0];
const userSeed = [0x95, 0x00];

/** Written apart from the library's own: digit by digit, and the CRC by division of bits. */
function nkeyText(prefix: readonly number[], key: Uint8Array): string {
  const toBits = (bytes: Iterable<number>) => Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
  const data = [...prefix, ...key];
  const remainder = Array.from(toBits(data) + "0".repeat(16), Number);
  for (let i = 0; i < remainder.length - 16; i++) {
    if (remainder[i] === 1) for (const tap of [0, 4, 11, 16]) remainder[i + tap]! ^= 1;
  }
  const crc = parseInt(remainder.slice(-16).join(""), 2);
  const bits = toBits([...data, crc & 0xff, crc >> 8]);
  const letters = bits.match(/.{1,5}/g)!.map((digit) => parseInt(digit.padEnd(5, "0"), 2));
  return letters.map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[letter]).join("");
}

function keyOf(nkey: string): Uint8Array {
  const letters = Array.from(nkey, (letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter));
  const bits = letters.map((letter) => letter.toString(2).padStart(5, "0")).join("");
  return Uint8Array.from({ length: 32 }, (_, i) => parseInt(bits.slice(8 + i * 8, 16 + i * 8), 2));
}

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}

async function failureOf(credentials: unknown, nonce: string | undefined): Promise<NatsError> {
  const failure: unknown = await authenticate(credentials as Credentials, nonce).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(NatsError);
  return failure as NatsError;
}

describe("the fields of CONNECT", () => {
  const plain: [string, Credentials | undefined, AuthFields][] = [
    ["no credentials give none", undefined, {}],
    ["a user and a password go as they are", { user: "ü", pass: ' p:"@' }, { user: "ü", pass: ' p:"@' }],
    ["a password may be empty", { user: "u", pass: "" }, { user: "u", pass: "" }],
    ["a token is called auth_token", { token: "t" }, { auth_token: "t" }],
  ];
  test.each(plain)("%s", async (_, credentials, fields) => {
    expect(await authenticate(credentials, undefined)).toEqual(fields);
    expect(await authenticate(credentials, nonce)).toEqual(fields);
  });

  test("nothing but the names of the form is taken over", async () => {
    const credentials = { token: "t", account: "CANARY", __proto__: { jwt: "CANARY" } };
    expect(await authenticate(credentials, nonce)).toEqual({ auth_token: "t" });
  });

  test("credentials may be an object that hides them behind getters", async () => {
    class Secret {
      #token = "t";
      get token(): string {
        return this.#token;
      }
    }
    expect(await authenticate(new Secret(), undefined)).toEqual({ auth_token: "t" });
  });

  test.each(samples)("an nkey seed gives the key and the signature that Go's nkeys gives: $nkey", async (sample) => {
    const fields = await authenticate({ nkeySeed: sample.seed }, nonce);
    expect(Object.keys(fields).sort()).toEqual(["nkey", "sig"]);
    expect(fields.nkey).toBe(sample.nkey);
    expect(fields.sig).toMatch(/^[\w-]{86}$/);
    expect(hex(bytesOf(fields.sig!))).toBe(sample.signature);
  });

  test("a creds text gives its JWT and the signature of its seed", async () => {
    const { sig } = await authenticate({ nkeySeed: seed }, nonce);
    expect(await authenticate({ creds }, nonce)).toEqual({ jwt, sig });
  });

  test("whatever the key and the nonce, the signature fits the public key", async () => {
    await forEachSeed(100, async (random) => {
      const nonce = random.text(random.int(1, 40));
      const fields = await authenticate({ nkeySeed: nkeyText(userSeed, random.bytes(32)) }, nonce);
      const key = keyOf(fields.nkey!);
      expect(fields.nkey).toBe(nkeyText(user, key));
      const spki = Uint8Array.from([...spkiHeader, ...key]);
      const publicKey = createPublicKey({ key: spki, format: "der", type: "spki" });
      const verifies = (text: string) => verify(null, new TextEncoder().encode(text), publicKey, bytesOf(fields.sig!));
      expect(verifies(nonce)).toBe(true);
      expect(verifies(`${nonce}.`)).toBe(false);
    });
  });

  test.each([undefined, ""])("a server that gives no nonce (%o) is told, before anything is signed", async (none) => {
    const sign = vi.fn(() => new Uint8Array(64));
    for (const credentials of [{ nkeySeed: seed }, { creds }, { nkey, sign }]) {
      const error = await failureOf(credentials, none);
      expect(error.code).toBe("AUTHORIZATION");
      expect(error.reason).toContain("no nonce");
    }
    expect(sign).not.toHaveBeenCalled();
  });
});

describe("malformed credentials", () => {
  const changed = (text: string, at: number) => text.slice(0, at) + (text[at] === "B" ? "C" : "B") + text.slice(at + 1);
  const seedBlock = creds.indexOf("-----BEGIN USER");

  const bad: [string, unknown, RegExp][] = [
    ["nothing", undefined, /^auth must hold exactly one of/],
    ["null", null, /^auth must hold exactly one of/],
    ["a text", "CANARY", /^auth must hold exactly one of/],
    ["an empty object", {}, /^auth must hold exactly one of/],
    ["an unknown form", { CANARY: "CANARY" }, /^auth must hold exactly one of/],
    ["a function that signs, and a seed", { nkey, sign() {}, nkeySeed: seed }, /^auth must hold exactly one of/],
    ["a function that signs for nobody", { sign() {} }, /^auth\.sign needs auth\.nkey or auth\.jwt beside it$/],
    ["an nkey and nothing that signs", { nkey }, /^auth must hold exactly one of.*; sign with nkey or jwt$/],
    ["a JWT and nothing that signs", { jwt, sign: "CANARY" }, /^auth\.sign must be a function$/],
    ["an nkey that is empty", { nkey: "", sign() {} }, /^auth\.nkey must be a string that is not empty$/],
    ["an nkey cut short", { nkey: nkey.slice(1), sign() {} }, /^auth\.nkey must have 56 characters, but has 55$/],
    ["an nkey with a change", { nkey: changed(nkey, 9), sign() {} }, /^auth\.nkey has a wrong checksum/],
    ["a seed for an nkey", { nkey: seed, sign() {} }, /^auth\.nkey must have 56 characters, but has 58$/],
    ["an account's nkey", { nkey: nkeyText([0], new Uint8Array(32)), sign() {} }, /but is that of an account$/],
    ["a JWT that is none", { jwt: "CANARY.CANARY", sign() {} }, /^auth\.jwt must be a JWT: three parts/],
    ["two forms", { user: "CANARY", pass: "CANARY", token: "CANARY" }, /^auth must hold exactly one of/],
    ["a user without a password", { user: "CANARY" }, /^auth\.pass must be a string$/],
    ["a password without a user", { pass: "CANARY" }, /^auth\.user must be a string that is not empty$/],
    ["an empty user", { user: "", pass: "CANARY" }, /^auth\.user must be/],
    ["a password that is a number", { user: "CANARY", pass: 1234567 }, /^auth\.pass must be a string$/],
    ["an empty token", { token: "" }, /^auth\.token must be a string that is not empty$/],
    ["a token that is null", { token: null }, /^auth\.token must be/],
    ["a token that is bytes", { token: new Uint8Array(3) }, /^auth\.token must be/],
    ["an empty seed", { nkeySeed: "" }, /^auth\.nkeySeed must be a string that is not empty$/],
    ["a blank seed", { nkeySeed: " \n" }, /^auth\.nkeySeed must have 58 characters, but has 0$/],
    ["a seed cut short", { nkeySeed: seed.slice(0, -1) }, /^auth\.nkeySeed must have 58 characters, but has 57$/],
    ["a seed grown", { nkeySeed: seed + "A" }, /^auth\.nkeySeed must have 58 characters, but has 59$/],
    ["a public key", { nkeySeed: nkey }, /^auth\.nkeySeed must have 58 characters, but has 56$/],
    ["a seed in lower case", { nkeySeed: seed.toLowerCase() }, /^auth\.nkeySeed must have only the characters/],
    ["a seed with a blank within", { nkeySeed: seed.replace("M", " ") }, /^auth\.nkeySeed must have only the char/],
    ["a seed with a digit of no base32", { nkeySeed: seed.replace("M", "1") }, /^auth\.nkeySeed must have only/],
    ["58 characters that are no seed", { nkeySeed: nkeyText([0xa0, 0x00], new Uint8Array(32)) }, /must be a seed/],
    ["a seed of no known kind", { nkeySeed: nkeyText([0x97, 0xf8], new Uint8Array(32)) }, /that of an unknown kind$/],
    ["an empty creds text", { creds: "" }, /^auth\.creds must be a string that is not empty$/],
    ["a path", { creds: "/home/CANARY/user.creds" }, /^auth\.creds must be the contents \(not the path\)/],
    ["creds without the first block", { creds: creds.slice(seedBlock) }, /first block must be a JWT/],
    ["creds without the seed's block", { creds: creds.slice(0, seedBlock) }, /second block, the seed, is missing$/],
    ["creds without the seed", { creds: creds.replace(seed, "") }, /second block, the seed, is missing$/],
    ["creds without the JWT", { creds: creds.replace(jwt, "") }, /first block must be a JWT/],
    ["creds with a broken JWT", { creds: creds.replace(jwt, "CANARY.CANARY") }, /first block must be a JWT/],
    ["creds with a broken seed", { creds: creds.replace(seed, changed(seed, 20)) }, /the seed has a wrong checksum/],
    ["creds of an account", { creds: creds.replace(seed, otherKinds["an account"]) }, /but is that of an account$/],
    ...Object.entries(otherKinds).map(([kind, text]): [string, unknown, RegExp] => [
      `the seed of ${kind}`,
      { nkeySeed: text },
      new RegExp(`^auth\\.nkeySeed must be the seed of a user, but is that of ${kind}$`),
    ]),
  ];

  test.each(bad)("%s: the message names the option and the rule", async (_, credentials, message) => {
    expect(() => checkCredentials(credentials)).toThrow(TypeError);
    expect(messageOf(() => checkCredentials(credentials))).toMatch(message);
    if (credentials === undefined) return;

    const error = await failureOf(credentials, nonce);
    expect(error.code).toBe("AUTHORIZATION");
    expect(error.reason).toMatch(message);
  });

  test.each(bad)("%s: the message holds no part of the secret", (_, credentials) => {
    const values = typeof credentials === "object" ? Object.values(credentials ?? {}) : [credentials];
    const message = messageOf(() => checkCredentials(credentials));
    expect(message).not.toContain("CANARY");
    for (const secret of [...values.map(String), seed, jwt]) {
      // Six characters in a row cannot be there by chance: the messages are words in lower case.
      for (let i = 0; i + 6 <= secret.length; i++) {
        const part = secret.slice(i, i + 6);
        if (/[A-Z2-7]{6}/.test(part)) expect(message).not.toContain(part);
      }
    }
  });

  test("a change of any one character of a seed is noticed", () => {
    // The last character has three bits of the checksum and two of padding, which carry nothing.
    for (let i = 0; i < seed.length - 1; i++) {
      expect(() => checkCredentials({ nkeySeed: changed(seed, i) }), `character ${i}`).toThrow(TypeError);
    }
  });

  test("random text is refused with a TypeError and nothing else", async () => {
    await forEachSeed(500, (random) => {
      const text = random.text(random.int(1, 80), "SUA2-\n\r. =");
      expect(() => checkCredentials({ nkeySeed: text })).toThrow(TypeError);
      expect(() => checkCredentials({ creds: text })).toThrow(TypeError);
    });
  });
});

describe("accepted forms of seeds and creds", () => {
  const forms: [string, string][] = [
    ["LF", creds],
    ["CR LF", creds.replaceAll("\n", "\r\n")],
    ["no final newline and nothing else", creds.slice(0, creds.lastIndexOf("\n\n"))],
    ["text before, between and after", `# made by hand\n\n${creds.replace("IMPORTANT", "a - b --- c")}\nthe end`],
    ["one line between the blocks", creds.replace(/\n\n\*[^]*?\n\n-/, "\nnote\n-")],
    ["nothing between the blocks", creds.replace(/\n\n\*[^]*?\n\n-/, "\n-")],
    ["lines of dashes before", `---- a ----\n---- b ----\n${creds}`],
    ["indentation, as in YAML", creds.replaceAll(/^/gm, "    ")],
    ["other titles, three dashes", creds.replaceAll(/^-+(BEGIN|END)[^-]*-+$/gm, "---$1 X---")],
    ["blank lines around the data", creds.replace(seed, `\n${seed}\n`).replace(jwt, `\n${jwt}\n`)],
  ];
  test.each(forms)("creds with %s", async (_, text) => {
    checkCredentials({ creds: text });
    expect(await authenticate({ creds: text }, nonce)).toEqual(await authenticate({ creds }, nonce));
  });

  test("a seed as read from a file, with a newline", async () => {
    expect((await authenticate({ nkeySeed: `${seed}\r\n` }, nonce)).nkey).toBe(nkey);
  });
});

describe("a function that signs", () => {
  const signature = Uint8Array.from({ length: 64 }, (_, i) => i * 3);

  test("gets the bytes of the nonce; its signature goes with the nkey, the JWT, or both", async () => {
    const sign = vi.fn((_: Uint8Array) => signature);
    const { sig } = await authenticate({ nkey: ` ${nkey}\n`, sign }, nonce);
    expect(new TextDecoder().decode(sign.mock.calls[0]![0])).toBe(nonce);
    expect(sig).toMatch(/^[\w-]{86}$/);
    expect(bytesOf(sig!)).toEqual(signature);
    expect(await authenticate({ nkey, sign }, nonce)).toEqual({ nkey, sig });
    expect(await authenticate({ jwt, sign }, nonce)).toEqual({ jwt, sig });
    expect(await authenticate({ nkey, jwt, sign }, nonce)).toEqual({ nkey, jwt, sig });
  });

  test("may return a promise, a Buffer, or bytes of another realm", async () => {
    const { sig } = await authenticate({ nkey, sign: () => signature }, nonce);
    const foreign = runInNewContext(`Uint8Array.from([${signature.join()}])`) as Uint8Array;
    for (const given of [Promise.resolve(signature), Buffer.from(signature), foreign]) {
      expect(await authenticate({ nkey, sign: () => given as Uint8Array }, nonce)).toEqual({ nkey, sig });
    }
  });

  test("may be a method", async () => {
    class Vault {
      readonly nkey = nkey;
      readonly #signature = signature;
      sign(): Uint8Array {
        return this.#signature;
      }
    }
    expect((await authenticate(new Vault(), nonce)).nkey).toBe(nkey);
  });

  test.each([
    ["too few bytes", signature.subarray(1), "not 63 bytes"],
    ["too many", new Uint8Array(65), "not 65 bytes"],
    ["text", seed, "not a value of type string"],
    ["nothing", undefined, "not a value of type undefined"],
    ["what only inherits from bytes", Object.create(signature), "not a value of type object"],
  ])("that returns %s is told what it must return, without that", async (_, given, ending) => {
    const { code, reason } = await failureOf({ nkey, sign: () => given }, nonce);
    expect({ code, reason }).toEqual({
      code: "AUTHORIZATION",
      reason: `auth.sign must return a Uint8Array of 64 bytes, ${ending}`,
    });
  });

  test("that throws or rejects is the cause", async () => {
    const broken = new Error("the vault is closed");
    const throws = (): never => {
      throw broken;
    };
    for (const sign of [throws, () => Promise.reject(broken)]) {
      const { code, reason, cause } = await failureOf({ jwt, sign }, nonce);
      expect({ code, reason, cause }).toEqual({
        code: "AUTHORIZATION",
        reason: "auth.sign: the function that signs the server's nonce failed",
        cause: broken,
      });
    }
  });
});
