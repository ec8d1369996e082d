import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { StreamingServer } from "../../src/testing/server.ts";
import { npm } from "../support/packages.ts";

const folder = join(__dirname, "../interop");

/** Installs what the package itself never depends on; returns why it could not. */
function missing(): string {
  if (existsSync(join(folder, "node_modules/node-nats-streaming"))) return "";
  return npm(["install", "--no-package-lock", "--ignore-scripts", "--prefix", folder]) ?? "";
}

/** What the program prints to standard output. */
function output(program: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(folder, program), String(port)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout!.setEncoding("utf8");
    child.stdout!.on("data", (more) => (text += more));
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve(text) : reject(new Error(`${program}: exit code ${code}: ${text}`)),
    );
  });
}

const reason = missing();
const name = `node-nats-streaming 0.3.2${reason === "" ? "" : ` [${reason}]`}`;

describe.skipIf(reason !== "" && process.env["CI"] !== "true")(name, () => {
  test("publishes to and consumes from the embedded server, and comes back to its durable", async () => {
    expect(reason).toBe("");
    const server = await StreamingServer.start();
    try {
      expect(JSON.parse(await output("roundtrip.cjs", server.port))).toEqual({
        acks: [true, true, true],
        delivered: ["1 one false", "2 two false", "3 three false"],
        resumed: ["3 three true"],
      });
      expect(server.messages("interop").map((message) => message.text)).toEqual(["one", "two", "three"]);
      expect(server.subscriptions("interop")).toMatchObject([{ durable: "d", online: false, pending: [] }]);
      expect(server.clients).toEqual([]);
    } finally {
      await server.stop();
    }
  });
});
