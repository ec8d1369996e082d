import { BridgeError } from "../bridge/index.ts";
import { helpOf, nearest, PROGRAM, read, usageOf } from "./arguments.ts";
import { bridge } from "./bridge.ts";
import { channels } from "./channels.ts";
import { clients } from "./clients.ts";
import type { Command } from "./command.ts";
import { dead } from "./dead.ts";
import { doctor } from "./doctor.ts";
import { UsageError } from "./host.ts";
import type { Host } from "./host.ts";
import { lag } from "./lag.ts";
import { Output, reasonOf } from "./output.ts";
import { pub } from "./pub.ts";
import { server } from "./server.ts";
import { sub } from "./sub.ts";
import { subs } from "./subs.ts";

/** @internal All commands, in the order of the help. */
export const COMMANDS = [pub, sub, channels, clients, subs, lag, dead, doctor, server, ...bridge];
const HELP: readonly (string | undefined)[] = ["help", "--help", "-h"];
/** What the bridge needs and does not have: something else has to be done first. */
const PRECONDITIONS: readonly string[] = [
  ...["VERSION", "NO_JETSTREAM", "NO_MONITOR", "NOT_PERMITTED", "UNKNOWN_CHANNEL", "UNKNOWN_DURABLE"],
  ...["NAME_TAKEN", "WRONG_PHASE", "BRIDGE_RUNS", "CONSUMER_CONNECTED", "NOT_LEVEL"],
];

function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    `usage: ${PROGRAM} COMMAND [arguments] [options]`,
    "",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    `${PROGRAM} COMMAND --help shows the options and an example.`,
    "Exit codes: 0 done, 1 failed, 2 wrong usage or something that it needs is missing.",
  ].join("\n");
}

/** @internal Runs the command line of the host. Resolves with the exit code, and never rejects. */
export async function main(host: Host): Promise<number> {
  const output = new Output(host, host.args.includes("--json"));
  const [first, second] = host.args;
  const named = (wanted: string): Command | undefined => COMMANDS.find(({ name }) => name === wanted);
  const two = named(`${first} ${second}`);
  const command = two ?? named(first ?? "");
  if (command === undefined) return withoutCommand(output, first, second);
  try {
    const run = read(command, host.args.slice(two === undefined ? 1 : 2), host);
    if (run !== undefined) return await command.run(run);
    output.say(helpOf(command));
    return 0;
  } catch (error) {
    return failed(error, command, host, output);
  }
}

/** Help is what was asked for, or what is needed. */
function withoutCommand(output: Output, first: string | undefined, second: string | undefined): number {
  const group = COMMANDS.filter(({ name }) => name.startsWith(`${first} `));
  const commands = group.length > 0 ? group : COMMANDS;
  const word = group.length > 0 ? second : first;
  if (word === undefined || HELP.includes(word)) {
    output.say(overview(commands));
    return word === undefined ? 2 : 0;
  }
  const names = commands.map(({ name }) => name);
  const given = group.length > 0 ? `${first} ${second}` : word;
  const similar = nearest(given, names);
  const hint = similar === undefined ? `there are ${names.join(", ")}` : `did you mean ${similar}?`;
  output.warn(`${PROGRAM}: there is no command ${given}; ${hint}`);
  return 2;
}

function failed(error: unknown, command: Command, host: Host, output: Output): number {
  const { code, remedy } = error as { code?: string; remedy?: string };
  // Ctrl-C is no failure of its own, but what was under way is not done.
  if (host.signal.aborted && code === "ABORTED") return 1;
  const wrong = error instanceof UsageError || error instanceof TypeError;
  if (output.json) {
    const known = { code: code ?? (wrong ? "USAGE" : "FAILED"), message: reasonOf(error), remedy };
    output.warn(JSON.stringify({ error: known }));
  } else {
    output.warn(`${PROGRAM} ${command.name}: ${reasonOf(error)}`);
    if (error instanceof BridgeError) output.warn(error.remedy);
    if (wrong) output.warn(`${usageOf(command)}\n${PROGRAM} ${command.name} --help shows all of them.`);
  }
  return wrong || (error instanceof BridgeError && PRECONDITIONS.includes(error.code)) ? 2 : 1;
}
