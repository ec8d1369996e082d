/**
 * @internal
 * The host's modules. Each is loaded when it is first asked for, and none by importing the library.
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
  get crypto(): typeof import("node:crypto") {
    return globalThis.process?.getBuiltinModule?.("node:crypto") ?? require("node:crypto");
  },
};
