import { expect, test } from "vitest";
import { cli, type Around, type Told } from "../support/cli.ts";
import { fresh, open } from "../support/clients.ts";
import { freePorts } from "../support/ports.ts";
import { NatsServer, RealServer, startCluster } from "../support/server.ts";
import { binaries, binaryPath } from "../support/binaries.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** Runs doctor against a server. It listens only if it is told to. */
function doctor(server: RealServer, args: readonly string[] = ["--listen", "0s"], around: Around = {}): Promise<Told> {
  const access = ["-s", server.url, "--monitor", `http://127.0.0.1:${server.monitorPort}`];
  return cli(["doctor", ...access, ...args], around);
}

interface Report {
  readonly ok: boolean;
  readonly findings: readonly { readonly code: string; readonly text: string; readonly remedy: string }[];
}

/** The findings, by their codes. */
async function found(server: RealServer, args: readonly string[] = ["--listen", "0s"]): Promise<Report["findings"]> {
  const { out, code } = await doctor(server, [...args, "--json"]);
  const report = JSON.parse(out) as Report;
  expect(code).toBe(report.ok ? 0 : 1);
  return report.findings;
}

describeWithServer(
  "doctor",
  () => {
    const stan = forSuite(() => RealServer.start({ args: ["-mc", "10", "-msu", "5"] }));

    test("says of a healthy server that all is well", async () => {
      const own = await RealServer.start();
      const client = await open(own);
      await client.subscribe("orders", () => undefined, { durable: "d", startAt: "first" });
      await client.publish("orders", "one");
      await until("it is handled", async () => (await found(own)).length === 0);
      expect(await doctor(own, ["--listen", "200ms"])).toEqual({ code: 0, out: "All is well.\n", err: "" });
      await client.close();
      await own.stop();
    });

    test("finds durables nobody reads, stalls, redeliveries, near limits and large messages", async () => {
      const client = await open(stan(), { clientId: "billing" });
      for (const i of [1, 2, 3, 4, 5, 6, 7]) await client.publish(`c${i}`, "x");
      const durable = await client.subscribe("c1", () => undefined, {
        durable: "d",
        startAt: "first",
        manualAck: true,
      });
      await client.subscribe("c2", () => undefined, {
        startAt: "first",
        manualAck: true,
        maxInFlight: 1,
        ackWait: 1_000,
      });
      await client.publish("c2", "y");
      for (const _ of [1, 2, 3]) await client.subscribe("c3", () => undefined);
      await client.publish("big", new Uint8Array(1_048_576 - 600));
      await until("one is pending", () => durable.stats().received === 1);
      await durable.close();
      const findings = await found(stan(), ["--listen", "1500ms"]);
      const texts = findings.map(({ code, text }) => `${code} ${text}`);
      expect(texts).toEqual([
        "OFFLINE Nobody reads c1 for billing/d: 1 messages wait, and the channel's limits drop the oldest first.",
        "STALLED The server sends nothing new of c2 to billing: 1 messages are not acknowledged, of at most 1.",
        "LIMIT The server has 8 of at most 10 channels; at the limit new ones are refused.",
        expect.stringMatching(
          /^MAX_PAYLOAD The messages of big have \d+ bytes on average, and NATS takes at most 1048576\.$/,
        ),
        expect.stringMatching(
          /^ACK_WAIT billing gets messages of c2 again: \d+ while we listened.* ackWait of 1 s is shorter/,
        ),
      ]);
      expect(findings[0]!.remedy).toContain("sub c1 --client billing --durable d --unsubscribe");
      await client.subscribe("c3", () => undefined);
      const limits = (await found(stan())).filter(({ code }) => code === "LIMIT").map(({ text }) => text);
      expect(limits).toContain("The channel c3 has 4 of at most 5 subscriptions; at the limit new ones are refused.");
    });

    test("names who has the client ID, and the cluster ID that the server has", async () => {
      const id = fresh("owner");
      const owner = await open(stan(), { clientId: id });
      const [taken] = (await found(stan(), ["--client", id, "--listen", "0s"])).filter(
        ({ code }) => code === "CLIENT_ID",
      );
      expect(taken!.text).toMatch(new RegExp(`^The client ID ${id} is taken by 127\\.0\\.0\\.1:\\d+, ${id} \\(`));
      await owner.close();
      const [other] = (await found(stan(), ["--cluster", "other", "--listen", "0s"])).slice(-1);
      expect(other).toEqual({
        code: "CLUSTER_ID",
        text: "The server's cluster ID is test-cluster, not other: nobody would answer.",
        remedy: "Connect with the cluster ID test-cluster.",
      });
    });

    test("names each permission that is missing, with the line to add", async () => {
      const own = await RealServer.start({
        config: `
          authorization { users: [
            { user: stan, password: s }
            { user: billing, password: b, permissions: {
              publish: ["_STAN.discover.test-cluster", "_STAN.sub.>", "_INBOX.>"], subscribe: ["_INBOX.>"]
            } }
          ] }
          streaming { username: stan, password: s }`,
      });
      const url = own.url.replace("nats://", "nats://billing:b@");
      const { out, code } = await cli([
        "doctor",
        "-s",
        url,
        "--monitor",
        `http://127.0.0.1:${own.monitorPort}`,
        "--listen",
        "0s",
      ]);
      expect(code).toBe(1);
      const lines = out.split("\n").filter((line) => line.includes("Add the line"));
      expect(lines.sort()).toEqual([
        '  Add the line publish: "_STAN.close.test-cluster" to its permissions.',
        '  Add the line publish: "_STAN.discover.test-cluster.pings" to its permissions.',
        '  Add the line publish: "_STAN.pub.test-cluster.>" to its permissions.',
        '  Add the line publish: "_STAN.subclose.test-cluster" to its permissions.',
        '  Add the line publish: "_STAN.unsub.test-cluster" to its permissions.',
        '  Add the line subscribe: "_STAN.acks.>" to its permissions.',
      ]);
      expect(out).not.toContain("billing:b@");
      await own.stop();
    });

    test("says nothing when Ctrl-C ends it", async () => {
      const stop = new AbortController();
      stop.abort();
      expect(await doctor(stan(), [], { signal: stop.signal })).toEqual({ code: 1, out: "", err: "" });
    });

    test("says that nobody is there", async () => {
      const [port] = await freePorts(1);
      const { out, code } = await cli(["doctor", "-s", `nats://user:secret@127.0.0.1:${port}`, "--json"]);
      expect(code).toBe(1);
      expect((JSON.parse(out) as Report).findings.map((one) => one.code)).toEqual(["UNREACHABLE", "NO_MONITOR"]);
      expect(out).not.toContain("secret");
    });
  },
  ["streaming"],
);

