import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type GroupMember, GroupMembers } from "../../../src/streaming/subscribing/group-members.ts";

vi.mock("../../../src/core-nats/clock.ts", () => import("../../support/fakeable-clock.ts"));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  vi.advanceTimersByTime(1_000);
});
afterEach(() => void vi.useRealTimers());

/** A member that notes what it is asked for. */
class Member implements GroupMember {
  received = 0;
  idle = true;
  readonly log: string[] = [];

  acknowledgeMoved(sequence: number): void {
    this.log.push(`ack ${sequence}`);
  }

  requestMore(): void {
    this.log.push("more");
  }

  renew(reason: string): void {
    this.log.push(reason);
  }

  forgetChannel(): void {
    this.log.push("reset");
  }
}

function start(count: number): { members: GroupMembers; all: Member[] } {
  const members = new GroupMembers();
  const all = Array.from({ length: count }, () => new Member());
  for (const member of all) members.add(member);
  return { members, all };
}

describe("a member that gets none of the messages", () => {
  /** The first member gets a round of new messages. */
  function round(members: GroupMembers, [busy]: Member[], milliseconds = 1_000): void {
    vi.advanceTimersByTime(milliseconds);
    for (let i = 0; i < 256; i++) {
      busy!.received++;
      members.delivered();
    }
  }

  test("requests more after a round, and is renewed after the next one", () => {
    const { members, all } = start(2);
    for (let i = 0; i < 3; i++) round(members, all);
    expect(all.map(({ log }) => log)).toEqual([
      [],
      ["more", "it got none of the last 512 messages of its group in this client"],
    ]);
  });

  test("is left alone while it is busy, after it has received one, and once it has left", () => {
    const { members, all } = start(4);
    const [, busy, fed, gone] = all;
    round(members, all);
    busy!.idle = false;
    fed!.received++;
    members.delete(gone!);
    expect(members.count).toBe(3);
    round(members, all);
    expect(all.map(({ log }) => log)).toEqual([[], [], [], []]);
  });

  test("is left alone if the round took less than a second, as one does after an outage", () => {
    const { members, all } = start(2);
    round(members, all);
    for (let i = 0; i < 3; i++) round(members, all, 300);
    expect(all[1]!.log).toEqual([]);
    round(members, all, 300);
    expect(all[1]!.log).toEqual(["more"]);
  });
});

test("after an outage all members request more, once, a second later; a single member does not", () => {
  const { members, all } = start(2);
  members.resumed();
  members.resumed();
  vi.advanceTimersByTime(999);
  expect(all.map(({ log }) => log)).toEqual([[], []]);
  vi.advanceTimersByTime(1_000);
  expect(all.map(({ log }) => log)).toEqual([["more"], ["more"]]);
  members.delete(all[1]!);
  members.resumed();
  expect(vi.getTimerCount()).toBe(0);
});

test("a moved message that one member has finished is acknowledged by all others", () => {
  const { members, all } = start(3);
  members.finished(7, all[1]!);
  expect(all.map(({ log }) => log)).toEqual([["ack 7"], [], ["ack 7"]]);
});
