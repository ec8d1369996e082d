import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Client, Subscription } from "../../src/index.ts";
import { embedded, open, Received } from "../support/clients.ts";
import { allBlocks, compile, makePlace } from "../support/documents.ts";

type Recipe = { prometheus(client: Client, subscriptions: Record<string, Subscription>): string };

test("the recipe for Prometheus gives each series once, each family a type, and times in seconds", async () => {
  const place = makePlace();
  onTestFinished(() => rmSync(place, { recursive: true, force: true }));
  const { code } = allBlocks().find(({ code }) => code.includes("function prometheus"))!;
  expect(compile(place, { "recipe.mts": code })).toBe("");
  const recipe = (await import(join(place, "recipe.mjs"))) as Recipe;

  const server = await embedded();
  const client = await open(server, { clientId: "shop" });
  const received = new Received();
  const billing = await client.subscribe("orders", received.handler);
  const shipping = await client.subscribe("orders", received.handler);
  await client.publish("orders", "x");
  await received.until(2);
  const text = recipe.prometheus(client, { billing, shipping });

  const types = new Map<string, string>();
  const series = new Map<string, number>();
  for (const line of text.trimEnd().split("\n")) {
    const [, family, kind] = /^# TYPE (\w+) (gauge|counter)$/.exec(line) ?? [];
    if (family !== undefined) {
      expect(types.has(family), line).toBe(false);
      types.set(family, kind!);
      continue;
    }
    const [, name, labels, value] = /^(\w+)\{((?:\w+="[^"]*",?)+)\} ([\d.e+]+)$/.exec(line) ?? [];
    expect(types.has(name!), line).toBe(true);
    expect(name!.endsWith("_total"), line).toBe(types.get(name!) === "counter");
    expect(series.has(`${name}{${labels}}`), line).toBe(false);
    series.set(`${name}{${labels}}`, Number(value));
  }
  expect(
    series.get('stan_subscription_received_total{client_id="shop",channel="orders",subscription="shipping"}'),
  ).toBe(1);
  expect(series.get('stan_client_stored_total{client_id="shop"}')).toBe(1);
  expect(types.get("stan_client_queued_bytes")).toBe("gauge");
  expect(series.get('stan_client_registered_timestamp_seconds{client_id="shop"}')).toBeCloseTo(Date.now() / 1000, -2);
  expect(types.size).toBe(Object.keys(client.stats()).length + Object.keys(billing.stats()).length);
});
