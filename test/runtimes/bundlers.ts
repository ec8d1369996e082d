import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Way } from "./runtimes.ts";

/** A bundle that is to be made: of one script with all that it needs, for Node. */
interface Task {
  readonly way: Way;
  /**
   * The script, an ES module for `import` and a CommonJS module for `require`, in the folder where the bundler runs.
   */
  readonly entry: string;
  /** Where to, and the file there: of the same kind as the script. */
  readonly folder: string;
  readonly file: string;
  readonly format: "esm" | "cjs";
  /** Writes a configuration file, and returns its path. */
  config(text: string): string;
}

/** A tool that makes one file of a program and its libraries. */
export interface Bundler {
  readonly name: string;
  readonly title: string;
  /** The packages that it comes in, each with its exact version. They are installed into one folder. */
  readonly packages: string;
  /** The command line, beginning with the name of the executable. */
  command(task: Task): readonly string[];
}

/** esbuild, with options that may overrule the usual ones. */
export function esbuild(name: string, title: string, ...options: string[]): Bundler {
  return {
    name,
    title,
    packages: "esbuild@0.28.2",
    command: ({ entry, folder, file, format }) => [
      ...[
        "esbuild",
        entry,
        "--bundle",
        "--platform=node",
        `--format=${format}`,
        ...options,
        `--outfile=${join(folder, file)}`,
      ],
    ],
  };
}

/** webpack's configuration, which rspack has as well. */
function webpackConfig({ way, entry, folder, file, config }: Task): string {
  const asModule = { module: true, chunkFormat: "module", library: { type: "module" } };
  const options = {
    mode: "production",
    target: "node",
    entry: `./${entry}`,
    output: { path: folder, filename: file, ...(way === "import" ? asModule : {}) },
    experiments: { outputModule: way === "import" },
  };
  return config(`export default ${JSON.stringify(options)};`);
}

/**
 * As their users call them: nothing is said of the library but, where that is not so anyway, that it is to be bundled.
 */
export const bundlers: readonly Bundler[] = [
  esbuild("esbuild", "esbuild 0.28.2"),
  esbuild("esbuild-minify", "esbuild 0.28.2 `--minify`", "--minify"),
  {
    name: "rollup",
    title: "rollup 4.68.8",
    packages: "rollup@4.68.8 @rollup/plugin-node-resolve@16.0.3 @rollup/plugin-commonjs@29.0.3",
    command: ({ entry, folder, file, format }) => [
      ...["rollup", entry, "--plugin", "node-resolve", "--plugin", "commonjs"],
      ...["--format", format, "--file", join(folder, file)],
    ],
  },
  {
    name: "rolldown",
    title: "rolldown 1.3.2",
    packages: "rolldown@1.3.2",
    command: ({ entry, folder, file, format }) => [
      ...["rolldown", entry, "--platform", "node", "--format", format, "--file", join(folder, file)],
    ],
  },
  {
    name: "vite",
    title: "vite 8.3.8 (ssr)",
    packages: "vite@8.3.8",
    command: ({ entry, folder, file, format, config }) => {
      const build = { ssr: entry, outDir: folder, rollupOptions: { output: { format, entryFileNames: file } } };
      return [
        "vite",
        "build",
        "--config",
        config(`export default ${JSON.stringify({ ssr: { noExternal: true }, build })};`),
      ];
    },
  },
  {
    name: "webpack",
    title: "webpack 5.113.0",
    packages: "webpack@5.113.0 webpack-cli@7.3.1",
    command: (task) => ["webpack", "--config", webpackConfig(task)],
  },
  {
    name: "rspack",
    title: "rspack 2.3.3",
    packages: "@rspack/core@2.3.3 @rspack/cli@2.2.8",
    command: (task) => ["rspack", "build", "--config", webpackConfig(task)],
  },
  {
    name: "ncc",
    title: "ncc 0.45.0",
    packages: "@vercel/ncc@0.45.0",
    command: ({ entry, folder }) => ["ncc", "build", entry, "--out", folder],
  },
  {
    name: "bun-build",
    title: "bun build 1.4.5",
    packages: "bun@1.4.5",
    command: ({ entry, folder, file, format }) => [
      ...["bun", "build", entry, "--target=node", `--format=${format}`, `--outfile=${join(folder, file)}`],
    ],
  },
  {
    name: "tsup",
    title: "tsup 9.0.0",
    packages: "tsup@9.0.0 typescript@5.9.3",
    command: ({ entry, folder, format }) => [
      ...["tsup", entry, "--format", format, "--platform", "node", "--out-dir", folder],
    ],
  },
];

/**
 * Bundles a script of the project, and returns the path of the bundle: in a folder of its own, where there is no
 * node_modules. `bins` are the folders of the executables of Node and of the bundler. Blocks.
 */
export function bundle(
  bundler: Bundler,
  way: Way,
  entry: string,
  project: string,
  [node, tool]: readonly string[],
): string {
  const folder = join(project, "..", "bundle", bundler.name, way);
  mkdirSync(folder, { recursive: true });
  const [program, ...args] = bundler.command({
    way,
    entry,
    folder,
    file: entry,
    format: way === "import" ? "esm" : "cjs",
    config: (text) => {
      const path = join(project, `${bundler.name}-${way}.config.mjs`);
      writeFileSync(path, text);
      return path;
    },
  });
  const env = { ...process.env, PATH: `${node}:${process.env["PATH"]}` };
  const run = spawnSync(join(tool!, program!), args, { encoding: "utf8", cwd: project, env });
  if (run.status !== 0) throw new Error(`${bundler.title} failed: ${run.error?.message ?? run.stdout + run.stderr}`);
  // Some choose the names of their files.
  const names = [entry, "index.mjs", "index.cjs", "index.js", entry.replace(/\.\w+$/, ".js")];
  const made = names.map((name) => join(folder, name)).find((path) => existsSync(path));
  if (made === undefined) throw new Error(`${bundler.title} has made none of ${names.join(", ")}`);
  return made;
}
