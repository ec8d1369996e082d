import { copy, finish, move, open, plan, verify } from "../bridge/index.ts";
import type { BridgeError, BridgeOptions, CopyProgress, CopyReport } from "../bridge/index.ts";
import type { FinishReport, MoveReport, OpenReport, Plan, VerifyReport } from "../bridge/index.ts";
import { elapsed } from "../core-nats/clock.ts";
import { ACCESS_OPTIONS } from "./access.ts";
import type { Options } from "./access.ts";
import { durationIn } from "./command.ts";
import type { Command, Run } from "./command.ts";
import { UsageError } from "./host.ts";
import { bytesIn, counted, grouped, reasonOf } from "./output.ts";
import { printTable } from "./table.ts";

/** How often a line of progress is printed where no terminal is, in milliseconds. */
const EVERY = 10_000;

const BOTH_SIDES = "--from nats://stan:4222 --to nats://js:4222";
const CREDENTIALS = ["creds", "nkey", "tls-ca", "tls-cert", "tls-key"];
const SOURCE: Options = {
  from: { value: "URL", help: "NATS of the streaming server; default $NATS_URL, or nats://127.0.0.1:4222" },
  ...Object.fromEntries(["cluster", ...CREDENTIALS].map((name) => [name, ACCESS_OPTIONS[name]])),
  monitor: { value: "URL", help: "its monitoring port; default port 8222 of --from; none: do without" },
  id: { value: "ID", help: "the bridge's client ID there; default bridge-CLUSTER" },
};
const TARGET: Options = {
  to: { value: "URL", help: "NATS with JetStream; default $NATS_TO_URL" },
  ...Object.fromEntries(CREDENTIALS.map((name) => {
    const { value, help } = ACCESS_OPTIONS[name];
    return [`to-${name}`, { value, help: help.replace("--", "--to-").replace("$NATS_", "$NATS_TO_") }];
  })),
  domain: { value: "NAME", help: "the JetStream domain" },
  map: { value: "FILE", help: 'JSON: {"orders.eu": {"stream": "ORDERS", "maxAge": 86400000}}' },
  report: { value: "FILE", help: "writes all that was found and done, as JSON" },
};
const CHANNELS: Options = { channels: { value: "LIST", help: "names and patterns, with commas; default all" } };
const CHANNEL: Options = { channel: { value: "NAME", help: "the channel" } };
const MAX_AGE: Options = { "max-age": { value: "TIME", help: "how long streams keep a message; default for ever" } };
const STREAMS: Options = {
  replicas: { value: "N", help: "copies of each stream in a cluster; default 1" },
  ...MAX_AGE,
  memory: { help: "streams in memory" },
};

/** @internal The commands of the bridge: each is a function of nats-streaming-client/bridge. */
export const bridge: readonly Command[] = [
  bridgeCommand<Plan>({
    name: "plan",
    summary: "says what a move to JetStream would do, and what stands in its way; changes nothing",
    options: { ...CHANNELS, ...STREAMS },
    example: " --channels 'orders.*'",
    bad: 2,
    call: (_, options) => plan(options),
    show: showPlan,
  }),
  bridgeCommand<CopyReport>({
    name: "copy",
    summary: "copies channels into streams, each message under its number; goes on where the last one ended",
    options: { watch: { help: "follows the channels until Ctrl-C" }, ...CHANNELS, ...STREAMS },
    example: " --watch --replicas 3",
    call: (run, options) => copy({ ...options, watch: run.flag("watch"), onProgress: progressOf(run, copyLine) }),
    show: ({ output }, { channels }) => {
      for (const { channel, stream, copied, last, error } of channels) {
        if (error !== undefined) output.warn(`${error.code} ${error.message}\n${error.remedy}`);
        else output.say(`${channel}: ${counted(copied, "message")} copied, ${stream} has them up to ${last}`);
      }
    },
  }),
  bridgeCommand<VerifyReport>({
    name: "verify",
    summary: "compares channels with their streams, message by message, and names each difference",
    options: { "from-sequence": { value: "N", help: "compares from this message on; default 1" }, ...CHANNELS },
    example: " --channels orders.eu",
    call: (run, options) => {
      const fromSequence = run.number("from-sequence", 1, 1);
      return verify({ ...options, fromSequence, onProgress: progressOf(run, verifyLine) });
    },
    show: showVerified,
  }),
  bridgeCommand<MoveReport>({
    name: "move",
    summary: "moves a durable or a durable queue group, whose consumers have left, with what it has not acknowledged",
    options: {
      ...CHANNEL,
      durable: { value: "NAME", help: "the durable" },
      client: { value: "ID", help: "the client ID that it belongs to" },
      queue: { value: "NAME", help: "its queue group, in place of --client" },
      "ack-wait": { value: "TIME", help: "default as in the streaming server" },
      "max-in-flight": { value: "N", help: "of the whole consumer; default as in the streaming server" },
      "dry-run": { help: "changes nothing, and says what it would do" },
      back: { help: "from JetStream back to the streaming server" },
    },
    example: " --channel orders.eu --durable billing --client billing-1",
    call: (run, options) => {
      const { text, flag } = run;
      return move({
        ...{ ...options, channel: needed(run, "channel"), durable: needed(run, "durable") },
        ...{ client: text("client"), queue: text("queue"), back: flag("back"), dryRun: flag("dry-run") },
        ackWait: durationIn(run, "ack-wait", undefined),
        maxInFlight: run.number("max-in-flight", undefined, 1),
      });
    },
    show: ({ output }, { changed, dryRun, back, consumer, stream, lastSent, pending }) => {
      const verb = dryRun ? "would be moved" : changed ? "moved" : "was moved before";
      const again = `${counted(pending, "message")} ${pending === 1 ? "comes" : "come"} again`;
      const open = pending === 0 ? "all up to there is acknowledged" : again;
      const where = `${back ? "from" : "to"} the consumer ${consumer} of ${stream}`;
      output.say(`${verb} ${where}: it goes on behind ${lastSent}, ${open}`);
    },
  }),
  bridgeCommand<OpenReport>({
    name: "open",
    summary: "lets producers publish to the stream, while the copy goes on; there is no way back",
    options: CHANNEL,
    example: " --channel orders.eu",
    call: (run, options) => open({ ...options, channel: needed(run, "channel") }),
    show: ({ output }, { channel, subject, stream, changed }) => {
      const opened = changed ? "is open" : "was open before";
      output.say(`${channel} ${opened}: producers may publish to ${subject}, for ${stream}`);
    },
  }),
  bridgeCommand<FinishReport>({
    name: "finish",
    summary: "compares for the last time, and ends the copy of a channel that nobody publishes to any more",
    options: { ...CHANNEL, ...MAX_AGE },
    example: " --channel orders.eu",
    call: (run, options) => finish({ ...options, channel: needed(run, "channel") }),
    show: ({ output }, { channel, stream, changed, verified }) => {
      const finished = changed ? "is finished" : "was finished before";
      const compared = verified && `: ${counted(verified.compared, "message")} compared, no difference`;
      output.say(`${channel} ${finished}, and ${stream} is on its own${compared ?? ""}`);
    },
  }),
];

