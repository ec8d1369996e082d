import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CONNECT_OPTIONS } from "../src/streaming/connect-options.ts";
import { DRAIN_OPTIONS } from "../src/streaming/drain-options.ts";
import { PUBLISH_MANY_OPTIONS, PUBLISH_OPTIONS } from "../src/streaming/publishing/publish-options.ts";
import { BATCHES_OPTIONS, MESSAGES_OPTIONS } from "../src/streaming/subscribing/subscribe-options.ts";
import { SUBSCRIBE_OPTIONS } from "../src/streaming/subscribing/subscribe-options.ts";
import { type Declaration, exportsOf } from "./support/declarations.ts";
import { allBlocks, blocksOf, compileBlocks, documents, examplesOf, makePlace, textOf } from "./support/documents.ts";
import type { Block } from "./support/documents.ts";
import { compilers } from "./types/compilers.ts";

const root = join(__dirname, "..");

/** Where the package is installed as the sources are now, and what its two entry points declare. */
let place = "";
let exported: readonly Declaration[] = [];
let ofTesting: readonly Declaration[] = [];

beforeAll(() => {
  place = makePlace();
  const dist = join(place, "node_modules", "nats-streaming-client", "dist");
  exported = exportsOf(dist, "index.d.ts");
  ofTesting = exportsOf(dist, "testing/server.d.ts");
});

afterAll(() => {
  rmSync(place, { recursive: true, force: true });
});

