import { describe, expect, test } from "vitest";
import { Lanes } from "../../../src/streaming/subscribing/lanes.ts";
import { forEachSeed } from "../../support/random.ts";

/** Lanes of messages that are named by their order and key: "1a". */
function start(): { lanes: Lanes<string>; gone: string[]; come: (...names: string[]) => void } {
  const gone: string[] = [];
  const lanes = new Lanes<string>((item) => void gone.push(item));
  const come = (...names: string[]): void => {
    for (const name of names) lanes.add(name.slice(-1), parseInt(name), name);
  };
  return { lanes, gone, come };
}

describe("messages with one key", () => {
  test("go one at a time and in order; others go beside them", () => {
    const { lanes, gone, come } = start();
    come("1a", "2a", "3b", "4a");
    expect(gone).toEqual(["1a", "3b"]);
    lanes.leave(1);
    expect(gone).toEqual(["1a", "3b", "2a"]);
    lanes.leave(2);
    lanes.leave(4);
    lanes.leave(3);
    expect(gone).toEqual(["1a", "3b", "2a", "4a"]);
    expect(lanes.size).toBe(0);
  });

  test("wait for the one that is to come again, and for one that was not kept", () => {
    const { lanes, gone, come } = start();
    come("1a", "2a");
    lanes.returns(1);
    lanes.await("a", 3);
    come("4a");
    expect(gone).toEqual(["1a"]);
    come("1a");
    lanes.leave(1);
    lanes.leave(2);
    expect(gone).toEqual(["1a", "1a", "2a"]);
    come("3a");
    lanes.leave(3);
    expect(gone.slice(3)).toEqual(["3a", "4a"]);
  });

  test("go on when the one that they wait for does not come any more", () => {
    const { lanes, gone, come } = start();
    come("1a", "2a");
    lanes.returns(1);
    lanes.leave(1);
    expect(gone).toEqual(["1a", "2a"]);
  });

  test("are held up by what is missing before them, whatever its key, but not by what is missing behind", () => {
    const { lanes, gone, come } = start();
    come("1a");
    lanes.holdBehind(2, 4);
    come("5a", "6b");
    lanes.leave(1);
    expect(gone).toEqual(["1a"]);
    expect(lanes.isFree("c", 7)).toBe(false);
    come("2b", "4a");
    expect(gone).toEqual(["1a", "2b", "4a"]);
    lanes.release(2, 4);
    lanes.leave(2);
    lanes.leave(4);
    expect(gone).toEqual(["1a", "2b", "4a", "6b", "5a"]);
  });

  test("can pass at once where nothing holds them back", () => {
    const { lanes, gone, come } = start();
    expect(lanes.isFree("a", 1)).toBe(true);
    lanes.pass("a", 1);
    expect(lanes.isFree("a", 2)).toBe(false);
    come("2a");
    lanes.leave(1);
    expect(gone).toEqual(["2a"]);
  });
});

test("the one that all with its key wait for can pass, since it may find no room to wait", () => {
  const { lanes, gone, come } = start();
  lanes.await("a", 1);
  come("2a", "3a");
  expect([lanes.isFree("a", 3), lanes.isFree("a", 1)]).toEqual([false, true]);
  lanes.pass("a", 1);
  expect(lanes.isFree("a", 2)).toBe(false);
  lanes.leave(1);
  lanes.leave(2);
  lanes.leave(3);
  expect(gone).toEqual(["2a", "3a"]);
  expect(lanes.size).toBe(0);
});

test("a reset lets nobody go beside one that it has let go", () => {
  const { lanes, gone, come } = start();
  come("1a");
  for (const order of [2, 3, 4]) lanes.await("a", order);
  come("3a", "5a");
  lanes.returns(1);
  expect(lanes.reset()).toEqual([]);
  expect(gone).toEqual(["1a", "3a"]);
  lanes.leave(3);
  expect(gone).toEqual(["1a", "3a", "5a"]);
});

test("a million keys leave nothing behind", () => {
  const lanes = new Lanes<string>(() => undefined);
  for (let order = 1; order <= 1_000_000; order++) {
    lanes.pass(`key ${order}`, order);
    if (order > 100) lanes.leave(order - 100);
  }
  expect(lanes.size).toBe(100);
});

test("no schedule runs a key twice at once, or out of order, or forgets one", () => {
  forEachSeed(300, (random) => {
    const keys = ["a", "b", "c"];
    const running = new Map<string, number>();
    const good = new Map<string, number[]>(keys.map((key) => [key, []]));
    const lanes = new Lanes<{ key: string; order: number }>(({ key, order }) => {
      expect(running.has(key)).toBe(false);
      running.set(key, order);
    });
    const all = Array.from({ length: 60 }, (_, i) => ({ key: random.pick(keys), order: i + 1 }));
    const again: typeof all = [];
    const end = (key: string): void => {
      const order = running.get(key)!;
      running.delete(key);
      if (random.bool(0.2)) {
        again.push(all[order - 1]!);
        lanes.returns(order);
      } else {
        good.get(key)!.push(order);
        lanes.leave(order);
      }
    };
    for (const item of all) {
      if (random.bool(0.1)) {
        lanes.await(item.key, item.order);
        again.push(item);
      } else lanes.add(item.key, item.order, item);
      while (random.bool(0.4) && running.size > 0) end(random.pick([...running.keys()]));
      if (random.bool(0.2) && again.length > 0) {
        const [back] = again.splice(random.int(0, again.length - 1), 1);
        lanes.add(back!.key, back!.order, back!);
      }
    }
    while (running.size > 0 || again.length > 0) {
      for (const back of again.splice(0)) lanes.add(back.key, back.order, back);
      for (const key of [...running.keys()]) end(key);
    }
    const ordersOf = (key: string): number[] => all.filter((item) => item.key === key).map(({ order }) => order);
    for (const key of keys) expect(good.get(key)).toEqual(ordersOf(key));
    expect(lanes.size).toBe(0);
  });
});