describeWithServer(
  "doctor, of servers that are old or alone",
  () => {
    test("says that an old version has faults", async () => {
      const own = await RealServer.start({ binary: binaryPath(binaries.oldStreaming) });
      expect(await found(own)).toEqual([
        {
          code: "VERSION",
          text: "The server has version 0.17.0; faults that it has are mended in 0.25.6, the last one.",
          remedy: "Update to 0.25.6, which reads the same store.",
        },
      ]);
      await own.stop();
    });

    test("says that a raft cluster has no leader", async () => {
      const cluster = await startCluster();
      const leader = await cluster.leader();
      expect((await found(leader)).map(({ code }) => code)).toEqual([]);
      for (const other of cluster.others(leader)) await other.down("SIGKILL");
      const findings = await until("it has lost its office", async () => {
        const all = await found(leader);
        return all.some(({ code }) => code === "NO_LEADER") ? all : undefined;
      });
      expect(findings.map(({ code }) => code)).toEqual(["NO_LEADER"]);
      await cluster.stop();
    });

    test("says that no streaming server is connected to NATS", async () => {
      const nats = await NatsServer.start();
      const { out, code } = await cli([
        "doctor",
        "-s",
        nats.url,
        "--monitor",
        `http://127.0.0.1:${nats.monitorPort}`,
        "--json",
      ]);
      expect(code).toBe(1);
      expect((JSON.parse(out) as Report).findings.map((one) => one.code)).toContain("UNREACHABLE");
      await nats.stop();
    });
  },
  ["streaming", "oldStreaming", "nats"],
);
