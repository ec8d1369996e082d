import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Found } from "../support/binaries.ts";
import { installPackage } from "../support/packages.ts";
import { root } from "../support/tarball.ts";
import { bundle, bundlers, esbuild } from "./bundlers.ts";

/** How a program comes by the library. */
export type Way = "import" | "require";

/** The ways, in the order in which tables have them. */
export const ways: readonly Way[] = ["import", "require"];

/** Something that runs JavaScript, as this project tries it. */
export interface Runtime {
  /** What the command line of `npm run runtimes` calls it. */
  readonly name: string;
  /** What the table calls it. */
  readonly title: string;
  /** The packages that it comes in, each with its exact version. */
  readonly packages: readonly string[];
  /**
   * The command that runs the smoke suite, in `folder`, where its scripts are and the library is installed. `bins` are
   * the folders of the packages' executables, in their order.
   */
  command(way: Way, folder: string, bins: readonly string[]): readonly string[];
  /** The checks of the smoke suite that it cannot pass, since it has not what they need. */
  readonly without?: readonly string[];
  /** The command that runs a load, to see what the runtime makes of it. */
  load?(bins: readonly string[]): readonly string[];
}

const script = { import: "by-import.mjs", require: "by-require.cjs" };
const test = { import: "by-import.test.mjs", require: "by-require.test.cjs" };
const worker = { import: "by-import.worker.mjs", require: "by-require.worker.cjs" };

function node(version: string): Runtime {
  return {
    name: `node${version.endsWith(".0.0") ? version : version.split(".")[0]}`,
    title: `Node ${version}`,
    packages: [`node@${version}`],
    command: (way, _folder, [bin]) => [join(bin!, "node"), script[way]],
  };
}

/** The oldest Node that package.json allows. */
export const oldestNode = node("20.0.0");
/** The newest Node that was out when this list was last looked over. */
export const newestNode: Runtime = { ...node("26.10.0"), load: ([bin]) => [join(bin!, "node"), "load.cjs"] };

function jest(name: string, title: string, environment: string, packages: readonly string[] = []): Runtime {
  return {
    name,
    title,
    packages: [...newestNode.packages, "jest@30.5.2", ...packages],
    command: (way, folder, [bin, jestBin, environmentBin]) => {
      const testEnvironment = environmentBin === undefined ? environment : join(environmentBin, "..", environment);
      const config = { rootDir: folder, testMatch: [`**/${test[way]}`], transform: {}, testEnvironment };
      // Their own way to import ES modules, and the one that most projects have: all is required.
      const flags = way === "import" ? ["--experimental-vm-modules"] : [];
      return [join(bin!, "node"), ...flags, join(jestBin!, "jest"), "--runInBand", "--config", JSON.stringify(config)];
    },
  };
}

/** A browser's globals in place of Node's, of a realm of their own. */
export const jestWithJsdom = jest("jest-jsdom", "jest 30.5.2, jsdom", "jest-environment-jsdom", [
  "jest-environment-jsdom@30.5.2",
]);

/** The newest Node with options that take something away from it. */
function constrained(name: string, ...options: string[]): Runtime {
  return {
    name,
    title: `${newestNode.title} \`${options.join(" ")}\``,
    packages: newestNode.packages,
    command: (way, _folder, [bin]) => [join(bin!, "node"), ...options, script[way]],
    load: ([bin]) => [join(bin!, "node"), ...options, "load.cjs"],
  };
}

/** Cloudflare's runtime, by the rules of a date: which Node it imitates depends on that. */
function workerd(name: string, date: string, flags: readonly string[]): Runtime {
  return {
    name,
    title: `workerd 1.20261117.1, rules of ${date}`,
    packages: [...newestNode.packages, "workerd@1.20261117.1", "esbuild@0.28.2"],
    without: ["testing"],
    command: (way, folder, [nodeBin, workerdBin, esbuildBin]) => {
      const wrangler = ["--platform=browser", "--conditions=workerd,worker,browser", "--external:node:*"];
      // A Worker is an ES module, whatever it is made of.
      const code = bundle(esbuild(name, name, "--format=esm", ...wrangler), way, worker[way], folder, [
        nodeBin!,
        esbuildBin!,
      ]);
      const config = `${code}.capnp`;
      writeFileSync(config, workerdConfig(readFileSync(code, "utf8"), date, flags));
      // Not the script that comes with it, whose child would outlive it.
      const platforms = join(workerdBin!, "..", "@cloudflare");
      return [join(platforms, readdirSync(platforms)[0]!, "bin", "workerd"), "test", config, "smoke"];
    },
  };
}

