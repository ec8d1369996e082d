import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { root } from "../support/tarball.ts";

/** What the owner of the repository replaces, in package.json; CONTRIBUTING.md says how. */
const UNNAMED = "https://not-named-yet.invalid/repository";
const NAMED = "https://git.example/stan/nats-streaming-client";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly repository: { readonly type: string; readonly url: string };
  readonly homepage: string;
  readonly bugs: { readonly url: string };
}

const textOf = (file: string): string => readFileSync(join(root, file), "utf8");

/** What a manifest must have for a repository that can be seen at a URL. */
function derived(url: string): Omit<Manifest, "name" | "version"> {
  const repository = { type: "git", url: `git+${url}.git` };
  return { repository, homepage: `${url}#readme`, bugs: { url: `${url}/issues` } };
}

/** The URL that all fields derive from. */
function urlOf({ repository }: Manifest): string {
  return repository.url.replace(/^git\+/, "").replace(/\.git$/, "");
}

/** What the script says that npm runs before it publishes, given these files. */
function publishing(texts: Readonly<Record<string, string>>): { status: number | null; stdout: string } {
  const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-release-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), text);
  const { status, stdout } = spawnSync("npm", ["run", "--silent", "prepublishOnly"], { encoding: "utf8", cwd: folder });
  return { status, stdout };
}

test("homepage and bugs derive from the repository, before and after it is named", () => {
  const text = textOf("package.json");
  const manifest = JSON.parse(text) as Manifest;
  expect(manifest).toMatchObject(derived(urlOf(manifest)));
  expect(urlOf(manifest)).toMatch(/^https:\/\//);
  const named = JSON.parse(text.replaceAll(urlOf(manifest), NAMED)) as Manifest;
  expect(named).toMatchObject(derived(NAMED));
  // As long as there is none, CONTRIBUTING.md says what to replace.
  if (urlOf(manifest).includes(".invalid")) {
    expect(urlOf(manifest)).toBe(UNNAMED);
    expect(textOf("CONTRIBUTING.md")).toContain(`\`${UNNAMED}\``);
  }
});

test("what is not filled in is not published, and npm says which lines these are", () => {
  const manifest = textOf("package.json");
  const withUrl = (url: string): string => manifest.replaceAll(urlOf(JSON.parse(manifest) as Manifest), url);
  const texts: Record<string, string> = {
    "package.json": withUrl(UNNAMED),
    "README.md": "It is not in the npm registry yet.\n",
    "SECURITY.md": "a\n`security@not-named-yet.invalid`\n",
  };
  const refused = publishing(texts);
  expect(refused.status).not.toBe(0);
  expect(refused.stdout.trim().split("\n").map((line) => line.replace(/:(\d+):.*/, ""))).toEqual([
    ...["package.json", "package.json", "package.json"],
    ...["README.md", "SECURITY.md"],
  ]);
  const filled = { "package.json": withUrl(NAMED), "README.md": "", "SECURITY.md": "security@git.example\n" };
  expect(publishing(filled)).toEqual({ status: 0, stdout: "" });
  for (const name of Object.keys(filled)) {
    expect(publishing({ ...filled, [name]: texts[name]! }).status, name).not.toBe(0);
  }
});

test("the README says how to install from the registry, and until it is there from what npm pack makes", () => {
  const { name, version } = JSON.parse(textOf("package.json")) as Manifest;
  const section = /^## Install\n([^]*?)^## /m.exec(textOf("README.md"))![1]!;
  expect(section).toContain(`npm install ${name}`);
  for (const [file] of section.matchAll(/[\w.-]+\.tgz/g)) {
    expect(file).toBe(`${name}-${version}.tgz`);
    // By which npm refuses to publish.
    expect(section).toContain("It is not in the npm registry yet.");
  }
});

test("SECURITY.md names where to report to, or says that there is nothing yet", () => {
  expect(textOf("SECURITY.md")).toMatch(/^\*\*Contact\.\*\* \S*@\S+/m);
});