describe("the documents", () => {
  const check = (blocks: readonly Block[]): string => compileBlocks(mkdtempSync(join(place, "check-")), blocks);

  test("have TypeScript examples that compile against the package", () => {
    // Those for NestJS and JetStream need them: test/docs/nestjs.test.ts, test/bridge/from-jetstream.test.ts.
    const blocks = allBlocks().filter(({ info }) => !/^(nestjs|jetstream)/.test(info));
    expect(blocks.map(({ where }) => where)).toContainEqual(expect.stringMatching(/^README\.md:/));
    expect(check(blocks)).toBe("");
  });

  test("would be found out by an example with a wrong name, and told where it is", () => {
    const code =
      'import { connect } from "nats-streaming-client";\nawait connect({ clusterId: "a", clientID: "b" });\n';
    const complaints = check(blocksOf("docs/wrong.md", `Text.\n\n\`\`\`ts\n${code}\`\`\`\n`));
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

const optionFiles = [
  "src/streaming/connect-options.ts",
  "src/streaming/drain-options.ts",
  "src/streaming/publishing/publish-options.ts",
  "src/streaming/subscribing/subscribe-options.ts",
];
const statusFiles = [
  "src/streaming/session/client-status.ts",
  "src/streaming/subscribing/subscription-status.ts",
];

/** The options of an interface, its base's not included. */
function optionsOf(name: string): string[] {
  const file = optionFiles.find((path) => textOf(path).includes(`export interface ${name} `))!;
  return membersOf(file, new RegExp(`export interface ${name}\\b[^{]*\\{(.*?)^\\}`, "ms"), /^ {2}(\w+)\??:/gm);
}

/** All codes of a StreamingError, in the order of the source. */
function errorCodes(): string[] {
  return membersOf("src/streaming/errors.ts", /StreamingErrorCode =\n(.*?);/s, /"(\w+)"/g);
}

/** What is under a heading of a document, up to the next heading. */
function sectionOf(document: string, heading: string): string {
  const section = textOf(document).split(/^#+ /m).find((section) => section.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`${document} has no heading ${heading}`);
  return section.slice(heading.length);
}

/** What a pattern finds in a text, by its first group. */
function found(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1]!);
}

/** The rows of the table whose first column has this name; each cell by the name of its column. */
function tableOf(document: string, first: string): Record<string, string>[] {
  return tableIn(textOf(document), first);
}

/** The same, of a text. */
function tableIn(text: string, first: string): Record<string, string>[] {
  const table = new RegExp(`^\\| ${first} \\|.*(?:\\n\\|.*)+`, "m").exec(text)?.[0] ?? "";
  const cellsOf = (line: string): string[] => {
    const cells = line.split(/(?<!\\)\|/).slice(1, -1);
    return cells.map((cell) => cell.trim().replaceAll("\\|", "|"));
  };
  const [head, , ...rows] = table.split("\n").map(cellsOf);
  return rows.map((row) => Object.fromEntries(row.map((cell, i) => [head![i], cell])));
}

describe("README.md", () => {
  const text = textOf("README.md");

  test("is at most 8,500 bytes: it is read in three minutes, and is part of the package", () => {
    expect(statSync(join(root, "README.md")).size).toBeLessThanOrEqual(8_500);
  });

  test("names the options that everybody needs, and none that does not exist", () => {
    const [ofConnect, ofSubscribe] = sectionOf("README.md", "Options").split("\n- ").slice(1);
    const named = (line: string | undefined): string[] => found(line!, /`(\w+)`/g);
    expect(["connect", ...optionsOf("ConnectOptions")]).toEqual(expect.arrayContaining(named(ofConnect)));
    expect(["subscribe", ...optionsOf("SubscribeOptions")]).toEqual(expect.arrayContaining(named(ofSubscribe)));
    expect(named(ofConnect)).toEqual(expect.arrayContaining(["clusterId", "clientId", "servers", "auth", "tls"]));
    expect(named(ofSubscribe)).toEqual(expect.arrayContaining(optionsOf("SubscribeOptions")));
  });

  test("lists exactly the error codes, and says of one alone that it leaves it unknown whether it was done", () => {
    const section = sectionOf("README.md", "Errors");
    expect(found(section, /`([A-Z_]+)`/g)).toEqual(errorCodes());
    expect(found(/^- Unknown:.*/m.exec(section)?.[0] ?? "", /`(\w+)`/g)).toEqual(["UNCONFIRMED"]);
  });

  test("has figures of outages that are those of docs/chaos.md", () => {
    const all = tableOf("docs/chaos.md", "scenario");
    const shown = tableOf("README.md", "scenario");
    expect(shown.length).toBeGreaterThanOrEqual(4);
    expect(shown.at(-1)).toMatchObject({ scenario: "all" });
    for (const row of shown) expect(all).toContainEqual(expect.objectContaining(row));
    expect(text).toContain(`${all.length - 1} kinds`);
    expect(text).toContain(/\*\*(\d+ of \d+ runs failed)/.exec(textOf("docs/chaos.md"))![1]!);
  });

  test("names no version of a runtime that docs/runtimes.md does not", () => {
    const versions = found(/^\*\*Runtimes\.\*\*[^]*?\n\n[^|]/m.exec(text)?.[0] ?? "", /(\d+\.\d+\.\d+)/g);
    expect(versions.length).toBeGreaterThan(5);
    for (const version of versions) {
      expect(textOf("docs/runtimes.md")).toMatch(new RegExp(`^\\| .* ${version}\\b.* \\| yes`, "m"));
    }
  });

  test("names the least and the newest TypeScript that the types are tried under, and docs/runtimes.md all", () => {
    const [least, newest] = [compilers[0]!, compilers.at(-1)!].map(({ version }) => version.replace(/\.\d+$/, ""));
    expect(text).toContain(`| TypeScript ${least} to ${newest} |`);
    const section = sectionOf("docs/runtimes.md", "TypeScript");
    expect(section).toContain(`TypeScript ${least} or later`);
    expect(found(section, /(\d+\.\d+\.\d+)/g)).toEqual(compilers.map(({ version }) => version));
  });

  test("and the other documents link to nothing that is not there", () => {
    for (const document of documents) {
      for (const [, target] of textOf(document).matchAll(/\]\((?!https?:)([^)#]+)/g)) {
        expect(existsSync(join(root, document, "..", target!)), `${document} links to ${target}`).toBe(true);
      }
    }
  });

  test("and the other documents name no file of the repository that is not there", () => {
    for (const document of documents) {
      for (const path of found(textOf(document), /`((?:bench|docs|examples|src|test)\/[\w./-]*|[A-Z]+\.md)`/g)) {
        expect(existsSync(join(root, path)), `${document} names ${path}`).toBe(true);
      }
    }
  });
});

describe("docs/options.md", () => {
  const namesUnder = (heading: string): string[] => found(sectionOf("docs/options.md", heading), /^\| `(\w+)` \|/gm);

  test("lists exactly the options of connect, subscribe, batches, publish, publishMany and drain", () => {
    expect(namesUnder("`connect`").sort()).toEqual(optionsOf("ConnectOptions").sort());
    expect(namesUnder("`subscribe` and `messages`").sort()).toEqual(optionsOf("SubscribeOptions").sort());
    expect(namesUnder("`batches`").sort()).toEqual(optionsOf("BatchesOptions").sort());
    const publishing = [...optionsOf("PublishOptions"), ...optionsOf("PublishManyOptions")];
    expect(namesUnder("`publish` and `publishMany`").sort()).toEqual(publishing.sort());
    expect(namesUnder("`drain`").sort()).toEqual(optionsOf("DrainOptions").sort());
  });

  test("are all of the names that the library knows", () => {
    const all = (...names: string[]): string[] => names.flatMap(optionsOf).sort();
    expect([...CONNECT_OPTIONS].sort()).toEqual(all("ConnectOptions"));
    expect([...SUBSCRIBE_OPTIONS].sort()).toEqual(all("SubscribeOptions"));
    const ofMessages = all("SubscribeOptions").filter((name) => name !== "concurrency" && name !== "key");
    expect([...MESSAGES_OPTIONS].sort()).toEqual(ofMessages);
    expect([...BATCHES_OPTIONS].sort()).toEqual([...ofMessages, ...all("BatchesOptions")].sort());
    expect([...PUBLISH_OPTIONS].sort()).toEqual(all("PublishOptions"));
    expect([...PUBLISH_MANY_OPTIONS].sort()).toEqual(all("PublishOptions", "PublishManyOptions"));
    expect([...DRAIN_OPTIONS].sort()).toEqual(all("DrainOptions"));
  });

  test("has the defaults that the options' own descriptions give", () => {
    const text = optionFiles.map(textOf).join("\n").replace(/\n {3}\*(?!\/)/g, "");
    const described = [...text.matchAll(/ Default ([\d ]+(?: MiB)?)\.\s*\*\/\n {2}(\w+)\?/g)];
    expect(described.length).toBeGreaterThan(8);
    for (const [, value, option] of described) {
      expect(textOf("docs/options.md")).toMatch(new RegExp(`^\\| \`${option}\` \\| ${value} \\|`, "m"));
    }
  });
});

describe("docs/reference.md", () => {
  const document = "docs/reference.md";
  const text = textOf(document);
  const spans = (text: string): string[] => found(text, /`([^`\n]+)`/g);
  const headings = (): string[] => found(text, /^## `(\w+)`$/gm);
  const typesIn = (text: string): string[] => tableIn(text, "type").flatMap((row) => spans(row.type!));
  const namesOf = (all: readonly Declaration[]): string[] => all.map(({ name }) => name);
  const declarationOf = (name: string): Declaration => {
    return [...exported, ...ofTesting].find((declaration) => declaration.name === name)!;
  };

  test("has all that the package exports, and nothing else: with members under a heading, the rest as types", () => {
    const described = [...headings(), ...typesIn(sectionOf(document, "Types"))];
    expect(described.sort()).toEqual(namesOf(exported).sort());
    const describedOfTesting = ["StreamingServer", ...typesIn(sectionOf(document, "The server for tests"))];
    expect(describedOfTesting.sort()).toEqual(namesOf(ofTesting).sort());
  });

  test("has exactly the members of each class and report, with the parameters and the type of each", () => {
    const described = headings().filter((name) => tableIn(sectionOf(document, `\`${name}\``), "member").length > 0);
    const classes = exported.filter(({ code }) => /declare (?:abstract )?class/.test(code));
    expect(described).toEqual(expect.arrayContaining(namesOf(classes)));
    for (const name of described) {
      const rows = tableIn(sectionOf(document, `\`${name}\``), "member").map(({ member, type }) => `${member} ${type}`);
      const members = declarationOf(name).members.map(({ signature, type }) => `\`${signature}\` \`${type}\``);
      expect(rows.sort(), name).toEqual(members.sort());
    }
    const [members] = sectionOf(document, "The server for tests").split("| type |");
    const signatures = declarationOf("StreamingServer").members.map(({ signature }) => signature);
    expect(found(members!, /^\| [a-z ]+ \| (.*) \|$/gm).flatMap(spans).sort()).toEqual(signatures.sort());
  });

  test("has exactly the fields of each stats, and a unit and a kind for each that fit the name", () => {
    for (const name of ["ClientStats", "SubscriptionStats"]) {
      const rows = tableIn(sectionOf(document, `\`${name}\``), "field");
      const fields = declarationOf(name).members.map(({ signature }) => `\`${signature}\``);
      expect(rows.map(({ field }) => field).sort(), name).toEqual(fields.sort());
      for (const { field, unit, kind } of rows) {
        expect(unit === "bytes", field).toBe(/Bytes`$/.test(field!));
        expect(unit === "milliseconds since 1970", field).toBe(/At`$/.test(field!));
        expect(kind, field).toMatch(/^(total|now)$/);
      }
    }
  });

  test("has exactly the statuses, each with exactly its fields and their types", () => {
    const declared = new Map<string, string[]>();
    expect(declarationOf("Status").code).toContain("Status = ClientStatus | SubscriptionStatus;");
    const unions = statusFiles.map(textOf).join("\n");
    for (const [, type, fields] of unions.matchAll(/\{\s+type: "([\w-]+)"(?:;\s+([^}]*?))?;?\s+\}/g)) {
      // An error is of the client, without a subscription, or of a subscription.
      if (declared.has(`\`${type}\``)) {
        expect(fields).toBe("subscription: Subscription; error: StreamingError");
      } else {
        const each = (fields ?? "").split(/;\s+/).filter(Boolean);
        declared.set(`\`${type}\``, each.map((field) => `\`${field}\``));
      }
    }
    const [error, none] = declared.get("`error`")!;
    expect(none).toBe("`subscription?: undefined`");
    declared.set("`error`", [error!, "`subscription?: Subscription`"]);
    expect(declared.size).toBeGreaterThanOrEqual(8);
    const described = new Map<string, string[]>();
    for (const { status, field } of tableIn(text, "status")) {
      if (status !== "") described.set(status!, []);
      else [...described.values()].at(-1)!.push(field!);
    }
    expect(described).toEqual(declared);
  });

  test("says of the calls that list their codes that they reject with exactly these", () => {
    const rows = tableIn(text, "call").map(({ call, "can reject with": codes }) => {
      return { calls: spans(call!), codes: spans(codes!) };
    });
    const members = ["Client", "Subscription"].flatMap((owner) => declarationOf(owner).members);
    const calls = members.filter(({ name }) => /subscribe$/.test(name));
    for (const { name, docstring } of [declarationOf("connect"), ...calls]) {
      const codes = errorCodes().filter((code) => docstring.includes(`\`${code}\``));
      expect(rows.find(({ calls }) => calls.includes(name))?.codes, name).toEqual(codes);
    }
  });

  test("names nothing that does not exist", () => {
    const words = (text: string): string[] => found(text, /([A-Za-z_]\w*)/g);
    const known = new Set([...exported, ...ofTesting].flatMap(({ file, name }) => [name, ...words(file)]));
    for (const word of statusFiles.map(textOf).flatMap(words)) known.add(word);
    const ofLanguage = "for await using break throw return switch default true false buffer cause";
    const ofHost = "Error TypeError SyntaxError AbortSignal console warn";
    const others = `${ofLanguage} ${ofHost} nats streaming client testing`.split(" ");
    for (const word of [...errorCodes(), ...others]) known.add(word);
    for (const span of spans(text)) for (const word of words(span)) expect(known, `\`${span}\``).toContain(word);
    expect(spans(text).length).toBeGreaterThan(300);
  });
});

