import { expect, test, vi } from "vitest";
import { freePorts, listen } from "./ports.ts";

test("ports are given once, as long as there are others", async () => {
  const ports = [...(await freePorts(60)), ...(await freePorts(60))];
  expect(new Set(ports).size).toBe(120);
});

test("another run of tests gets others, also while nothing listens on them", async () => {
  const ports = await freePorts(60);
  vi.resetModules();
  const another: typeof import("./ports.ts") = await import("./ports.ts");
  expect(another.freePorts).not.toBe(freePorts);
  expect((await another.freePorts(120)).filter((port) => ports.includes(port))).toEqual([]);
});

test("a port that somebody has taken all the same is passed over", async () => {
  const [port] = await freePorts(1);
  const { server } = await listen(port! + 1);
  expect(await freePorts(2)).not.toContain(port! + 1);
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

test("where all are taken, a run goes on with its own", async () => {
  const first = 10_000 + 50 * (process.pid % 300);
  vi.stubEnv("TEST_PORTS", `${first}-${first + 49}`);
  vi.resetModules();
  const narrow: typeof import("./ports.ts") = await import("./ports.ts");
  const ports = await narrow.freePorts(100);
  expect(ports.every((port) => port > first && port < first + 50)).toBe(true);
  vi.resetModules();
  const late: typeof import("./ports.ts") = await import("./ports.ts");
  await expect(late.freePorts(1)).rejects.toThrow(/^all blocks of the ports .* are taken \(see TEST_PORTS\)$/);
  vi.unstubAllEnvs();
});
