// The process of a RemoteLoad: runs a load as it is told, and tells what its ledger takes down.
import { Random } from "../support/random.ts";
import type { Entry } from "./ledger.ts";
import { Load } from "./load.ts";
import type { Report, Request } from "./remote.ts";

const entries: Entry[] = [];
let load: Load;

process.on("message", (message) => void answer(message as Request));
process.on("disconnect", () => process.exit());
setInterval(tell, 20);

async function answer(request: Request): Promise<void> {
  const { number } = request;
  try {
    const value = await carryOut(request);
    tell();
    report({ number, value });
  } catch (error) {
    report({ number, error: error instanceof Error ? error.message : String(error) });
  }
}

async function carryOut(request: Request): Promise<unknown> {
  switch (request.call) {
    case "start":
      load = await Load.start(new Random(request.seed), request.options, (entry) => void entries.push(entry));
      return { channel: load.channel, clientIds: load.clientIds };
    case "healed":
      return load.healed(request.what, performance.now() - (Date.now() - request.at));
    default:
      return load[request.call]();
  }
}

function tell(): void {
  if (entries.length > 0) report({ entries: entries.splice(0) });
}

function report(message: Report): void {
  process.send(message);
}
