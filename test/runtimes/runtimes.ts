import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { Found } from "../support/binaries.ts";
import { installPackage } from "../support/packages.ts";

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
   * The command that runs the smoke suite, in `folder`, where its scripts are and the library is installed. `bins` are the
   * folders of the packages' executables, in their order.
   */
  command(way: Way, folder: string, bins: readonly string[]): readonly string[];
}

const script = { import: "by-import.mjs", require: "by-require.cjs" };
const test = { import: "by-import.test.mjs", require: "by-require.test.cjs" };
/** Beside the project, where there is no node_modules. */
const bundle = { import: "../bundle/by-import.mjs", require: "../bundle/by-require.cjs" };

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
export const newestNode = node("26.10.0");

function newestNodeWith(name: string, title: string, args: (folder: string) => readonly string[]): Runtime {
  return {
    name,
    title,
    packages: newestNode.packages,
    command: (way, folder, [bin]) => [join(bin!, "node"), ...args(folder), script[way]],
  };
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
  newestNodeWith("no-eval", "Node 26.10.0 `--disallow-code-generation-from-strings`", () => [
    "--disallow-code-generation-from-strings",
  ]),
  newestNodeWith("no-proto", "Node 26.10.0 `--disable-proto=throw`", () => ["--disable-proto=throw"]),
  newestNodeWith("permission", "Node 26.10.0 `--permission --allow-net`", (folder) => [
    ...["--permission", "--allow-net", `--allow-fs-read=${folder}`],
  ]),
  {
    name: "jest",
    title: "jest 30.5.2",
    packages: [...newestNode.packages, "jest@30.5.2"],
    command: (way, folder, [bin, jestBin]) => {
      const config = { rootDir: folder, testMatch: [`**/${test[way]}`], transform: {} };
      // Their own way to import ES modules, and the one that most projects have: all is required.
      const flags = way === "import" ? ["--experimental-vm-modules"] : [];
      return [join(bin!, "node"), ...flags, join(jestBin!, "jest"), "--runInBand", "--config", JSON.stringify(config)];
    },
  },
  {
    name: "esbuild",
    title: "esbuild 0.28.2, one file",
    packages: [...newestNode.packages, "esbuild@0.28.2"],
    command: (way, folder, [bin, esbuildBin]) => {
      bundled(way, folder, join(esbuildBin!, "esbuild"));
      return [join(bin!, "node"), bundle[way]];
    },
  },
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

function bundled(way: Way, folder: string, esbuild: string): void {
  const format = {
    // The library is CommonJS; as part of an ES module it needs a `require` for what the host provides.
    import: ["--format=esm", `--banner:js=import { createRequire } from "node:module"; const require = createRequire(import.meta.url);`],
    require: ["--format=cjs"],
  };
  const args = [script[way], "--bundle", "--platform=node", ...format[way], `--outfile=${bundle[way]}`];
  const run = spawnSync(esbuild, args, { encoding: "utf8", cwd: folder });
  if (run.status !== 0) throw new Error(`esbuild failed: ${run.error?.message ?? run.stderr}`);
}
