// All end-to-end benchmarks, each in a process of its own: npm run bench
import { spawnSync } from "node:child_process";
import { cpus } from "node:os";
import { join } from "node:path";
import { binaries } from "../test/support/binaries.ts";

const processors = cpus();
const { name, version } = binaries.streaming;
process.stdout.write(`Node ${process.version}, ${name} ${version}, memory store, ${processors.length} x ${processors[0].model}\n`);
for (const benchmark of ["publish", "subscribe"]) {
  const run = spawnSync(process.execPath, [join(__dirname, `${benchmark}.js`)], { encoding: "utf8", stdio: ["ignore", "inherit", "inherit"] });
  if (run.status !== 0) process.exitCode = 1;
}
