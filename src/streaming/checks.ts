import { subjectRule } from "../core-nats/subject.ts";

/** Names that other clients give to options, where the names are not similar. */
const ALIASES: Readonly<Record<string, string>> = {
  url: "servers",
  uri: "servers",
  user: "auth",
  pass: "auth",
  token: "auth",
  creds: "auth",
  nkey: "auth",
  acktimeout: "publishTimeout",
  reconnecttimewait: "reconnectDelay",
  qgroup: "queue",
  group: "queue",
  deliverallavailable: "startAt",
  startposition: "startAt",
  startsequence: "startAt",
  starttime: "startAt",
  rejectunauthorized: "ca",
};

/** @internal The largest int32. No timer waits longer, and the protocol has no larger number. */
export const LARGEST_INT32 = 2 ** 31 - 1;
const LONGEST_NAME = 256;

/** @internal @throws TypeError unless the server accepts it as a channel name, and a NATS subject can contain it */
export function checkChannel(subject: string, option = "subject"): void {
  const rule = subjectRule(subject, false) ?? (subject.includes("/") ? "must have no /" : undefined);
  if (rule !== undefined) bad(option, rule, subject);
}

/**
 * @internal Checks the names of options: a misspelt option would silently do nothing. `form` shows a correct call.
 * @throws TypeError
 */
export function checkNames(call: string, names: readonly string[], options: object, form: string): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`the options of ${call} must be an object: ${form}`);
  }
  for (const option of Object.keys(options)) {
    if (names.includes(option)) continue;
    const meant = similar(option.toLowerCase().replace(/_/g, ""), names);
    const question = meant === undefined ? "" : `; did you mean ${meant}?`;
    throw new TypeError(`${call} has no option ${JSON.stringify(option.slice(0, 64))}${question}`);
  }
}

function similar(option: string, names: readonly string[]): string | undefined {
  const alias = ALIASES[option];
  if (alias !== undefined && names.includes(alias)) return alias;
  const like = (name: string): boolean => option.includes(name.toLowerCase()) || name.toLowerCase().includes(option);
  return names.find((name) => name.toLowerCase() === option) ?? (option.length > 2 ? names.find(like) : undefined);
}

/** @internal Checks a name that operators read, and that file names and logs contain. @throws TypeError */
export function name(option: string, value: string): string {
  const fits = typeof value === "string" && value !== "" && value.length <= LONGEST_NAME;
  if (!fits || /[\s\p{Cc}\p{Z}\p{Cs}\ufeff]/u.test(value)) {
    bad(option, `must be 1 to ${LONGEST_NAME} characters without blanks, line breaks and control characters`, value);
  }
  return value;
}

/** @internal @throws TypeError unless a timer can wait for this time */
export function milliseconds(option: string, value: number | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || !(value > 0) || value > LARGEST_INT32) {
    bad(option, `must be a number of milliseconds above 0 and up to ${LARGEST_INT32}`, value);
  }
  return value;
}

/** @internal @throws TypeError unless it is 0, or a time that a timer can wait */
export function checkDelay(option: string, value: unknown): void {
  if (typeof value === "number" && value >= 0 && value <= LARGEST_INT32) return;
  bad(option, `must be a number of milliseconds from 0 to ${LARGEST_INT32}`, value);
}

/** @internal @throws TypeError unless it is whole seconds, in milliseconds */
export function seconds(option: string, value: number | undefined, fallback: number): number {
  const whole = milliseconds(option, value, fallback);
  if (whole % 1000 !== 0) bad(option, "must be whole seconds (a multiple of 1000 milliseconds), at least 1000", value);
  return whole;
}

/** @internal @throws TypeError unless it is a whole number from `least` to `most` */
export function integer(
  option: string,
  value: number | undefined,
  fallback: number,
  least: number,
  most: number,
): number {
  if (value === undefined) return fallback;
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    bad(option, `must be a whole number from ${least} to ${most}`, value);
  }
  return value;
}

/** @internal @throws TypeError unless it is true, false or undefined */
export function boolean(option: string, value: boolean | undefined): boolean {
  if (value !== undefined && typeof value !== "boolean") bad(option, "must be true or false", value);
  return value === true;
}

/** @internal @throws TypeError that names the option, the rule and the value */
export function bad(option: string, rule: string, value: unknown): never {
  throw new TypeError(`${option} ${rule}, not ${shown(value)}`);
}

/** @internal @throws TypeError that names the option and the rule, but never the value of the secret */
export function secret(option: string, rule: string, value: unknown): never {
  throw new TypeError(`${option} ${rule}, not ${kindOf(value)}`);
}

function shown(value: unknown): string {
  if (typeof value === "string") {
    const escaped = (c: string): string => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
    const text = JSON.stringify(value.slice(0, 64)).replace(/[^\x20-\x7e]/g, escaped);
    return value.length > 64 ? `${text}… (${value.length} characters)` : text;
  }
  return typeof value === "number" || typeof value === "boolean" ? String(value) : kindOf(value);
}

/** @internal The kind of a value, for a text that must not show the value itself. */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  return Array.isArray(value) ? "an array" : "an object";
}
