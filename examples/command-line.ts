// The command line of the examples: arguments and options, --help, and what is said to a wrong one.
import { parseArgs } from "node:util";
import { NAME } from "./terminal.ts";

/** What a program can be started with. Options have a value, which is a text; flags have none. */
interface Known<Option extends string, Flag extends string> {
  /** The names of the arguments, in their order; in brackets: may be left out. */
  readonly args?: readonly string[];
  readonly options?: readonly Option[];
  readonly flags?: readonly Flag[];
}

interface Given<Option extends string, Flag extends string> {
  readonly args: readonly string[];
  readonly options: { readonly [name in Option]?: string } & { readonly [name in Flag]?: boolean };
}

let usage = "";

/** What the program was started with. After --help it prints the usage and ends, after a mistake as `mistake` says. */
export function commandLine<Option extends string = never, Flag extends string = never>(
  text: string,
  { args = [], options = [], flags = [] }: Known<Option, Flag>,
): Given<Option, Flag> {
  usage = text;
  const known: Record<string, { type: "string" | "boolean" }> = { help: { type: "boolean" } };
  for (const name of options) known[name] = { type: "string" };
  for (const name of flags) known[name] = { type: "boolean" };
  let given;
  try {
    given = parseArgs({ options: known, allowPositionals: true });
  } catch (error) {
    const { message } = error as Error;
    const unknown = /^Unknown option '-*([^']*)'/.exec(message)?.[1];
    if (unknown === undefined) return mistake(message);
    const similar = [1, 2].flatMap((changes) => Object.keys(known).filter((name) => alike(unknown, name, changes)))[0];
    return mistake(`unknown option --${unknown}${similar === undefined ? "" : `; did you mean --${similar}?`}`);
  }
  const { values, positionals } = given;
  if (values["help"] === true) {
    process.stdout.write(`${usage}\n`);
    process.exit(0);
  }
  const missing = args[positionals.length];
  if (missing !== undefined && !missing.startsWith("[")) mistake(`${missing} is missing`);
  if (positionals.length > args.length) mistake(`one argument too many: ${positionals[args.length]}`);
  return { args: positionals, options: values as Given<Option, Flag>["options"] };
}

/** The value of an option as a whole number. */
export function wholeNumber(option: string, value: string | undefined, byDefault: number, least = 0): number {
  const number = Number(value ?? byDefault);
  const allowed = value === undefined || (/^\d+$/.test(value) && number >= least);
  return allowed ? number : mistake(`${option} must be a whole number from ${least} on, not ${value}`);
}

/** Why a file cannot be read, without the code, the call and the path of the system's message. */
export function unreadable(file: string, error: unknown): Error {
  const reason = (error as Error).message.replace(/^[A-Z]+: (.*), \w+(?: '.*')?$/, "$1");
  return new Error(`cannot read ${file}: ${reason}`, { cause: error });
}

/** Ends the program with code 1, with the reason and the usage on stderr. */
export function mistake(reason: string): never {
  process.stderr.write(`${NAME}: ${reason}\n${usage}\n`);
  process.exit(1);
}

/** Whether one word becomes the other when so many letters are changed, added or left out. */
function alike(a: string, b: string, changes: number): boolean {
  if (changes < 0) return false;
  if (a === "" || b === "") return a.length + b.length <= changes;
  const [restOfA, restOfB] = [a.slice(1), b.slice(1)];
  if (a[0] === b[0]) return alike(restOfA, restOfB, changes);
  return alike(restOfA, b, changes - 1) || alike(a, restOfB, changes - 1) || alike(restOfA, restOfB, changes - 1);
}
