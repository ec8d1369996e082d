import { mkdirSync, writeFileSync } from "node:fs";
import { spread } from "./results.ts";
import type { CaseResult, Figures, Results, Spread } from "./results.ts";

const FOLDER = "bench/charts";
const WIDTH = 760;
const ROW = 30;
/** Bars begin at LEFT and reach to RIGHT at most. The figures stand behind. */
const LEFT = 250;
const RIGHT = WIDTH - 90;

const LIGHT = "--paper: #ffffff; --ink: #24292f; --faint: #8c959f; --line: #d0d7de; --ours: #0969da; --other: #b6bec7;";
const DARK = "--paper: #0d1117; --ink: #e6edf3; --faint: #8b949e; --line: #30363d; --ours: #4493f8; --other: #57606a;";
const BARS = ".ours { fill: var(--ours); } .other { fill: var(--other); } .grid { stroke: var(--line); }";
const CURVES = ".curve { fill: none; stroke-width: 2; } .curve.ours { stroke: var(--ours); fill: none; }";
/** Charts take the reader's colours from the browser, also where a file is shown as an image. */
const STYLE = `
  svg { font: 13px system-ui, sans-serif; ${LIGHT} }
  @media (prefers-color-scheme: dark) {
    svg { ${DARK} }
  }
  .paper { fill: var(--paper); } text { fill: var(--ink); } .faint { fill: var(--faint); } .title { font-weight: 600; }
  ${BARS} .spread { stroke: var(--ink); fill: none; }
  ${CURVES} .curve.other { stroke: var(--faint); fill: none; }
`;

/** Writes bench/charts/*.svg: bars for each case, and a curve for cases that differ in their number of messages. */
export function writeCharts({ cases }: Results): void {
  mkdirSync(FOLDER, { recursive: true });
  for (const result of cases) if (!result.name.startsWith("growth-")) write(result.name, bars(result));
  for (const workload of ["publish", "consume"]) {
    const series = cases.filter(({ name }) => name.startsWith(`growth-${workload}-`));
    const title = `CPU µs per message, to ${workload} ever more messages`;
    if (series.length > 1) write(`growth-${workload}`, curve(title, series));
  }
}

function write(name: string, svg: string): void {
  writeFileSync(`${FOLDER}/${name}.svg`, svg);
}

function bars({ title, size, figures }: CaseResult): string {
  const panels: [string, (one: Figures) => readonly number[], (value: number) => string][] = [
    ["messages per second (more is better)", ({ rates }) => rates, (value) => Math.round(value).toLocaleString("en")],
    ["CPU µs per message, of the client's process (less is better)", ({ cpu }) => cpu, (value) => value.toFixed(2)],
  ];
  const parts: string[] = [];
  let y = 56;
  for (const [heading, values, text] of panels) {
    const spreads = figures.map((one) => spread(values(one)));
    const scale = scaleTo(Math.max(...spreads.map(({ max }) => max)), LEFT, RIGHT);
    parts.push(`<text class="faint" x="${LEFT}" y="${y}">${heading}</text>`);
    y += 12;
    for (const [i, one] of spreads.entries()) {
      const middle = y + ROW / 2;
      parts.push(`<text x="${LEFT - 10}" y="${middle + 4}" text-anchor="end">${escape(figures[i]!.title)}</text>`);
      const [kind, width] = [i === 0 ? "ours" : "other", round(scale(one.median) - LEFT)];
      parts.push(`<rect class="${kind}" x="${LEFT}" y="${y + 5}" width="${width}" height="${ROW - 10}" rx="2"/>`);
      parts.push(whisker(one, (value) => [scale(value), middle], [0, 5]));
      parts.push(`<text x="${round(scale(one.max) + 8)}" y="${middle + 4}">${text(one.median)}</text>`);
      y += ROW;
    }
    y += 30;
  }
  return svg(`${title}, ${size.toLocaleString("en")} bytes: median, least and most`, y - 18, parts);
}

function curve(title: string, series: readonly CaseResult[]): string {
  const [left, right, top, bottom] = [60, WIDTH - 210, 60, 300];
  const points = series.map(({ messages, figures }) => ({ messages, spreads: figures.map(({ cpu }) => spread(cpu)) }));
  const [first, last] = [points[0]!.messages, points[points.length - 1]!.messages];
  const x = (messages: number): number => left + ((right - left) * Math.log(messages / first)) / Math.log(last / first);
  const most = Math.max(...points.flatMap(({ spreads }) => spreads.map(({ max }) => max)));
  const y = scaleTo(most, bottom, top);
  const parts: string[] = [];
  for (const tick of ticks(most)) {
    parts.push(`<path class="grid" d="M${left - 20} ${round(y(tick))}H${right + 20}"/>`);
    parts.push(`<text class="faint" x="${left - 26}" y="${round(y(tick) + 4)}" text-anchor="end">${tick}</text>`);
  }
  for (const { messages } of points) {
    const place = `x="${round(x(messages))}" y="${bottom + 22}" text-anchor="middle"`;
    parts.push(`<text class="faint" ${place}>${messages.toLocaleString("en")}</text>`);
  }
  for (const [i, { title: client }] of series[0]!.figures.entries()) {
    const kind = i === 0 ? "ours" : "other";
    const line = points.map(({ messages, spreads }) => `${round(x(messages))} ${round(y(spreads[i]!.median))}`);
    parts.push(`<path class="curve ${kind}" d="M${line.join("L")}"/>`);
    for (const { messages, spreads } of points) {
      parts.push(whisker(spreads[i]!, (value) => [x(messages), y(value)], [5, 0]));
      parts.push(`<circle class="${kind}" cx="${round(x(messages))}" cy="${round(y(spreads[i]!.median))}" r="4"/>`);
    }
    const end = y(points[points.length - 1]!.spreads[i]!.median);
    parts.push(`<text x="${right + 28}" y="${round(end + 4)}">${escape(client)}</text>`);
  }
  return svg(title, bottom + 40, parts);
}

type Point = readonly [x: number, y: number];

/** A line from the least to the most, with a mark at each end that reaches to both sides. */
function whisker({ min, max }: Spread, at: (value: number) => Point, [dx, dy]: Point): string {
  const line = (from: Point, to: Point): string => `M${from.map(round).join(" ")}L${to.map(round).join(" ")}`;
  const marks = [at(min), at(max)].map(([x, y]) => line([x - dx, y - dy], [x + dx, y + dy]));
  return `<path class="spread" d="${line(at(min), at(max))}${marks.join("")}"/>`;
}

/** From 0 at `from` to `most` at `to`. */
function scaleTo(most: number, from: number, to: number): (value: number) => number {
  return (value) => from + ((to - from) * value) / (most || 1);
}

/** Round values from 0 up to `most`, about five of them. */
function ticks(most: number): number[] {
  const rough = most / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough)! * power;
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => Number((i * step).toPrecision(3)));
}

function svg(title: string, height: number, parts: readonly string[]): string {
  const size = `viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img">
<title>${escape(title)}</title>
<style>${STYLE}</style>
<rect class="paper" width="100%" height="100%" rx="6"/>
<text class="title" x="20" y="28">${escape(title)}</text>
${parts.join("\n")}
</svg>
`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
