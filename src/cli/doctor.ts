import type { Command } from "./command.ts";

/** @internal */
export const doctor: Command = {
  name: "doctor",
  args: [],
  summary: "",
  options: {},
  example: "doctor",
  uses: ["client", "monitor"],
  run: async () => 0,
};
