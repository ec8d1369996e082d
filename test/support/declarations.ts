import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Something that the package exports, as its declarations have it: what is internal is not in them. */
export interface Declaration {
  readonly name: string;
  readonly docstring: string;
  /** Without comments. */
  readonly code: string;
  /** Those of a class or an interface, without the inherited ones. */
  readonly members: readonly Member[];
  /** The text of the file that it is in, without comments. */
  readonly file: string;
}

/** A member of a class or an interface. */
export interface Member {
  readonly name: string;
  readonly docstring: string;
  /** "publish(subject, data, options?)", "from?" */
  readonly signature: string;
  /** What it is, or what the call returns. */
  readonly type: string;
  readonly call: boolean;
}

const DOCSTRING = /\/\*\*(?:(?!\*\/)[^])*\*\//g;
/** A docstring, and what is exported under it, up to the next docstring or statement. */
const DECLARATION = new RegExp(
  String.raw`^(${DOCSTRING.source})\nexport (?:declare )?(?:abstract )?(?:class|interface|type|function) (\w+)` +
    String.raw`[^]*?(?=^\/\*\*|^export |^type |(?![^]))`,
  "gm",
);
/** A member with its docstring, `get`, name, "?", parameters and type. */
const MEMBER = new RegExp(
  String.raw`^(?:\t(${DOCSTRING.source})\n)?\t(?:(?:abstract|readonly|static) )*(get )?(\w+|\[Symbol\.\w+\])(\??)` +
    String.raw`(?:<[^>]*>)?(?:\(([^)]*)\))?(?:: | = )([^]*?);$`,
  "gm",
);
/** How each member begins, whatever follows. */
const BEGIN = /^\t(?!#private;|(?:private )?constructor\()[\w[].*/gm;
/** A type that the file has for itself: who reads of it elsewhere needs what it stands for. */
const ALIAS = /^type (\w+) = (.*);$/gm;
const EXPORT = /^export (?:type )?\{ (.*) \}(?: from "(.*)\.js")?;$/gm;
const IMPORT = /^import (?:type )?\{ (.*) \} from "(.*)\.js";$/gm;

/** A text of TypeScript without its docstrings. */
function withoutDocstrings(text: string): string {
  return text.replace(DOCSTRING, "");
}

/** What an entry point of the package exports. `folder` is where the package was built, `entry` its declarations. */
export function exportsOf(folder: string, entry: string): Declaration[] {
  const text = readFileSync(join(folder, entry), "utf8");
  const imported = new Map<string, string>();
  for (const [, names, from] of text.matchAll(IMPORT)) {
    for (const name of namesIn(names!)) imported.set(name, from!);
  }
  const elsewhere = [...text.matchAll(EXPORT)].flatMap(([, names, from]) =>
    namesIn(names!).map((name) => {
      const file = join(dirname(entry), `${from ?? imported.get(name)}.d.ts`);
      const declared = declarationsIn(readFileSync(join(folder, file), "utf8"));
      const declaration = declared.find((declaration) => declaration.name === name);
      if (declaration === undefined) throw new Error(`${file} does not declare ${name}`);
      return declaration;
    }),
  );
  return [...declarationsIn(text), ...elsewhere];
}

function namesIn(list: string): string[] {
  return list.split(", ").map((name) => name.replace("type ", ""));
}

function declarationsIn(text: string): Declaration[] {
  const file = withoutDocstrings(text);
  const aliases = [...file.matchAll(ALIAS)];
  return [...text.matchAll(DECLARATION)].map(([declaration, docstring, name]) => {
    const isBody = /^export (?:declare )?(?:abstract )?(?:class|interface) /m.test(declaration);
    let spelled = declaration;
    for (const [, alias, type] of aliases) spelled = spelled.replace(new RegExp(`\\b${alias}\\b`, "g"), type!);
    const members = isBody ? [...spelled.matchAll(MEMBER)].map(memberOf) : [];
    const code = withoutDocstrings(declaration);
    const begun = isBody ? [...code.matchAll(BEGIN)].length : 0;
    if (members.length !== begun) throw new Error(`${name}: ${members.length} of ${begun} members are understood`);
    return { name: name!, docstring: docstring!, code, members, file };
  });
}

function memberOf([, docstring = "", getter, name, optional, parameters, type]: RegExpMatchArray): Member {
  const call = parameters !== undefined && getter === undefined;
  const named = call ? `(${[...parameters!.matchAll(/(\w+\??):/g)].map(([, parameter]) => parameter).join(", ")})` : "";
  const signature = `${name}${optional}${named}`;
  const returned = optional === "" ? type! : type!.replace(/ \| undefined$/, "");
  return { name: name!, docstring, signature, type: returned, call };
}
