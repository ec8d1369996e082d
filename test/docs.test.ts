import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { allBlocks, type Block, blocksOf, compileBlocks, documents, makePlace, textOf } from "./support/documents.ts";

const root = join(__dirname, "..");

describe("the documents", () => {
  let place = "";
  const check = (blocks: readonly Block[]): string => compileBlocks(mkdtempSync(join(place, "check-")), blocks);

  beforeAll(() => {
    place = makePlace();
  });

  afterAll(() => {
    rmSync(place, { recursive: true, force: true });
  });

  test("have TypeScript examples that compile against the package", () => {
    // Those for NestJS need it: test/docs/nestjs.test.ts.
    const blocks = allBlocks().filter(({ info }) => !info.startsWith("nestjs"));
    expect(blocks.map(({ where }) => where)).toContainEqual(expect.stringMatching(/^README\.md:/));
    expect(check(blocks)).toBe("");
  });

  test("would be found out by an example with a wrong name, and told where it is", () => {
    const text = 'Text.\n\n```ts\nimport { connect } from "nats-streaming-client";\nawait connect({ clusterId: "a", clientID: "b" });\n```\n';
    const complaints = check(blocksOf("docs/wrong.md", text));
    expect(complaints).toMatch(/^docs\/wrong\.md:5 \(.*clientID/);
  });

  test("say of every example that can be run what it prints, and mark no other", () => {
    for (const { where, info, output } of allBlocks()) expect(output !== undefined, where).toBe(info === "run");
  });
});

/** The names of the members of an exported interface or union of strings, as src/streaming has them. */
function membersOf(file: string, pattern: RegExp, member: RegExp): string[] {
  const body = pattern.exec(textOf(file))?.[1];
  if (body === undefined) throw new Error(`${file} has nothing like ${pattern.source}`);
  return [...body.matchAll(member)].map((match) => match[1]!);
}

/** The first column of the tables under a heading of README.md. */
function namesUnder(heading: string): string[] {
  const section = textOf("README.md").split(/^#+ /m).find((section) => section.startsWith(heading));
  return [...(section ?? "").matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1]!);
}

describe("README.md", () => {
  test("lists exactly the options of connect, subscribe and publish", () => {
    const optionsOf = (name: string): string[] =>
      membersOf("src/streaming/options.ts", new RegExp(`export interface ${name} \\{(.*?)^\\}`, "ms"), /^ {2}(\w+)\??:/gm);
    expect(namesUnder("Options of `connect`").sort()).toEqual(optionsOf("ConnectOptions").sort());
    expect(namesUnder("Options of `subscribe`").sort()).toEqual(optionsOf("SubscribeOptions").sort());
    const line = /^- `client\.publish\(.*?`options`: (.*)\.$/m.exec(textOf("README.md"))?.[1];
    expect(line?.replaceAll("`", "").split(", ").sort()).toEqual(optionsOf("PublishOptions").sort());
  });

  test("has the defaults that the options' own descriptions give", () => {
    const described = [...textOf("src/streaming/options.ts").matchAll(/ Default ([\d ]+(?: MiB)?)\. ?\*\/\n {2}(\w+)\?/g)];
    expect(described.length).toBeGreaterThan(8);
    for (const [, value, option] of described) {
      expect(textOf("README.md")).toMatch(new RegExp(`^\\| \`${option}\` \\| ${value} \\|`, "m"));
    }
  });

  test("lists exactly the error codes, each with the words of its source", () => {
    const rows = (text: string): string[] => [...text.matchAll(/\| (`[A-Z]\w+` \| .*) \|$/gm)].map((match) => match[1]!);
    expect(rows(textOf("README.md"))).toEqual(rows(textOf("src/streaming/errors.ts")));
    const codes = membersOf("src/streaming/errors.ts", /StreamingErrorCode =\n(.*?);/s, /"(\w+)"/g);
    expect(namesUnder("Errors").sort()).toEqual(codes.sort());
  });

  test("and the other documents link to nothing that is not there", () => {
    for (const document of documents) {
      for (const [, target] of textOf(document).matchAll(/\]\((?!https?:)([^)#]+)/g)) {
        expect(existsSync(join(root, document, "..", target!)), `${document} links to ${target}`).toBe(true);
      }
    }
  });
});

describe("docs/design.md", () => {
  const text = textOf("docs/design.md");

  test("names every file of the library, and no other", () => {
    const files = ["pb", "core-nats", "streaming", "testing"].flatMap((layer) => readdirSync(join(root, "src", layer)).map((name) => `src/${layer}/${name}`));
    const table = /^## What is where$(.*?)^## /ms.exec(text)?.[1] ?? "";
    const named = [...table.matchAll(/`(src\/[\w-]+\/[\w.-]+)`/g)].map((match) => match[1]!);
    expect(named.sort()).toEqual(files.sort());
  });

  test("walks through functions that are where it says", () => {
    const steps = [...text.matchAll(/^\| \d+ \| `(src\/\S+)` (.*?) \|/gm)];
    expect(steps.length).toBeGreaterThan(25);
    for (const [, file, functions] of steps) {
      const source = textOf(file!);
      for (const [, name] of functions!.matchAll(/`([#\w]+)`/g)) {
        // A member or function is defined in the file, not merely used: at the start of a line.
        const defined = new RegExp(`^ *(?:export |static |async |readonly |private )*${name}(?:\\(|<| = |: )`, "m");
        expect(defined.test(source), `${name} in ${file}`).toBe(true);
      }
    }
  });
});

describe("docs/errors.md", () => {
  const text = textOf("docs/errors.md");
  const [codes, causes] = text.split(/^## (?:The codes|Causes)$/m).slice(1);

  test("has a heading for each code, in the order of the source, and says of each whether it was done, and what to do", () => {
    const sections = codes!.split(/^### /m).slice(1);
    const expected = membersOf("src/streaming/errors.ts", /StreamingErrorCode =\n(.*?);/s, /"(\w+)"/g);
    expect(sections.map((section) => /^`(\w+)`\n/.exec(section)?.[1])).toEqual(expected);
    for (const section of sections) {
      const code = section.slice(1, section.indexOf("`", 1));
      expect(/^- \*\*Done\?\*\* (\S+)/m.exec(section)?.[1], code).toBe(code === "UNCONFIRMED" ? "**Unknown.**" : "No.");
      expect(section, code).toMatch(/^- \*\*Where:\*\* /m);
      expect(section, code).toMatch(/^- \*\*What to do:\*\* /m);
    }
  });

  test("has every cause, with the words of its source", () => {
    const rows = (text: string): string[] => [...text.matchAll(/\| (`[A-Z]\w+` \| .*) \|$/gm)].map((match) => match[1]!);
    expect(rows(causes!)).toHaveLength(membersOf("src/core-nats/errors.ts", /NatsErrorCode =\n(.*?);/s, /"(\w+)"/g).length);
    expect(rows(causes!)).toEqual(rows(textOf("src/core-nats/errors.ts")));
  });
});

describe("docs/migrating.md", () => {
  test("names no option, member or status of this library that does not exist", () => {
    const sources = ["client", "options", "subscription", "message", "status"].map((name) => textOf(`src/streaming/${name}.ts`)).join("\n");
    // The right column of its tables is about this library.
    const cells = [...textOf("docs/migrating.md").matchAll(/^\| .* \| (.*) \|$/gm)].map((match) => match[1]!);
    expect(cells.length).toBeGreaterThan(60);
    const names = cells.flatMap((cell) => [...cell.matchAll(/`(?:client\.|message\.|subscription\.)?([a-z]\w+)(?:\(|: |`)/g)].map((match) => match[1]!));
    for (const name of names) expect(new RegExp(`\\b${name}\\b`).test(sources), name).toBe(true);
  });
});

describe("SECURITY.md", () => {
  const claims = [...textOf("SECURITY.md").matchAll(/^\| (?!(?:it cannot|it does not|-+) ?\|)(.*)\|$/gm)].map((match) => match[1]!);

  test("names for each claim a test that exists", () => {
    expect(claims.length).toBeGreaterThan(30);
    for (const claim of claims) {
      const [, file, title] = /\| `(test\/[\w/.-]+\.test\.ts)` “(.*)” $/.exec(claim) ?? [];
      expect(file, claim).toBeDefined();
      expect(textOf(file!), claim).toContain(`"${title}"`);
    }
  });
});

test("the documents link to headings that are there", () => {
  const slugs = (document: string): string[] =>
    [...textOf(document).replace(/^```.*?^```/gms, "").matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
      heading!.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-"),
    );
  for (const document of documents) {
    for (const [, target, anchor] of textOf(document).matchAll(/\]\((?!https?:)([^)#]*)#([^)]+)\)/g)) {
      const linked = target === "" ? document : relative(root, join(root, document, "..", target!));
      expect(slugs(linked), `${document} links to ${target}#${anchor}`).toContain(anchor);
    }
  }
});
