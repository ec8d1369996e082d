import { connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Credentials } from "../../src/core-nats/auth.ts";
import { authenticate } from "../../src/core-nats/auth.ts";
import { creds, jwtConfig, otherSeed, user, userSeed } from "../support/nkeys.ts";
import { NatsServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";
import { until } from "../support/until.ts";

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
    const fields = { verbose: false, pedantic: false, ...(await authenticate(credentials, nonce)) };
    socket.write(new TextEncoder().encode(`CONNECT ${JSON.stringify(fields)}\r\nPING\r\n`));
    return await line(1);
  } finally {
    socket.destroy();
  }
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
      server = await NatsServer.start({ config: jwtConfig() });
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