/** A command of the bridge: what it calls, and how it shows the report. */
interface BridgeCommand<Report> extends Pick<Command, "name" | "summary" | "options" | "example"> {
  call(run: Run, options: BridgeOptions): Promise<Report>;
  /** Prints the report for people. */
  show(run: Run, report: Report): void;
  /** The exit code of a report that is not ok; default 1. */
  readonly bad?: number;
}

/** Makes it a command like the others. */
function bridgeCommand<Report extends { readonly ok: boolean }>(of: BridgeCommand<Report>): Command {
  const { call, show, bad = 1, ...command } = of;
  return {
    ...{ ...command, name: `bridge ${of.name}`, args: [], uses: [] },
    options: { ...of.options, ...SOURCE, ...TARGET },
    example: `bridge ${of.name} ${BOTH_SIDES}${of.example}`,
    async run(run) {
      const options = bridgeOptionsOf(run);
      const file = run.text("report");
      const keep = (report: object): void => {
        const text = `${JSON.stringify(report, undefined, 2)}\n`;
        if (file !== undefined) run.access.open(file, "report", (path) => run.host.writeText(path, text));
      };
      // Whether it can be written is known now, and not after hours.
      keep({ ok: false, error: { code: "NOT_ENDED", message: "the command runs, or was killed" } });
      try {
        const report = await call(run, options);
        if (run.output.json) run.output.value(report);
        else show(run, report);
        keep(report);
        return report.ok ? 0 : bad;
      } catch (error) {
        const { code = "FAILED", channel, remedy } = error as Partial<BridgeError>;
        keep({ ok: false, error: { code, channel, message: reasonOf(error), remedy } });
        throw error;
      }
    },
  };
}

/** Credentials come from files and the environment only, or in URLs of these. */
function bridgeOptionsOf(run: Run): BridgeOptions {
  const { access, text, flag, host, number } = run;
  const [monitor, mapFile] = [text("monitor"), text("map")];
  const to = text("to") ?? (host.env["NATS_TO_URL"] || undefined);
  if (to === undefined) throw new UsageError("--to is missing: the URL of the NATS server with JetStream");
  const parsed = (path: string): BridgeOptions["map"] => JSON.parse(host.readText(path)) as BridgeOptions["map"];
  const map = mapFile === undefined ? undefined : access.open(mapFile, "map", parsed);
  return {
    from: {
      ...{ clusterId: access.clusterId, clientId: text("id"), servers: access.servers },
      ...{ auth: access.auth("creds", "nkey", "NATS_CREDS"), tls: access.tls("") },
      monitor: monitor === "none" ? undefined : access.monitor.url,
    },
    to: {
      ...{ servers: to, domain: text("domain"), tls: access.tls("to-") },
      auth: access.auth("to-creds", "to-nkey", "NATS_TO_CREDS"),
    },
    ...{ map, channels: text("channels")?.split(","), storage: flag("memory") ? "memory" : "file" },
    ...{ replicas: number("replicas", undefined, 1), maxAge: durationIn(run, "max-age", undefined) },
    signal: host.signal,
  };
}

