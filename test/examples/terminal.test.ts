import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { embedded } from "../support/clients.ts";
import { Examples } from "../support/examples.ts";
import { until } from "../support/until.ts";

const examples = new Examples();
/** What the programs have in common, and what they start: no programs themselves. */
const shared = ["command-line", "rehearsal-bridge", "terminal"];
const names = readdirSync(join(__dirname, "..", "..", "examples"))
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.replace(/\.ts$/, ""))
  .filter((name) => !shared.includes(name));

describe.each(names)("%s", (name) => {
  test("prints its usage for --help", async () => {
    const { code, out, err } = await examples.run(name, ["--help"]).ended;
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(new RegExp(`^usage: (?:npm run )?${name}\\b`));
    for (const line of out.split("\n")) expect(line.length, line).toBeLessThanOrEqual(95);
  });

  test("knows all options that its usage names", async () => {
    const { out } = await examples.run(name, ["--help"]).ended;
    const options = [...out.matchAll(/^ {2}(--[\w-]+)( [A-Z]+)?/gm)];
    expect(options.length).toBeGreaterThan(0);
    // One argument too many is told only once all options are known.
    const args = options.flatMap(([, option, value]) => (value === undefined ? [option!] : [option!, "1"]));
    const { code, err } = await examples.run(name, ["a", "b", "c", ...args]).ended;
    expect(code).toBe(1);
    expect(err).toContain("one argument too many");
  });

  test("names the option that was probably meant, and prints its usage, for one that it does not know", async () => {
    const { out } = await examples.run(name, ["--help"]).ended;
    const [, option] = /^ {2}--([\w-]+)/m.exec(out)!;
    const misspelt = option!.replace(/(.)(.)(.)/, "$1$3$2");
    const run = await examples.run(name, [`--${misspelt}`, "x"]).ended;
    expect(run).toMatchObject({
      code: 1,
      out: "",
      err: `${name}: unknown option --${misspelt}; did you mean --${option}?\n${out}`,
    });
    const { err } = await examples.run(name, ["--nothing-like-it"]).ended;
    expect(err).toBe(`${name}: unknown option --nothing-like-it\n${out}`);
  });

});

test("output that cannot be written is a failure, told in one line, and a demo ends then", async ({ skip }) => {
  if (!existsSync("/dev/full")) skip("there is no /dev/full");
  const server = await embedded();
  for (const [name, ...args] of [
    ["pub", "c", "x"],
    ["demo", examples.file("many.txt", "a line\n".repeat(2_000_000))],
  ]) {
    const program = [process.execPath, examples.pathOf(name!), ...args, "--server", server.url];
    const shell = spawn("sh", ["-c", '"$@" > /dev/full', "sh", ...program], { stdio: ["ignore", "inherit", "pipe"] });
    let err = "";
    shell.stderr!.setEncoding("utf8").on("data", (text) => (err += text));
    const code = await new Promise((resolve) => shell.once("close", resolve));
    expect({ code, err }).toEqual({ code: 1, err: `${name}: cannot write: ENOSPC: no space left on device, write\n` });
    expect(server.clients).toEqual([]);
  }
});

test("pub and load-file whose output nobody reads do all that they were told", async () => {
  const server = await embedded();
  const file = examples.file("two.txt", "1\n2\n");
  for (const args of [["pub", "c", "x"], ["load-file", file, "c"]]) {
    const run = examples.run(args[0]!, [...args.slice(1), "--server", server.url]);
    run.leave();
    expect(await run.ended).toMatchObject({ code: 0, signal: null, err: "" });
  }
  expect(server.messages("c").map(({ text }) => text)).toEqual(["x", "1", "2"]);
  expect(server.clients).toEqual([]);
});

test("sub ends when nobody reads its output any more, in its way", async () => {
  const server = await embedded();
  const sub = examples.run("sub", ["c", "--server", server.url]);
  await until("it is subscribed", () => server.subscriptions("c").length === 1);
  server.publish("c", "1");
  await sub.printed(/ 1\n/);
  sub.leave();
  server.publish("c", "2");
  expect(await sub.ended).toMatchObject({ code: 0, signal: null, err: "" });
  expect([server.clients, server.subscriptions("c")]).toEqual([[], []]);
});

test("the service and the pool of workers stop when nobody reads their output any more, as when told to", async () => {
  const server = await embedded();
  const service = examples.run("service", ["--every", "5", "--port", "0", "--server", server.url]);
  await service.printed(/"event":"invoice"/);
  service.leave();
  expect(await service.ended).toMatchObject({ code: 0, signal: null, err: "" });

  const pool = examples.run("workers", ["--server", server.url]);
  await pool.printed(/ready\n(.|\n)* ready\n/);
  pool.leave();
  server.publish("jobs", "a job");
  expect(await pool.ended).toMatchObject({ code: 0, signal: null, err: "" });
  expect(server.clients).toEqual([]);
  expect(server.subscriptions("jobs").flatMap(({ pending }) => pending)).toEqual([]);
});
