// The verdicts of the last hours as columns: admitted below, all others on top of them. Made to be read in the sun: dark
// columns, few lines, figures in large type; the others are hatched, so that the colour is not needed.

import { h } from "./dom.js";
import { timeOfDay, zoneName } from "./format.js";
import { t } from "./strings.js";

const SVG = "http://www.w3.org/2000/svg";
const HOUR_MS = 3_600_000;
/** Of the drawing, in units of its own. */
const [WIDTH, HEIGHT, TOP, BOTTOM] = [480, 120, 22, 22];
/** An hour is named below every so many columns. */
const NAMED = 4;
let drawings = 0;

/** The top of the scale: a round number that is not far above. */
export function roundUp(most) {
  const ten = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return [1, 2, 3, 4, 6, 8, 10].map((n) => n * ten).find((n) => n >= most) ?? 10 * ten;
}

function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.filter(Boolean));
  return element;
}

/** What the hours of a lane come to. */
function sums(counts) {
  const all = counts.map((hour) => hour.reduce((sum, n) => sum + n, 0));
  const admitted = counts.map((hour) => hour[0]);
  const add = (list) => list.reduce((sum, n) => sum + n, 0);
  const most = Math.max(0, ...all);
  return { all, admitted, most, at: all.indexOf(most), total: add(all), passed: add(admitted) };
}

/** The plot of a lane: `from` is the beginning of the first hour. */
export function hoursPlot(id, from, counts) {
  const { all, admitted, most, at, total, passed } = sums(counts);
  const begin = (n) => timeOfDay(Date.parse(from) + n * HOUR_MS).slice(0, 5);
  const words = total === 0 ? t("hours_none")
    : t("hours_words", { n: total, ok: passed, others: total - passed, most, at: begin(at) });
  const figure = h("figure", { class: "hours", testid: `hours-${id}`, data: { total, admitted: passed, most } },
    h("figcaption", { text: words }));
  if (total > 0) figure.prepend(drawing(all, admitted, roundUp(most), begin, words));
  return figure;
}

function drawing(all, admitted, scale, begin, words) {
  const [room, step] = [HEIGHT - TOP - BOTTOM, WIDTH / all.length];
  const high = (n) => (n / scale) * room;
  const hatch = `hatch-${drawings += 1}`;
  const columns = all.flatMap((n, i) => {
    const [x, width] = [i * step + step * 0.12, step * 0.76];
    const [below, above] = [high(admitted[i]), high(n - admitted[i])];
    return [
      below > 0 && s("rect", { class: "hours-ok", x, width, y: HEIGHT - BOTTOM - below, height: below }),
      above > 0 && s("rect", { class: "hours-other", x, width, y: HEIGHT - BOTTOM - below - above, height: above, fill: `url(#${hatch})` }),
    ];
  });
  const last = all.length - 1;
  const names = all.map((_, i) => (i === last || (i % NAMED === 0 && last - i >= NAMED)) && s("text", {
    class: "hours-at", y: HEIGHT - 4, x: i === 0 ? 0 : i === last ? WIDTH : i * step + step / 2,
    "text-anchor": i === 0 ? "start" : i === last ? "end" : "middle",
  }, begin(i)));
  return s("svg", { class: "hours-plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${words} ${zoneName()}` },
    s("defs", {}, s("pattern", { id: hatch, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      s("rect", { class: "hatch-ground", width: 6, height: 6 }), s("rect", { class: "hatch-line", width: 3, height: 6 }))),
    s("line", { class: "hours-line", x1: 0, x2: WIDTH, y1: TOP, y2: TOP }),
    s("line", { class: "hours-base", x1: 0, x2: WIDTH, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }),
    s("text", { class: "hours-at", x: 0, y: TOP - 6 }, String(scale)),
    ...columns, ...names);
}

/** What the two kinds of column mean. */
export function hoursLegend() {
  return h("p", { class: "hours-legend" },
    h("span", { class: "hours-key ok" }), h("span", { text: t("outcome_ADMIT") }),
    h("span", { class: "hours-key other" }), h("span", { text: t("hours_others") }));
}
