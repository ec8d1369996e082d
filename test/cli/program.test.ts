import { join } from "node:path";
import { expect, test } from "vitest";
import { sleep } from "../../src/core-nats/async.ts";
import { userSeed } from "../support/nkeys.ts";
import { start } from "../support/program.ts";
import { root } from "../support/tarball.ts";

const PROGRAM = join(root, "dist", "cli.js");

test("the program serves until Ctrl-C, which ends it with 0", async () => {
  const server = start(PROGRAM, ["server", "--port", "0", "--json"]);
  const { url } = JSON.parse(await server.printed(/\n/)) as { url: string };
  const pub = start(PROGRAM, ["pub", "orders", "-"], { NATS_URL: url });
  pub.give("one\ntwo\n");
  expect(await pub.ended).toEqual({ code: 0, signal: null, out: "", err: "" });
  const sub = start(PROGRAM, ["sub", "orders", "--from", "first"], { NATS_URL: url });
  const printed = await sub.printed(/ two\n/);
  expect(printed).toMatch(/^#1 \S+ one\n#2 \S+ two\n$/);
  sub.kill("SIGINT");
  expect(await sub.ended).toMatchObject({ code: 0, signal: null, err: "" });
  server.kill("SIGINT");
  expect(await server.ended).toMatchObject({ code: 0, signal: null, err: "" });
});

test("the program waits for credentials from standard input, and may use them for both sides", async () => {
  const nobody = ["--from", "127.0.0.1:1", "--to", "127.0.0.1:1", "--monitor", "none"];
  const copy = start(PROGRAM, ["bridge", "copy", ...nobody, "--nkey", "-", "--to-nkey", "-"]);
  // So that it reads before there is anything, on all but the slowest machine.
  await sleep(500);
  copy.give(`${userSeed}\n`);
  expect(await copy.ended).toMatchObject({ code: 1, err: expect.stringContaining("cannot connect to 127.0.0.1:1") });
});

test("the program ends with 2 for a wrong command line, and without a word when nobody reads it any more", async () => {
  expect(await start(PROGRAM, ["nonsense"]).ended).toMatchObject({ code: 2, out: "" });
  const missing = await start(PROGRAM, ["pub", "orders", "--file", "none.txt", "-s", "127.0.0.1:1"]).ended;
  expect(missing).toMatchObject({ code: 2, out: "", err: expect.stringContaining("cannot use none.txt: no such") });
  const server = start(PROGRAM, ["server", "--port", "0", "--json"]);
  const { url } = JSON.parse(await server.printed(/\n/)) as { url: string };
  const pub = start(PROGRAM, ["pub", "orders", "-"], { NATS_URL: url });
  pub.give("x\n".repeat(2_000));
  await pub.ended;
  const sub = start(PROGRAM, ["sub", "orders", "--from", "first"], { NATS_URL: url });
  await sub.printed(/\n/);
  sub.leave();
  const more = start(PROGRAM, ["pub", "orders", "-"], { NATS_URL: url });
  more.give("y\n".repeat(2_000));
  await more.ended;
  expect(await sub.ended).toMatchObject({ code: 0, signal: null, err: "" });
});
