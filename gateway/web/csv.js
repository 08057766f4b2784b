// Tables to take away, for spreadsheets.

import { h } from "./dom.js";

/** So long the browser has to take a file. */
const TAKEN_MS = 3_000;

/** A value as a cell. What could begin a formula in a spreadsheet is a text there. */
function cell(value) {
  const words = String(value ?? "");
  return `"${(/^[=+\-@\t]/.test(words) ? `'${words}` : words).replaceAll('"', '""')}"`;
}

/** Saves lines of values as a file `NAME.csv`. */
export function saveCsv(name, lines) {
  const text = lines.map((line) => line.map(cell).join(",")).join("\r\n");
  const link = h("a", { href: URL.createObjectURL(new Blob([`\ufeff${text}\r\n`], { type: "text/csv" })), download: `${name}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), TAKEN_MS);
}
