import { builtin } from "../core-nats/builtin.ts";

/** The host's class. It is loaded with this layer, which only programs of node-nats-streaming import. */
export const EventEmitter = builtin.events.EventEmitter;
/** An object of that class. */
export type EventEmitter = InstanceType<typeof EventEmitter>;