describe("the docstrings of what is public", () => {
  const paths = readdirSync(join(root, "src"), { recursive: true }) as string[];
  const sources = paths.filter((path) => path.endsWith(".ts")).map((path) => `src/${path.replaceAll("\\", "/")}`);
  const LINK = /\{@link (\w+)(?:\.(\w+))?\}/g;
  /** What the examples need not show. */
  const given = `
    declare const connect: typeof import("nats-streaming-client").connect;
    declare const StreamingError: typeof import("nats-streaming-client").StreamingError;
    declare const PublishManyError: typeof import("nats-streaming-client").PublishManyError;
    declare const client: import("nats-streaming-client").Client;
    declare const subscription: import("nats-streaming-client").Subscription;
    declare const message: import("nats-streaming-client").Message;
    declare const messages: import("nats-streaming-client").Messages;
    declare const batches: import("nats-streaming-client").Batches;
    declare const readDeadLetter: typeof import("nats-streaming-client").readDeadLetter;
    declare const server: import("nats-streaming-client/testing").StreamingServer;
    declare const copy: typeof import("nats-streaming-client/bridge").copy;
    declare const plan: typeof import("nats-streaming-client/bridge").plan;
    declare const verify: typeof import("nats-streaming-client/bridge").verify;
    declare const fromJetStream: typeof import("nats-streaming-client/bridge").fromJetStream;
    type JetStreamMessage = Parameters<typeof import("nats-streaming-client/bridge").fromJetStream>[0];
    declare const consumer: { consume(): Promise<AsyncIterable<JetStreamMessage>> };
    declare function handle(message: { readonly data: Uint8Array }): Promise<void>;
    type Message = import("nats-streaming-client").Message;
    type Status = import("nats-streaming-client").Status;
    declare function save(order: string): Promise<void>;
    interface Expectation { toEqual(expected: unknown): void; toMatchObject(expected: unknown): void }
    declare function expect(value: unknown): Expectation;
  `;
  const check = (blocks: readonly Block[]): string => {
    return compileBlocks(mkdtempSync(join(place, "check-")), blocks, given, { lib: ["es2022", "esnext.disposable"] });
  };

  test("show an example of each call", () => {
    let calls = 0;
    for (const { name, docstring, members, code } of [...exported, ...ofTesting]) {
      if (/^export declare function/m.test(code)) expect(docstring, name).toContain("@example");
      for (const member of members.filter(({ call, name }) => call && !name.startsWith("["))) {
        expect(member.docstring, `${name}.${member.name}`).toContain("@example");
        calls++;
      }
    }
    expect(calls).toBeGreaterThan(30);
  });

  test("have examples that compile", () => {
    const examples = sources.flatMap(examplesOf);
    expect(examples.length).toBeGreaterThan(30);
    expect(examples.length).toBe(sources.flatMap((file) => found(textOf(file), /(@example)/g)).length);
    expect(check(examples)).toBe("");
  });

  test("would be found out by an example with a wrong name, and told where it is", () => {
    const wrong = { where: "src/wrong.ts:3", info: "", code: "await client.publish(1);\n", output: undefined };
    expect(check([wrong])).toMatch(/^src\/wrong\.ts:3 \(/);
  });

  test("link only to what an editor finds from there: a name of the same file, and a member that it has", () => {
    let links = 0;
    const all = [...exported, ...ofTesting];
    for (const { name, docstring, members, file } of all) {
      const texts = [docstring, ...members.map((member) => member.docstring)].join();
      expect(texts.match(/\{@/g)?.length ?? 0, name).toBe(texts.match(LINK)?.length ?? 0);
      for (const [link, target, member] of texts.matchAll(LINK)) {
        links++;
        const where = `${name}: ${link}`;
        expect(new RegExp(`\\b${target}\\b`).test(file), where).toBe(true);
        const linked = all.find((declaration) => declaration.name === target);
        expect(linked, where).toBeDefined();
        if (member !== undefined) expect(linked!.members.map(({ name }) => name), where).toContain(member);
      }
    }
    expect(links).toBeGreaterThan(50);
  });
});

describe("docs/design.md", () => {
  const text = textOf("docs/design.md");

  test("names every file of the library, and no other", () => {
    const layers = ["pb", "core-nats", "streaming", "testing", "node-nats-streaming"];
    const files = [...layers, "monitoring", "bridge", "cli"].flatMap((layer) => {
      const names = readdirSync(join(root, "src", layer), { recursive: true }) as string[];
      return names.filter((name) => name.endsWith(".ts")).map((name) => `src/${layer}/${name}`);
    });
    const both = [text, textOf("docs/design-bridge.md")];
    const table = both.map((page) => /^## What is where$(.*?)^## /ms.exec(page)?.[1] ?? "").join("");
    const named = [...table.matchAll(/`(src\/[\w-]+\/[\w./-]+)`/g)].map((match) => match[1]!);
    expect(named.sort()).toEqual(files.sort());
  });

  test("walks through functions that are where it says", () => {
    const steps = [...text.matchAll(/^\| \d+ \| `(src\/\S+)` (.*?) \|/gm)];
    expect(steps.length).toBeGreaterThan(25);
    for (const [, file, functions] of steps) {
      const source = textOf(file!);
      for (const [, name] of functions!.matchAll(/`([#\w]+)`/g)) {
        // A member or function is defined in the file, not merely used: at the start of a line, or indented once.
        const modifiers = "(?:export |static |async |readonly |private )*";
        const defined = new RegExp(`^(?: {2})?${modifiers}${name}(?:\\(|<| = |: )`, "m");
        expect(defined.test(source), `${name} in ${file}`).toBe(true);
      }
    }
  });
});

describe("docs/design.md, decisions.md and servers.md", () => {
  const linesOf = (text: string): number => text.trim().split("\n").length;

  test("design.md is at most 180 lines: it is a map, and what it shows is read in one go", () => {
    expect(linesOf(textOf("docs/design.md"))).toBeLessThanOrEqual(180);
  });

  /** The decisions: each one's room, heading and text. */
  const decisions = textOf("docs/decisions.md").split(/^## /m).slice(1).flatMap((room) => {
    const [name, ...all] = room.split(/^### /m);
    return all.map((decision) => {
      const [heading, ...body] = decision.split("\n");
      return { room: name!.trim(), heading: heading!, text: body.join("\n").trim() };
    });
  });
  const anchorOf = (heading: string): string => heading.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-");

  test("each decision belongs to a part of the code, and has at most 10 lines", () => {
    const streaming = ["session", "publishing", "subscribing", "ground"].map((room) => `streaming: ${room}`);
    const rooms = ["core-nats", "pb", ...streaming, "testing", "The whole package"];
    expect([...new Set(decisions.map(({ room }) => room))]).toEqual(rooms);
    expect(decisions.length).toBeGreaterThan(40);
    for (const { heading, text } of decisions) {
      expect(text, heading).not.toBe("");
      expect(linesOf(text), heading).toBeLessThanOrEqual(10);
    }
    expect(new Set(decisions.map(({ heading }) => anchorOf(heading))).size).toBe(decisions.length);
  });

  test("the code links to each decision, in lines of one form, and to no other heading", () => {
    const files = readdirSync(join(root, "src"), { recursive: true }).filter((name) => name.endsWith(".ts"));
    const linked = new Set<string>();
    for (const file of [...files.map((name) => `src/${name}`), "build.mjs"]) {
      for (const [line] of textOf(file).matchAll(/^.*\b(?:decisions|design|servers)\.md.*$/gm)) {
        expect(line, file).toMatch(/^ *\/\/ Why: docs\/decisions\.md#[\w-]+$/);
        linked.add(line.slice(line.indexOf("#") + 1));
      }
    }
    expect([...linked].sort()).toEqual(decisions.map(({ heading }) => anchorOf(heading)).sort());
  });
});

describe("docs/errors.md", () => {
  const text = textOf("docs/errors.md");
  const [codes, causes] = text.split(/^## (?:The codes|Causes)$/m).slice(1);

  test("has a heading for each code, in the order of the source, and says whether it was done, and what to do", () => {
    const sections = codes!.split(/^### /m).slice(1);
    expect(sections.map((section) => /^`(\w+)`\n/.exec(section)?.[1])).toEqual(errorCodes());
    for (const section of sections) {
      const code = section.slice(1, section.indexOf("`", 1));
      expect(/^- \*\*Done\?\*\* (\S+)/m.exec(section)?.[1], code).toBe(code === "UNCONFIRMED" ? "**Unknown.**" : "No.");
      expect(section, code).toMatch(/^- \*\*Where:\*\* /m);
      expect(section, code).toMatch(/^- \*\*What to do:\*\* /m);
    }
  });

  const rows = (text: string): string[] => found(text, /\| (`[A-Z]\w+` \| .*) \|$/gm);

  test("lists exactly the error codes, each with the words of its source", () => {
    expect(rows(codes!)).toEqual(rows(textOf("src/streaming/errors.ts")));
    expect(found(codes!, /^\| `(\w+)` \|/gm).sort()).toEqual(errorCodes().sort());
  });

  test("has every cause, with the words of its source", () => {
    const codes = membersOf("src/core-nats/errors.ts", /NatsErrorCode =\n(.*?);/s, /"(\w+)"/g);
    expect(rows(causes!)).toHaveLength(codes.length);
    expect(rows(causes!)).toEqual(rows(textOf("src/core-nats/errors.ts")));
  });
});

describe("docs/migrating.md", () => {
  test("names no option, member or status of this library that does not exist", () => {
    const others = ["src/streaming/client.ts", "src/streaming/subscribing/message.ts"];
    const sources = [...others, ...optionFiles, ...statusFiles].map(textOf).join("\n");
    const layer = readdirSync(join(root, "src", "node-nats-streaming"));
    const ofLayer = layer.map((name) => textOf(`src/node-nats-streaming/${name}`)).join("\n");
    const [, differences] = /^### All differences$(.*?)^### /ms.exec(textOf("docs/migrating.md"))!;
    // The right column of its tables is about this library.
    const cells = [...textOf("docs/migrating.md").matchAll(/^\| .* \| (.*) \|$/gm)].map((match) => match[1]!);
    expect(cells.length).toBeGreaterThan(60);
    const NAME = /`(?:client\.|message\.|subscription\.)?([a-z]\w+)(?:\(|: |`)/g;
    for (const name of cells.flatMap((cell) => found(cell, NAME))) {
      const text = differences!.includes(`\`${name}`) ? ofLayer + sources : sources;
      expect(new RegExp(`\\b${name}\\b`).test(text), name).toBe(true);
    }
  });
});

describe("SECURITY.md", () => {
  const claims = found(textOf("SECURITY.md"), /^\| (?!(?:it cannot|it does not|-+) ?\|)(.*)\|$/gm);

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

test("the documents for users avoid habits that are hard to read", () => {
  const habits =
    /\b(?:whoever|for its keep|takes? leave|so many|what waits|goes before|mended|(?:is|are|was|were) told)\b/gi;
  const names = ["chaos", "errors", "guide", "migrating", "options", "runtimes", "testing"];
  for (const document of ["README.md", ...names.map((name) => `docs/${name}.md`)]) {
    expect(textOf(document).replace(/\s+/g, " ").match(habits), document).toBeNull();
  }
});
