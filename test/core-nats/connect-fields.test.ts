import { expect, test } from "vitest";
import { connectFields, VERSION } from "../../src/core-nats/connect-fields.ts";
import { NatsError } from "../../src/core-nats/errors.ts";
import { readInfo } from "../../src/core-nats/info.ts";

test("CONNECT asks for headers and 503s where the server has headers, and says whether TLS is spoken", async () => {
  const usual = { verbose: false, pedantic: false, lang: "typescript", version: VERSION, protocol: 1, echo: true };
  for (const has of [true, false]) {
    expect(await connectFields("me", undefined, readInfo(`{"headers":${has}}`), !has)).toEqual({
      ...usual,
      name: "me",
      tls_required: !has,
      headers: has,
      no_responders: has,
    });
  }
});

test("CONNECT has the credentials, and signs the nonce of the server", async () => {
  const info = readInfo('{"nonce":"PXoWU7zWAMt75FY"}');
  expect(await connectFields("me", { user: "u", pass: "p" }, info, true)).toMatchObject({ user: "u", pass: "p" });
  const nkeySeed = "SUAE2T2RKNKVOWK3LVPWCY3FM5UWW3LPOFZXK53ZPN6X7AMDQWDYTC2GHM";
  const signed = { nkey: expect.stringMatching(/^U/), sig: expect.stringMatching(/./) };
  expect(await connectFields("me", { nkeySeed }, info, true)).toMatchObject(signed);
  await expect(connectFields("me", { nkeySeed }, readInfo("{}"), true)).rejects.toThrow(NatsError);
});
