import { createPrivateKey, sign } from "node:crypto";
import { connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Credentials } from "../../src/core-nats/auth.ts";
import { authenticate } from "../../src/core-nats/auth.ts";
import { NatsServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";
import { until } from "../support/until.ts";

// Samples out of bytes that count up, made by the Go library nkeys 0.4.11; in use nowhere.
const operator = "OAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QZVT";
const account = "AAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QPZV";
const issuerSeed = Array.from({ length: 32 }, (_, i) => i);
const user = "UDO2LEHOZQ3Y25SXVAOIF63UIY2AYIISNTT7TGAODYJI2FI6ATDQXPFW";
const userSeed = "SUAE2T2RKNKVOWK3LVPWCY3FM5UWW3LPOFZXK53ZPN6X7AMDQWDYTC2GHM";
const otherSeed = "SUAJVHNAUOTKTLFPWK23RO56YHCMPSWN2DJ5NWO437ROL2HL53Y7J54PPE";

let server: NatsServer | undefined;
afterEach(async () => {
  await server?.stop();
  server = undefined;
});

/** What a server answers to a bare CONNECT with these credentials: "PONG", or an error. */
async function answer(port: number, credentials?: Credentials): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port });
  let received = "";
  socket.on("data", (bytes) => (received += new TextDecoder().decode(bytes)));
  socket.on("error", () => {});
  const line = (index: number) =>
    until(`the server has sent line ${index}`, () => {
      const lines = received.split("\r\n");
      return lines.length > index + 1 ? lines[index] : undefined;
    });
  try {
    const { nonce } = JSON.parse((await line(0)).slice("INFO ".length)) as { nonce?: string };
    const fields = { verbose: false, pedantic: false, ...authenticate(credentials, nonce) };
    socket.write(new TextEncoder().encode(`CONNECT ${JSON.stringify(fields)}\r\nPING\r\n`));
    return await line(1);
  } finally {
    socket.destroy();
  }
}

/** A JWT that does not expire, signed with `issuerSeed`, which the operator and the account share. */
function token(issuer: string, subject: string, nats: object): string {
  const base64url = (bytes: Uint8Array) =>
    btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const part = (value: object) => base64url(new TextEncoder().encode(JSON.stringify(value)));
  const claims = { jti: "test", iat: 1_700_000_000, iss: issuer, name: "test", sub: subject, nats };
  const text = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part(claims)}`;
  const header = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
  const key = createPrivateKey({ key: Uint8Array.from([...header, ...issuerSeed]), format: "der", type: "pkcs8" });
  return `${text}.${base64url(sign(null, new TextEncoder().encode(text), key))}`;
}

function creds(seed: string): string {
  const jwt = token(account, user, { pub: {}, sub: {}, subs: -1, data: -1, payload: -1, type: "user", version: 2 });
  return `-----BEGIN NATS USER JWT-----\r\n${jwt}\r\n------END NATS USER JWT------\r\n
-----BEGIN USER NKEY SEED-----\r\n${seed}\r\n------END USER NKEY SEED------\r\n`;
}

const refusal = "-ERR 'Authorization Violation'";

describeWithServer(
  "a real NATS server with credentials",
  () => {
    test("takes the right user and password, and no others", async () => {
      server = await NatsServer.start({ config: `authorization { user: "ü x", password: "p\\"@:/" }` });
      expect(await answer(server.port, { user: "ü x", pass: `p"@:/` })).toBe("PONG");
      expect(await answer(server.port, { user: "ü x", pass: "other" })).toBe(refusal);
      expect(await answer(server.port)).toBe(refusal);
    });

    test("takes the right token, and no other", async () => {
      server = await NatsServer.start({ config: `authorization { token: "t0k/en" }` });
      expect(await answer(server.port, { token: "t0k/en" })).toBe("PONG");
      expect(await answer(server.port, { token: "other" })).toBe(refusal);
    });

    test("takes the nonce signed with the right nkey, and with no other", async () => {
      server = await NatsServer.start({ config: `authorization { users: [ { nkey: ${user} } ] }` });
      expect(await answer(server.port, { nkeySeed: userSeed })).toBe("PONG");
      expect(await answer(server.port, { nkeySeed: otherSeed })).toBe(refusal);
    });

    test("takes a creds text whose seed belongs to its JWT, and no other seed", async () => {
      const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
      const accountToken = token(operator, account, { limits, type: "account", version: 2 });
      server = await NatsServer.start({
        config: `operator: ${token(operator, operator, { type: "operator", version: 2 })}
          resolver: MEMORY
          resolver_preload: { ${account}: ${accountToken} }`,
      });
      expect(await answer(server.port, { creds: creds(userSeed) })).toBe("PONG");
      expect(await answer(server.port, { creds: creds(otherSeed) })).toBe(refusal);
    });

    test("gives no nonce where it has no nkeys, which credentials that need one report", async () => {
      server = await NatsServer.start();
      expect(await answer(server.port)).toBe("PONG");
      for (const credentials of [{ nkeySeed: userSeed }, { creds: creds(userSeed) }]) {
        await expect(answer(server.port, credentials)).rejects.toMatchObject({ code: "AUTHORIZATION" });
      }
    });
  },
  ["nats"],
);