function needed({ text }: Run, option: string): string {
  const value = text(option);
  if (value === undefined) throw new UsageError(`--${option} is missing`);
  return value;
}

/** What is told while it runs: a line in place on a terminal, one now and then elsewhere, JSON for machines. */
function progressOf<Progress>(
  { output }: Run,
  line: (progress: Progress, seconds: number) => string,
): (progress: Progress) => void {
  const begun = elapsed();
  let told = begun;
  return (progress) => {
    const now = elapsed();
    if (output.json) return output.value({ progress });
    if (output.draws) return output.progress(line(progress, (now - begun) / 1_000));
    if (now - told < EVERY) return;
    told = now;
    output.warn(line(progress, (now - begun) / 1_000));
  };
}

/** The channel that has most to do, and the sums. */
function copyLine({ channels }: CopyProgress, seconds: number): string {
  const sum = (of: "copied" | "resyncs" | "holes"): number => channels.reduce((all, one) => all + one[of], 0);
  const [busy] = [...channels].sort((a, b) => b.end - b.last - (a.end - a.last));
  if (busy === undefined) return "no channel";
  const level = channels.filter(({ last, end }) => last >= end).length;
  const rate = sum("copied") / Math.max(seconds, 0.001);
  const left = channels.reduce((all, { last, end }) => all + Math.max(0, end - last), 0);
  const percent = busy.end === 0 ? 100 : Math.floor((busy.last / busy.end) * 100);
  return [
    `${busy.channel}  ${grouped(busy.last)} of ${grouped(busy.end)} (${percent} %)  ${grouped(rate)}/s`,
    ...(left > 0 && rate > 0 ? [`${grouped(left / rate)} s left`] : []),
    ...(busy.waiting === undefined ? [] : [`waits: ${busy.waiting}`]),
    `| ${level} of ${counted(channels.length, "channel")} level`,
    ...(sum("holes") > 0 ? [counted(sum("holes"), "hole")] : []),
    ...(sum("resyncs") > 0 ? [counted(sum("resyncs"), "resync")] : []),
  ].join("  ");
}

function verifyLine({ channel, last, end }: VerifyReport["channels"][number]): string {
  return `${channel}  ${grouped(last)} of ${grouped(end)} compared`;
}

function showPlan({ output }: Run, { source, target, channels, obstacles, warnings }: Plan): void {
  output.say(`from ${source.clusterId} ${source.version ?? "?"} to nats-server ${target.version ?? "?"}`);
  const head = ["CHANNEL", "STREAM", "SUBJECT", "PHASE", "FIRST", "LAST", "MESSAGES", "BYTES", "COPIED"];
  printTable(output, head, channels.map(({ channel, stream, subject, phase, copied, first, last, messages, bytes }) => {
    const size = bytes === undefined ? "-" : bytesIn(bytes);
    return [channel, stream, subject, phase ?? "-", first ?? "-", last ?? "-", messages ?? "-", size, copied];
  }));
  const durables = channels.flatMap(({ channel, durables }) => durables.map((one) => {
    const { client, durable, queue, consumer, lastSent, pending, connected, moved } = one;
    const name = queue === undefined ? `${client}/${durable}` : `${durable}:${queue}`;
    return [channel, name, consumer, lastSent, pending, moved ? "moved" : connected ? "connected" : "has left"];
  }));
  if (durables.length > 0) {
    output.say("");
    printTable(output, ["CHANNEL", "DURABLE", "CONSUMER", "LAST SENT", "PENDING", "STATE"], durables);
  }
  for (const [notes, colour] of [[warnings, "yellow"], [obstacles, "red"]] as const) {
    for (const { code, channel, text, remedy } of notes) {
      output.say(`\n${output.paint(code, colour)} ${channel === undefined ? "" : `${channel}: `}${text}\n  ${remedy}`);
    }
  }
  if (obstacles.length === 0) output.say("\nNothing stands in the way.");
}

function showVerified({ output }: Run, { channels }: VerifyReport): void {
  const gone = ["GONE FROM CHANNEL", "GONE FROM STREAM"];
  const head = ["CHANNEL", "PHASE", "COMPARED", "NOT COPIED", ...gone, "DIRECT", "DIFFERENT"];
  printTable(output, head, channels.map((one) => {
    const { channel, phase, compared, notCopied, goneFromChannel, goneFromStream, direct, differences } = one;
    const found = differences === 0 ? 0 : { text: grouped(differences), colour: "red" as const };
    return [channel, phase ?? "-", compared, notCopied, goneFromChannel, goneFromStream, direct, found];
  }));
  for (const { channel, list, differences, error } of channels) {
    for (const { what, first, last } of list) {
      output.say(`${channel} ${first === last ? `#${first}` : `#${first} to #${last}`}: ${what}`);
    }
    const named = list.reduce((sum, { first, last }) => sum + last - first + 1, 0);
    if (named < differences) output.say(`${channel}: ${grouped(differences - named)} more`);
    if (error !== undefined) output.warn(`${error.code} ${error.message}\n${error.remedy}`);
  }
}
