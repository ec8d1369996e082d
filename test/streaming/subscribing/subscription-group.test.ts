import { expect, test } from "vitest";
import type { GroupMember } from "../../../src/streaming/subscribing/group-members.ts";
import type { Message } from "../../../src/streaming/subscribing/message.ts";
import { Progress } from "../../../src/streaming/subscribing/progress.ts";
import { QueueGroups } from "../../../src/streaming/subscribing/subscription-group.ts";
import { WaitingBytes } from "../../../src/streaming/subscribing/waiting-bytes.ts";

function progress(): Progress<Message> {
  const nothing = (): undefined => undefined;
  const events = { skipped: () => true, notRedelivered: () => true, unblocked: nothing, forgotten: nothing };
  return new Progress(1_000, events, new WaitingBytes(1_000));
}

function member(): GroupMember {
  const nothing = (): undefined => undefined;
  const calls = { acknowledgeMoved: nothing, requestMore: nothing, renew: nothing, forgetChannel: nothing };
  return { received: 0, idle: true, ...calls };
}

test("members of the same channel, queue and durable share a group, and no others do", () => {
  const groups = new QueueGroups();
  const join = (...[subject, queue, durable]: [string, string, string]) =>
    groups.join(member(), subject, queue, durable, progress);
  const group = join("c", "q", "d");
  expect(group.isShared).toBe(false);
  expect(join("c", "q", "d")).toBe(group);
  expect(group.isShared).toBe(true);
  for (const other of [join("x", "q", "d"), join("c", "x", "d"), join("c", "q", "x")]) expect(other).not.toBe(group);
});

test("a subscription without a queue has a group of its own, which is never shared", () => {
  const groups = new QueueGroups();
  const [one, two] = [member(), member()].map((each) => groups.join(each, "c", "", "d", progress));
  expect(one).not.toBe(two);
  expect([one!.isShared, one!.members]).toEqual([false, undefined]);
});

test("a group ends with its last member: the next one begins with a progress of its own", () => {
  const groups = new QueueGroups();
  const [one, two, three] = [member(), member(), member()];
  const group = groups.join(one, "c", "q", "", progress);
  groups.join(two, "c", "q", "", progress);
  groups.leave(one, group);
  expect(groups.join(three, "c", "q", "", progress)).toBe(group);
  groups.leave(two, group);
  groups.leave(three, group);
  expect(groups.join(one, "c", "q", "", progress).progress).not.toBe(group.progress);
});

test("an outage moves the active messages of a shared group, and those alone", () => {
  const groups = new QueueGroups();
  const group = groups.join(member(), "c", "q", "", progress);
  for (const count of [1, 2]) {
    group.progress.established();
    group.progress.activate(count);
    group.interrupted();
    // An outage is noted once, however often it is reported.
    group.interrupted();
    expect(group.progress.wasMoved(count)).toBe(count === 2);
    groups.join(member(), "c", "q", "", progress);
  }
});
