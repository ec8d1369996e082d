import { expect, onTestFinished, test } from "vitest";
import { linkTo } from "../../src/bridge/ends.ts";
import { copy, verify } from "../../src/bridge/index.ts";
import { Target } from "../../src/bridge/target.ts";
import { Lifetime } from "../../src/core-nats/lifetime.ts";
import { between } from "../support/bridge.ts";
import { fresh, open, proxyTo, range } from "../support/clients.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";

async function serverWith(config: string, jetstream = true): Promise<NatsServer> {
  const server = await NatsServer.start({ jetstream, config });
  onTestFinished(() => server.stop());
  return server;
}

/** A target, with the lifetime that ends its waits. */
function targetOf(servers: string, more: object = {}): { target: Target; ending: Lifetime } {
  const [link, ending] = [linkTo({ servers, ...more }, "test"), new Lifetime()];
  onTestFinished(() => link.close());
  return { target: new Target(link, more, ending), ending };
}

describeWithServer(
  "a target",
  () => {
    test("without JetStream, or whose account may not use it, says so", async () => {
      const bare = await serverWith("", false);
      const none = { code: "NO_JETSTREAM", remedy: expect.stringContaining("-js") };
      await expect(targetOf(bare.url).target.account(0)).rejects.toMatchObject(none);
      const other = await serverWith(`accounts { A { jetstream: enabled, users: [ { user: a, password: p } ] }
        B { users: [ { user: b, password: p } ] } }`);
      const auth = (user: string) => ({ auth: { user, pass: "p" } });
      await expect(targetOf(other.url, auth("b")).target.account()).rejects.toMatchObject(none);
      expect(await targetOf(other.url, auth("a")).target.account()).toMatchObject({ streams: 0 });
    });

    test("is asked again until it answers, or the caller aborts", async () => {
      const server = await serverWith("");
      const proxy = await proxyTo(server);
      const { target } = targetOf(proxy.url);
      expect(await target.stream("none")).toBeUndefined();
      const eating = proxy.eat(({ subject }) => subject === "$JS.API.STREAM.INFO.none", "up");
      expect(await target.stream("none")).toBeUndefined();
      expect(await eating).toHaveLength(1);
      const { target: other, ending } = targetOf(server.url);
      ending.abort("enough");
      await expect(other.account()).rejects.toMatchObject({ code: "ABORTED", cause: "enough" });
    });

    test("is known by its domain, too", async () => {
      const stan = await RealServer.start();
      onTestFinished(() => stan.stop());
      const nats = await serverWith(`jetstream { domain: hub }`);
      const channel = fresh("a");
      await (await open(stan)).publishMany(channel, range(1, 20).map(String));
      const { from, to, channels } = between(stan, nats, channel);
      const options = { from, to: { ...to, domain: "hub", inboxPrefix: "_MINE" }, channels };
      expect(await copy(options)).toMatchObject({ ok: true, channels: [{ copied: 20 }] });
      expect(await verify(options)).toMatchObject({ ok: true, channels: [{ compared: 20 }] });
      const none = { code: "NO_JETSTREAM" };
      await expect(targetOf(nats.url, { domain: "moon" }).target.account(0)).rejects.toMatchObject(none);
    });
  },
  ["streaming", "nats"],
);
