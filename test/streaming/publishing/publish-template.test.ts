import { expect, test } from "vitest";
import { PublishTemplate, PublishTemplates } from "../../../src/streaming/publishing/publish-template.ts";
import { PubMsg } from "../../../src/testing/messages.ts";
import { subjects } from "../../support/fake-streaming.ts";
import { newSession, text } from "../../support/publisher-rig.ts";

test("head and envelope are encoded once for each session", () => {
  const template = new PublishTemplate("orders");
  const session = newSession();
  template.encode(session, "me", "acks");
  expect(text(template.head)).toBe(`PUB ${subjects.pubPrefix}.orders acks.`);
  const message = PubMsg.read(template.envelope);
  expect(message).toMatchObject({ clientID: "me", subject: "orders", reply: "", guid: "" });
  expect(text(message.connID)).toBe(session.connId);
  const { head, envelope } = template;
  template.encode(session, "me", "acks");
  expect(template.head).toBe(head);
  expect(template.envelope).toBe(envelope);
  const other = newSession();
  template.encode(other, "me", "acks");
  expect(text(PubMsg.read(template.envelope).connID)).toBe(other.connId);
});

test("a message with a reply has an envelope of its own", () => {
  const template = new PublishTemplate("orders");
  expect(PubMsg.read(template.envelopeWith("to me", newSession(), "me"))).toMatchObject({
    subject: "orders", reply: "to me",
  });
});

test("a channel keeps its template, and what cannot be a channel has none", () => {
  const templates = new PublishTemplates();
  const orders = templates.of("orders");
  expect(templates.of("orders")).toBe(orders);
  expect(templates.of("other")).not.toBe(orders);
  for (const subject of ["", "a.*", "a/b", "a b"]) expect(() => templates.of(subject)).toThrow(TypeError);
});

test("a thousand templates are kept, and no more", () => {
  const templates = new PublishTemplates();
  const first = templates.of("c0");
  for (let i = 1; i < 1_000; i++) templates.of(`c${i}`);
  expect(templates.of("c0")).toBe(first);
  templates.of("c1000");
  expect(templates.of("c0")).not.toBe(first);
});