/**
 * Two networks, of which one trusts the authority of the tests, and a Worker in each. Texts of JSON are texts there.
 */
function workerdConfig(code: string, date: string, flags: readonly string[]): string {
  const ca = readFileSync(join(root, "test", "fixtures", "tls", "ca.pem"), "utf8");
  const worker = `modules = [(name = "worker", esModule = ${JSON.stringify(code)})],
    compatibilityDate = "${date}", compatibilityFlags = ${JSON.stringify(flags)}`;
  const environment = '(name = "SMOKE", fromEnvironment = "SMOKE")';
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [
  (name = "trusting", network = (allow = ["private"], tlsOptions = (trustedCertificates = [${JSON.stringify(ca)}]))),
  (name = "internet", network = (allow = ["private"])),
  (name = "smoke", worker = (${worker}, globalOutbound = "trusting",
    bindings = [${environment}, (name = "STRANGER", service = "stranger")])),
  (name = "stranger", worker = (${worker}, bindings = [${environment}])),
]);
`;
}

/** All runtimes that the library is tried in. */
export const runtimes: readonly Runtime[] = [
  oldestNode,
  node("20.20.2"),
  node("22.23.3"),
  node("24.21.0"),
  newestNode,
  {
    name: "bun",
    title: "Bun 1.4.5",
    packages: ["bun@1.4.5"],
    command: (way, _folder, [bin]) => [join(bin!, "bun"), script[way]],
  },
  {
    name: "deno",
    title: "Deno 2.9.6",
    packages: ["deno@2.9.6"],
    // Nothing but the network and the suite's own orders is allowed; CommonJS is read from node_modules at run time.
    command: (way, folder, [bin]) => [
      ...[join(bin!, "deno"), "run", "--no-prompt", "--node-modules-dir=manual"],
      ...["--allow-net=127.0.0.1,localhost", "--allow-env=SMOKE", `--allow-read=${folder}`, script[way]],
    ],
  },
  workerd("workerd-oldest", "2024-09-23", ["nodejs_compat", "nodejs_compat_populate_process_env"]),
  workerd("workerd", "2026-11-17", ["nodejs_compat"]),
  constrained("small", "--max-old-space-size=12", "--max-semi-space-size=1"),
  constrained("jitless", "--jitless"),
  constrained("frozen", "--frozen-intrinsics"),
  constrained("no-proto", "--disable-proto=throw"),
  constrained("no-eval", "--disallow-code-generation-from-strings"),
  {
    name: "permission",
    title: `${newestNode.title} \`--permission --allow-net\``,
    packages: newestNode.packages,
    command: (way, folder, [bin]) => [
      ...[join(bin!, "node"), "--permission", "--allow-net", `--allow-fs-read=${folder}`, script[way]],
    ],
  },
  jest("jest", "jest 30.5.2", "node"),
  jestWithJsdom,
  ...bundlers.map((bundler) => ({
    name: bundler.name,
    title: bundler.title,
    packages: [...newestNode.packages, bundler.packages],
    command: (way: Way, folder: string, bins: readonly string[]) => [
      ...[join(bins[0]!, "node"), bundle(bundler, way, script[way], folder, bins)],
    ],
  })),
];

/** Installs what the runtime needs. Returns the folders of executables, or what is missing. */
export function installRuntime(runtime: Runtime): { readonly bins: readonly string[] } | { readonly missing: string } {
  const bins: string[] = [];
  for (const spec of runtime.packages) {
    const found: Found = installPackage(spec);
    if ("missing" in found) return found;
    bins.push(join(found.path, "node_modules", ".bin"));
  }
  return { bins };
}
