import type { BridgeError, BridgeOptions, ChannelMapping } from "../bridge/index.ts";
import { ACCESS_OPTIONS } from "./access.ts";
import { durationIn } from "./command.ts";
import type { Command, Run } from "./command.ts";
import type { Options } from "./option.ts";
import { UsageError } from "./host.ts";
import { reasonOf } from "./output.ts";

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
const ACCESS = "--from nats://stan:4222 --to nats://js:4222";

/** @internal A command of the bridge: what it calls, and how it shows the report. */
export interface BridgeCommand<Report> extends Pick<Command, "name" | "summary" | "options"> {
  readonly notes?: readonly string[];
  readonly example: string;
  call(run: Run, options: BridgeOptions): Promise<Report>;
  /** Prints the report for people. */
  show(run: Run, report: Report): void;
  /** The exit code of a report that is not ok; default 1. */
  readonly bad?: number;
}

/** @internal Makes it a command like the others. */
export function bridgeCommand<Report extends { readonly ok: boolean }>(of: BridgeCommand<Report>): Command {
  const { call, show, bad = 1, ...command } = of;
  return {
    ...{ ...command, name: `bridge ${of.name}`, args: [], uses: [] },
    options: { ...of.options, ...SOURCE, ...TARGET },
    example: `bridge ${of.name} ${ACCESS}${of.example}`,
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
  const monitor = text("monitor");
  const to = text("to") ?? (host.env["NATS_TO_URL"] || undefined);
  if (to === undefined) throw new UsageError("--to is missing: the URL of the NATS server with JetStream");
  const channels = text("channels")?.split(",");
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
    ...{ channels, map: mapOf(run), storage: flag("memory") ? "memory" : "file", signal: host.signal },
    replicas: text("replicas") === undefined ? undefined : number("replicas", 1, 1),
    maxAge: text("max-age") === undefined ? undefined : durationIn(run, "max-age", ""),
  };
}

function mapOf({ access, text }: Run): Record<string, ChannelMapping> | undefined {
  const path = text("map");
  if (path === undefined) return undefined;
  const json = access.read(path, "--map");
  try {
    return JSON.parse(json) as Record<string, ChannelMapping>;
  } catch (error) {
    throw new UsageError(`--map: ${path} is no JSON: ${(error as Error).message}`);
  }
}
