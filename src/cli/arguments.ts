import { parseArgs } from "node:util";
import { Access, ACCESS_OPTIONS } from "./access.ts";
import type { OptionDefinition, Options } from "./access.ts";
import type { Command, Run } from "./command.ts";
import { UsageError } from "./host.ts";
import type { Host } from "./host.ts";
import { Output } from "./output.ts";

const COMMON: Options = { json: { help: "prints JSON" }, help: { help: "prints this", short: "h" } };

/** @internal The name of the program. */
export const PROGRAM = "nats-streaming-client";

/** All options of a command, the common ones last. */
function optionsOf(command: Command): Options {
  const common = Object.entries(ACCESS_OPTIONS).filter(([, { of }]) => of.some((use) => command.uses.includes(use)));
  return { ...command.options, ...Object.fromEntries(common), ...COMMON };
}

/** @internal The first line of a command's help. */
export function usageOf({ name, args }: Command): string {
  return ["usage:", PROGRAM, name, ...args, "[options]"].join(" ");
}

/** @internal What --help prints. */
export function helpOf(command: Command): string {
  const row = ([name, { value, help, short }]: [string, OptionDefinition]): string => {
    const option = `${short === undefined ? "" : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`;
    return `  ${option.padEnd(20)}  ${help}`;
  };
  return [
    usageOf(command),
    "",
    command.summary,
    ...(command.notes ?? []),
    "",
    ...Object.entries(optionsOf(command)).map(row),
    "",
    `example: ${PROGRAM} ${command.example}`,
  ].join("\n");
}

/**
 * @internal What a command runs with, or undefined if its help was asked for.
 * @throws UsageError
 */
export function read(command: Command, args: readonly string[], host: Host): Run | undefined {
  const options = optionsOf(command);
  const { values, positionals } = parse(args, options);
  if (values["help"] === true) return undefined;
  const most = command.args.at(-1)?.includes("…") === true ? Infinity : command.args.length;
  const missing = command.args[positionals.length];
  if (missing !== undefined && !missing.startsWith("[")) throw new UsageError(`${missing} is missing`);
  if (positionals.length > most) throw new UsageError(`one argument too many: ${positionals[most]}`);
  const text = (name: string): string | undefined => values[name] as string | undefined;
  return {
    host,
    output: new Output(host, values["json"] === true),
    access: new Access(host, command.name.replace(/\W.*/, ""), text),
    args: positionals,
    text,
    flag: (name) => values[name] === true,
    number: (name, byDefault, least = 0, most = Infinity) => {
      const given = text(name);
      if (given === undefined) return byDefault;
      if (/^\d{1,15}$/.test(given) && Number(given) >= least && Number(given) <= most) return Number(given);
      const range = most === Infinity ? `from ${least} on` : `from ${least} to ${most}`;
      throw new UsageError(`--${name} must be a whole number ${range}, not ${given}`);
    },
  };
}

function parse(args: readonly string[], options: Options): ReturnType<typeof parseArgs> {
  const known = Object.entries(options).map(([name, { value, short }]) => {
    const type = value === undefined ? "boolean" : "string";
    return [name, { type, ...(short && { short }) }] as const;
  });
  try {
    return parseArgs({ args, options: Object.fromEntries(known), allowPositionals: true });
  } catch (error) {
    const { message } = error as Error;
    const unknown = /^Unknown option '-*([^']*)'/.exec(message)?.[1];
    if (unknown === undefined) throw new UsageError(message);
    const similar = nearest(unknown, Object.keys(options));
    throw new UsageError(`unknown option --${unknown}${similar === undefined ? "" : `; did you mean --${similar}?`}`);
  }
}

/** @internal The name that was probably meant: at most two letters differ. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  return [1, 2].flatMap((changes) => names.filter((name) => isNear(word, name, changes)))[0];
}

function isNear(a: string, b: string, changes: number): boolean {
  if (changes < 0) return false;
  if (a === "" || b === "") return a.length + b.length <= changes;
  const [restOfA, restOfB] = [a.slice(1), b.slice(1)];
  if (a[0] === b[0]) return isNear(restOfA, restOfB, changes);
  return isNear(restOfA, b, changes - 1) || isNear(a, restOfB, changes - 1) || isNear(restOfA, restOfB, changes - 1);
}
