import { expect, test } from "vitest";
import { Exporter } from "../../src/monitoring/exporter.ts";
import { Monitor } from "../../src/monitoring/monitor.ts";

test("the exporter gives a URL that can be opened, also on an address of IPv6", async () => {
  // Not every machine has IPv6.
  const server = {
    on: () => server,
    listen: (_port: number, _host: string, listening: () => void) => void listening(),
    address: () => ({ port: 9_222 }),
  };
  const exporter = new Exporter(new Monitor("http://127.0.0.1:1", undefined), undefined, () => server as never);
  expect(await exporter.listen(9_222, "::1")).toBe("http://[::1]:9222");
  expect(await exporter.listen(9_222, "0.0.0.0")).toBe("http://0.0.0.0:9222");
});
