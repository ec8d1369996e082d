import { BridgeError } from "../bridge/index.ts";
import { StreamingError } from "../index.ts";
import { helpOf, nearest, PROGRAM, read, usageOf } from "./arguments.ts";
import { bridge } from "./bridge-commands.ts";
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

/** What the bridge needs and does not have. */
const PRECONDITIONS: readonly string[] = [
  ...["VERSION", "NO_JETSTREAM", "NO_MONITOR", "NOT_PERMITTED", "UNKNOWN_CHANNEL", "UNKNOWN_DURABLE"],
  ...["NAME_TAKEN", "WRONG_PHASE", "BRIDGE_RUNS", "CONSUMER_CONNECTED", "NOT_LEVEL"],
];

/** @internal All commands, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  ...[pub, sub, channels, clients, subs, lag, dead, doctor, server],
  ...bridge,
];

const HELP: readonly (string | undefined)[] = ["help", "--help", "-h"];

function overview(commands = COMMANDS): string {
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
  const json = host.args.includes("--json");
  const output = new Output(host, json);
  const [first, second] = host.args;
  if (first === undefined || HELP.includes(first)) {
    output.say(overview());
    return first === undefined ? 2 : 0;
  }
  const two = COMMANDS.find(({ name }) => name === `${first} ${second}`);
  const command = two ?? COMMANDS.find(({ name }) => name === first);
  if (command === undefined) {
    const group = COMMANDS.filter(({ name }) => name.startsWith(`${first} `));
    if (group.length > 0 && (second === undefined || HELP.includes(second))) {
      output.say(overview(group));
      return second === undefined ? 2 : 0;
    }
    const names = (group.length > 0 ? group : COMMANDS).map(({ name }) => name);
    const similar = nearest(group.length > 0 ? `${first} ${second}` : first, names);
    const hint = similar === undefined ? `; there are ${names.join(", ")}` : `; did you mean ${similar}?`;
    output.warn(`${PROGRAM}: there is no command ${group.length > 0 ? `${first} ${second}` : first}${hint}`);
    return 2;
  }
  try {
    const run = read(command, host.args.slice(two === undefined ? 1 : 2), host);
    if (run !== undefined) return await command.run(run);
    output.say(helpOf(command));
    return 0;
  } catch (error) {
    return failed(error, command, host, output);
  }
}

function failed(error: unknown, command: Command, host: Host, output: Output): number {
  // Ctrl-C is no failure of its own, but what was under way is not done.
  if (host.signal.aborted && isAborted(error)) return 1;
  const wrong = error instanceof UsageError || error instanceof TypeError;
  if (output.json) {
    const { code = wrong ? "USAGE" : "FAILED", remedy } = error as { code?: string; remedy?: string };
    output.warn(JSON.stringify({ error: { code, message: reasonOf(error), remedy } }));
  } else {
    output.warn(`${PROGRAM} ${command.name}: ${reasonOf(error)}`);
    if (error instanceof BridgeError) output.warn(error.remedy);
    if (wrong) output.warn(`${usageOf(command)}\n${PROGRAM} ${command.name} --help shows all of them.`);
  }
  return wrong || isPrecondition(error) ? 2 : 1;
}

/** Whether something else has to be done first. */
function isPrecondition(error: unknown): boolean {
  return error instanceof BridgeError && PRECONDITIONS.includes(error.code);
}

function isAborted(error: unknown): boolean {
  return (error instanceof StreamingError || error instanceof BridgeError) && error.code === "ABORTED";
}
