/**
 * @internal
 * The host's modules. Each is loaded when it is first asked for: by importing the library only one that Node itself has loaded.
 *
 * `process.getBuiltinModule` is there in Node from 20.16 on, Bun, Deno and workerd, and works in every bundle. `require`
 * is for older Nodes: esbuild makes of it, in an ES module, a function that throws. `import()` is no way: it fails in jest.
 */
export const builtin = {
  get net(): typeof import("node:net") {
    return globalThis.process?.getBuiltinModule?.("node:net") ?? require("node:net");
  },
  get tls(): typeof import("node:tls") {
    return globalThis.process?.getBuiltinModule?.("node:tls") ?? require("node:tls");
  },
  /** The global ones where the module cannot be had. */
  get timers(): typeof import("node:timers") {
    return globalThis.process?.getBuiltinModule?.("node:timers") ?? globalThis;
  },
  get performance(): Performance {
    return (globalThis.process?.getBuiltinModule?.("node:perf_hooks") ?? globalThis).performance;
  },
  get crypto(): typeof import("node:crypto") {
    return globalThis.process?.getBuiltinModule?.("node:crypto") ?? require("node:crypto");
  },
};
