"use strict";
// The smoke suite as a Worker. There is no server for tests: a Worker listens on no port.

const smoke = require("./smoke.cjs");

module.exports = (library) => ({
  test: (_, { STRANGER }) => smoke(library, async () => (await STRANGER.fetch("http://stranger")).text()),
  /** As the stranger, which is the same Worker with a network of its own: is refused, and says by which code. */
  fetch: async () => new Response(await smoke.stranger(library)),
});
