import { expect, test } from "vitest";
import { cli, type Around, type Told } from "../support/cli.ts";
import { fresh, open, range } from "../support/clients.ts";
import { JetStream } from "../support/jetstream.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

describeWithServer(
  "the commands of the bridge",
  () => {
    const stan = forSuite(() => RealServer.start({ store: "file" }));
    const nats = forSuite(() => NatsServer.start({ jetstream: true }));

    function bridge(args: readonly string[], around: Around = {}, written: Record<string, string> = {}): Promise<Told> {
      const env = { NATS_URL: stan().url, NATS_TO_URL: nats().url, ...around.env };
      const monitor = ["--monitor", `http://127.0.0.1:${stan().monitorPort}`];
      return cli(["bridge", ...args, ...monitor, "--id", fresh("bridge")], { ...around, env }, written);
    }

    /** A channel with messages, and a durable that has acknowledged them all but the first. */
    async function world(): Promise<{ channel: string; clientId: string }> {
      const [channel, clientId] = [fresh("orders"), fresh("billing")];
      const client = await open(stan(), { clientId });
      await client.publishMany(channel, range(1, 50).map(String));
      let count = 0;
      await client.subscribe(channel, (message) => void (++count > 1 && message.ack()), {
        ...{ durable: "d", startAt: "first", manualAck: true },
      });
      await until("it had them", () => count === 50);
      await client.close();
      return { channel, clientId };
    }

    test("take a channel the whole way, and say what they did", async () => {
      const { channel, clientId } = await world();
      const one = ["--channel", channel];
      const all = ["--channels", channel];
      const plan = await bridge(["plan", ...all]);
      expect(plan).toMatchObject({ code: 0, err: "" });
      expect(plan.out).toMatch(new RegExp(`${channel} +${channel} +${channel} +- +1 +50 +50 `));
      expect(plan.out).toContain(`${clientId}/d`);
      const written: Record<string, string> = {};
      const copied = await bridge(["copy", ...all, "--report", "copy.json"], {}, written);
      expect(copied).toEqual({
        code: 0,
        out: `${channel}: 50 messages copied, ${channel} has them up to 50\n`,
        err: "",
      });
      expect(JSON.parse(written["copy.json"]!)).toMatchObject({ ok: true, channels: [{ copied: 50 }] });
      const verified = JSON.parse(
        (await bridge(["verify", ...all, "--json"])).out.trim().split("\n").at(-1)!,
      ) as object;
      expect(verified).toMatchObject({ ok: true, channels: [{ compared: 50, differences: 0 }] });
      const durable = ["move", ...one, "--durable", "d", "--client", clientId];
      const dry = await bridge([...durable, "--dry-run"]);
      expect(dry.out).toBe(
        `would be moved to the consumer d of ${channel}: it goes on behind 50, 1 message comes again\n`,
      );
      expect((await bridge(durable)).out).toMatch(/^moved to the consumer d of /);
      expect((await bridge([...durable, "--back"])).out).toMatch(/^moved from the consumer d of /);
      expect((await bridge(durable)).out).toMatch(/^moved to the consumer d of /);
      expect((await bridge(["open", ...one])).out).toContain("is open: producers may publish");
      expect((await bridge(["finish", ...one])).out).toContain("is finished");
      expect(await bridge(durable)).toMatchObject({ code: 2, err: expect.stringContaining("is in the phase done") });
    });

    test("exit with 1 for differences, and with 2 where something stands in the way", async () => {
      const { channel } = await world();
      await bridge(["copy", "--channels", channel]);
      const js = await JetStream.open(nats().url);
      await js.ask(`$JS.API.STREAM.MSG.DELETE.${channel}`, { seq: 7 });
      const verified = await bridge(["verify", "--channels", channel]);
      expect(verified).toMatchObject({ code: 1, err: "" });
      expect(verified.out).toContain(`${channel} #7: missing`);
      await js.ask(`$JS.API.STREAM.CREATE.taken-${channel}`, { name: `taken-${channel}`, subjects: [`x.${channel}`] });
      const map = { "map.json": JSON.stringify({ [channel]: { stream: `taken-${channel}` } }) };
      const plan = await bridge(["plan", "--channels", channel, "--map", "map.json"], { files: map });
      expect(plan).toMatchObject({ code: 2, out: expect.stringContaining("NAME_TAKEN") });
      const told = await bridge(["copy", "--channels", channel, "--map", "map.json"], { files: map });
      expect(told).toMatchObject({ code: 1, err: expect.stringContaining("NAME_TAKEN") });
      expect(await bridge(["copy", "--map", "none.json"])).toMatchObject({ code: 2 });
      expect(await bridge(["copy", "--map", "bad.json"], { files: { "bad.json": "{" } })).toMatchObject({ code: 2 });
      expect(await bridge(["open"])).toMatchObject({ code: 2, err: expect.stringContaining("--channel is missing") });
      const unwritable = await bridge(["copy", "--report", "r.json"], {}, Object.freeze({}));
      expect(unwritable).toMatchObject({ code: 2, err: expect.stringContaining("report: cannot use r.json") });
      const written: Record<string, string> = {};
      const silent = await bridge(["copy", "--report", "r.json"], { env: { NATS_TO_URL: "127.0.0.1:1" } }, written);
      expect(silent).toMatchObject({ code: 1, out: "" });
      expect(JSON.parse(written["r.json"]!)).toMatchObject({ ok: false, error: { code: "TARGET_UNREACHABLE" } });
      const refused = await bridge(["copy"], { env: { NATS_TO_URL: "nats://user:secret@127.0.0.1:1" } });
      expect(refused.code).toBe(1);
      expect(refused.err).not.toContain("secret");
    });

    test("copy --watch follows until Ctrl-C, which is no failure; progress is a line, or JSON", async () => {
      const { channel } = await world();
      const stop = new AbortController();
      const told = { out: "", err: "" };
      const watching = bridge(["copy", "--watch", "--channels", channel], {
        signal: stop.signal,
        terminal: true,
        told,
      });
      await until("it is level", () => told.err.includes("1 of 1 channel level"));
      expect(told.err).toContain(`${channel}  50 of 50 (100 %)`);
      stop.abort();
      expect((await watching).code).toBe(0);
      const json = { out: "", err: "" };
      const again = new AbortController();
      const machine = bridge(["copy", "--watch", "--channels", channel, "--json"], {
        signal: again.signal,
        told: json,
      });
      await until("progress is told", () => json.out.includes('{"progress":'));
      again.abort();
      const lines = (await machine).out.trim().split("\n");
      expect(JSON.parse(lines.at(-1)!)).toMatchObject({ ok: true, channels: [{ last: 50 }] });
    });
  },
  ["streaming", "nats"],
);
