import type { Position } from "../monitoring/positions.ts";
import type { Colour, Output } from "./output.ts";

/** @internal A cell: a text, or a number, which stands to the right; with a colour if it needs attention. */
export type Cell = string | number | { readonly text: string; readonly colour: Colour };

/** @internal The lines of a table: a head, and a line for each row. The last column is not padded. */
export function tableOf(head: readonly string[], rows: readonly (readonly Cell[])[], output: Output): string[] {
  const texts = rows.map((row) => row.map(textOf));
  const right = head.map(
    (_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === "number" || row[i] === "-"),
  );
  const widths = head.map((name, i) => Math.max(name.length, ...texts.map((row) => row[i].length)));
  const pad = (text: string, i: number): string => {
    if (right[i]) return text.padStart(widths[i]);
    return i === head.length - 1 ? text : text.padEnd(widths[i]);
  };
  const lines = texts.map((row, r) => row.map((text, i) => output.paint(pad(text, i), colourOf(rows[r][i]))));
  return [head.map((name, i) => output.paint(pad(name, i), "bold")), ...lines].map((cells) => cells.join("  "));
}

function textOf(cell: Cell): string {
  if (typeof cell === "number") return String(cell).replace(/\B(?=(\d{3})+$)/g, " ");
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
