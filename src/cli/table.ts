import type { Position } from "../monitoring/positions.ts";
import { grouped } from "./output.ts";
import type { Colour, Output } from "./output.ts";

/** @internal A cell: a text, or a number, which stands to the right; with a colour if it needs attention. */
export type Cell = string | number | { readonly text: string; readonly colour: Colour };

type Row = readonly Cell[];

/** @internal Prints values as JSON, or as a table with a row for each. */
export function printList<T>(output: Output, values: readonly T[], head: readonly string[], row: (of: T) => Row): void {
  if (output.json) output.value(values);
  else printTable(output, head, values.map(row));
}

/** @internal Prints a table: a head, and a line for each row. The last column is not padded. */
export function printTable(output: Output, head: readonly string[], rows: readonly Row[]): void {
  const texts = rows.map((row) => row.map(textOf));
  const isNumber = (cell: Cell): boolean => typeof cell === "number" || cell === "-";
  const right = head.map((_, i) => rows.length > 0 && rows.every((row) => isNumber(row[i])));
  const widths = head.map((name, i) => texts.reduce((most, row) => Math.max(most, row[i].length), name.length));
  const pad = (text: string, i: number): string => {
    if (right[i]) return text.padStart(widths[i]);
    return i === head.length - 1 ? text : text.padEnd(widths[i]);
  };
  const lines = texts.map((row, r) => row.map((text, i) => output.paint(pad(text, i), colourOf(rows[r][i]))));
  output.say(head.map((name, i) => output.paint(pad(name, i), "bold")).join("  "));
  for (const cells of lines) output.say(cells.join("  "));
}

function textOf(cell: Cell): string {
  if (typeof cell === "number") return grouped(cell);
  // What a channel is called must not move the cursor.
  return (typeof cell === "string" ? cell : cell.text).replace(/\p{Cc}/gu, "?");
}

function colourOf(cell: Cell): Colour | undefined {
  return typeof cell === "object" ? cell.colour : undefined;
}

/** @internal The state of a position as a cell. */
export function stateOf({ offline, stalled, members }: Position): Cell {
  if (offline) return { text: "offline", colour: "yellow" };
  if (stalled === 0) return "online";
  return { text: members > 1 ? `stalled ${stalled} of ${members}` : "stalled", colour: "red" };
}
