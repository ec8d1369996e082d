import { expect, test } from "vitest";
import { Examples } from "../support/examples.ts";
import { installPackage } from "../support/packages.ts";
import { describeWithServer } from "../support/suite.ts";

const examples = new Examples();

describeWithServer(
  "the rehearsal",
  () => {
    test("moves everything under load, kills the bridge, and loses nothing", { timeout: 180_000 }, async ({ skip }) => {
      const client = installPackage("@nats-io/jetstream@3.4.0 @nats-io/transport-node@3.4.0");
      if ("missing" in client) {
        if (process.env["CI"] === "true") throw new Error(client.missing);
        return skip(client.missing);
      }
      const { code, out, err } = await examples.run("rehearsal", ["--rate", "200"]).ended;
      expect({ code, err }, out).toEqual({ code: 0, err: "" });
      const steps = [
        /^plan: orders becomes the stream orders, and nothing stands in the way$/,
        /^plan: billing becomes the consumer billing$/,
        /^plan: workers:shipping becomes the consumer workers-shipping$/,
        /^the bridge is killed \(kill -9\)/,
        /^verify: \d+ messages compared, 0 differences$/,
        /^move: billing goes on in JetStream behind \d+, and [1-9]\d* messages? come again;$/,
        /^move: the workers go on in JetStream behind \d+, and \d+ messages? come again;$/,
        /^open: /,
        /^finish: \d+ messages compared, the stream is on its own$/,
        /^the streaming server is stopped/,
      ];
      const [course, result] = out.split("\n\n") as [string, string];
      const lines = course.split("\n").map((line) => line.replace(/^ *\d+\.\d s {2}/, ""));
      const found = steps.map((step) => lines.findIndex((line) => step.test(line)));
      expect(found.filter((at) => at < 0), out).toEqual([]);
      expect(found).toEqual([...found].sort((a, b) => a - b));
      const [, published] = /^(\d+) messages published, [1-9]\d* of them to JetStream$/m.exec(result)!;
      for (const name of ["billing", "workers"]) {
        expect(result).toContain(`${name}: ${published} handled, 0 lost, 0 handled twice\n`);
      }
    });

    test("says what is missing, and what to do", async () => {
      const env = { NATS_STREAMING_SERVER: "/no-such-server" };
      const { code, out, err } = await examples.run("rehearsal", [], env).ended;
      expect({ code, out }).toEqual({ code: 1, out: "" });
      const ways = "Install Go, or set NATS_STREAMING_SERVER";
      expect(err).toMatch(new RegExp(`^rehearsal: no server to run: .*no-such-server.*${ways}\n$`));
    });
  },
  ["streaming", "nats"],
);
