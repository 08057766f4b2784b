// The report of a day: verdicts of each lane by hour, and what else happened. To look at, to print, or as CSV.
//
// data-testid, beside lang and theme:
//   report (body), officer, signin-officer-ID, pin, pin-1 …, day, day-ok, report-print, report-csv, report-error, report-sum,
//   lane-ID (a row), lane-kinds-ID, report-since.

import { getReport, getSession } from "./api.js";
import { saveCsv } from "./csv.js";
import { byId, fill, h, show } from "./dom.js";
import { dateTime, setZone } from "./format.js";
import { startPage } from "./page.js";
import { createSignIn } from "./signin.js";
import { has, pick, t } from "./strings.js";

let session = null;
let report = null;
let day = "";
let fault = "";

const signin = createSignIn((who) => begin(who));

async function begin(who) {
  session = who;
  signin.close();
  await load();
}

function leave() {
  session = null;
  report = null;
  signin.open();
  render();
}

async function load() {
  fault = "";
  try {
    report = await getReport(day);
    day = report.day;
    setZone(report.utc_offset_minutes);
  } catch (error) {
    if (!error.words) throw error;
    if (error.status === 401) return leave();
    fault = pick(error.words);
  }
  render();
}

const titleOf = (id) => pick(report.titles.find((lane) => lane.id === id)?.title) || id;
const kindName = (kind) => (has(`kind_${kind}`) ? t(`kind_${kind}`) : kind);

function render() {
  show(byId("report"), session !== null);
  signin.draw();
  byId("who").textContent = session ? `${session.name} · ${t(`role_${session.role}`)}` : "";
  if (!session) return;
  fill(byId("report"),
    h("form", { class: "report-bar", on: { submit: (event) => { event.preventDefault(); load(); } } },
      h("label", { for: "day", text: t("report_day") }),
      h("input", { id: "day", class: "input", type: "date", testid: "day", value: day, required: true, on: { input: (event) => { day = event.target.value; } } }),
      h("button", { class: "button primary", type: "submit", testid: "day-ok", text: t("report_show") }),
      h("button", { class: "button", type: "button", testid: "report-print", disabled: !report, text: t("report_print"), on: { click: () => window.print() } }),
      h("button", { class: "button", type: "button", testid: "report-csv", disabled: !report, text: t("report_csv"), on: { click: save } })),
    fault ? h("p", { class: "banner bad", role: "alert", testid: "report-error", text: fault }) : null,
    report ? body() : null);
}

function body() {
  const { outcomes, lanes, sum } = report;
  const head = h("tr", {}, ["report_lane", ...outcomes.map((one) => `outcome_${one}`), "report_all"].map((name) => h("th", { scope: "col", text: t(name) })));
  const all = (counts) => counts.reduce((total, n) => total + n, 0);
  const numbers = (counts) => [...counts, all(counts)].map((n) => h("td", { class: "number", text: String(n) }));
  return [
    h("h2", { text: t("report_head", { day: report.day, site: report.site, gateway: report.gateway }) }),
    h("p", { class: "hint", text: report.made ? t("report_made", { at: dateTime(report.made), who: session.name }) : "" }),
    report.since ? h("p", { class: "banner warn", testid: "report-since", text: t("report_since", { at: dateTime(report.since) }) }) : null,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("report_title") },
      h("table", {}, h("thead", {}, head),
        h("tbody", {}, lanes.map((lane) => h("tr", { testid: `lane-${lane.lane}` }, h("th", { scope: "row" }, titleOf(lane.lane), " ", h("small", { text: lane.lane })), numbers(lane.sum)))),
        h("tfoot", {}, h("tr", { testid: "report-sum", data: { sum: all(sum) } }, h("th", { scope: "row", text: t("report_all") }), numbers(sum))))),
    lanes.map((lane) => h("section", { class: "report-lane" },
      h("h3", {}, titleOf(lane.lane), " ", h("small", { text: lane.lane })),
      h("ul", { class: "report-kinds", testid: `lane-kinds-${lane.lane}` }, Object.entries(lane.kinds).map(([kind, n]) => h("li", {}, `${kindName(kind)} `, h("b", { text: String(n) })))),
      hours(lane))),
  ];
}

/** The hours in which something happened; nights need no paper. */
function hours(lane) {
  const busy = lane.hours.map((counts, hour) => ({ hour, counts })).filter(({ counts }) => counts.some((n) => n > 0));
  if (busy.length === 0) return h("p", { class: "hint", text: t("report_quiet") });
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": titleOf(lane.lane) }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col", text: t("report_hour") }), report.outcomes.map((one) => h("th", { scope: "col", text: t(`outcome_${one}`) })))),
    h("tbody", {}, busy.map(({ hour, counts }) => h("tr", {}, h("th", { scope: "row", text: `${String(hour).padStart(2, "0")}:00` }), counts.map((n) => h("td", { class: "number", text: String(n) })))))));
}

/** One line for each number. */
function save() {
  const lines = [["day", "lane", "hour", "what", "count"]];
  for (const lane of report.lanes) {
    lane.hours.forEach((counts, hour) => counts.forEach((n, at) => { if (n > 0) lines.push([report.day, lane.lane, hour, report.outcomes[at], n]); }));
    for (const [kind, n] of Object.entries(lane.kinds)) lines.push([report.day, lane.lane, "", kind, n]);
  }
  saveCsv(`${report.gateway}-${report.day}`, lines);
}

startPage("report_title", render);
getSession().then(begin, () => leave());
