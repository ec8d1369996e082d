/**
 * @internal
 * The host's modules. Each is loaded when it is first used. Importing the library loads only `node:timers`, which
 * Node itself has loaded.
 *
 * `process.getBuiltinModule` exists in Node from 20.16 on, Bun, Deno and workerd, and works in every bundle.
 * `require` is for older versions of Node: in an ES module esbuild makes a function of it that throws. `import()`
 * fails in jest.
 */
export const builtin = {
  get net(): typeof import("node:net") {
    return globalThis.process?.getBuiltinModule?.("node:net") ?? require("node:net");
  },
  get tls(): typeof import("node:tls") {
    return globalThis.process?.getBuiltinModule?.("node:tls") ?? require("node:tls");
  },
  /** The global timers where there is no module. */
  get timers(): typeof import("node:timers") {
    return globalThis.process?.getBuiltinModule?.("node:timers") ?? globalThis;
  },
  get performance(): Performance {
    return (globalThis.process?.getBuiltinModule?.("node:perf_hooks") ?? globalThis).performance;
  },
  /** For programs of node-nats-streaming: their classes extend `EventEmitter`, and `userCreds` is a path. */
  get events(): typeof import("node:events") {
    return globalThis.process?.getBuiltinModule?.("node:events") ?? require("node:events");
  },
  get fs(): typeof import("node:fs") {
    return globalThis.process?.getBuiltinModule?.("node:fs") ?? require("node:fs");
  },
  get crypto(): typeof import("node:crypto") {
    return globalThis.process?.getBuiltinModule?.("node:crypto") ?? require("node:crypto");
  },
};
