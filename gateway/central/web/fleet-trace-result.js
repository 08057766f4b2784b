// What a trace has found, and what nobody can tell: who did not answer, what is deleted or lost, which boxes were
// changed. All of it is named: an empty table must never pass for "was not there".
//
// data-testid: trace-progress, trace-state (data-state), trace-database, trace-missing, trace-refused, trace-unknown,
// trace-truncated, trace-count, trace-rows, trace-more.

import { fill, h, setData, setText, show } from "./dom.js";
import { codes, grid, outcome } from "./fleet-sections.js";
import { t } from "./fleet-strings.js";
import { dateTime } from "./format.js";
import { icon } from "./icons.js";

const PAGE = 200;
const OPEN_UP_TO = 12;

export function createResult() {
  const bar = h("progress", { class: "bar", testid: "trace-progress" });
  const answered = h("b", { class: "answered" });
  const state = h("span", { class: "state", role: "status", testid: "trace-state" });
  const elapsed = h("span", { class: "elapsed" });
  const lost = h("p", { class: "banner lost", role: "alert", hidden: true });
  const missing = names("trace-missing");
  const refused = names("trace-refused");
  const unknown = names("trace-unknown");
  const database = h("p", { class: "quiet", testid: "trace-database" });
  const truncated = h("p", { class: "banner warn", testid: "trace-truncated", hidden: true });
  const count = h("h3", { testid: "trace-count" });
  const rows = h("div", { class: "trace-rows", testid: "trace-rows" });
  const element = h("section", { class: "trace-result", hidden: true },
    h("div", { class: "progress" }, bar, answered, state, elapsed), database, lost, missing.element, refused.element, unknown.element, truncated, count, rows);
  let now = null;
  let loss = null;
  let limit = PAGE;
  let sign = "";

  function clear() {
    now = null;
    loss = null;
    limit = PAGE;
    sign = "";
    show(element, false);
  }

  function draw(progress) {
    now = progress;
    loss = null;
    paint();
  }

  /** The progress cannot be read: what stands there is not complete. `over`: and never will be. */
  function lose(over) {
    loss = over ? "tr_stopped" : "tr_lost";
    if (now) paint();
  }

  function paint() {
    show(element, true);
    drawProgress();
    setText(lost, loss ? t(loss) : "");
    show(lost, loss !== null);
    drawAbsent();
    setText(truncated, t("tr_truncated"));
    show(truncated, now.truncated === true);
    drawRows();
  }

  function drawProgress() {
    bar.max = Math.max(1, now.asked);
    bar.value = now.answered;
    bar.setAttribute("aria-label", t("tr_progress", { n: now.answered, all: now.asked }));
    setText(answered, t("tr_progress", { n: now.answered, all: now.asked }));
    setText(elapsed, t("tr_elapsed", { s: (now.elapsed_ms / 1000).toFixed(1) }));
    const is = stateOf(now, loss);
    if (state.dataset.state !== is.name || state.dataset.words !== t(is.key)) fill(state, icon(is.level), t(is.key));
    setData(state, { state: is.name, level: is.level, words: t(is.key) });
  }

  function drawAbsent() {
    const open = now.asked - now.answered;
    const list = now.missing ?? [];
    const unnamed = unnamedOf(now);
    if (now.done) missing.draw(t("tr_missing", { n: list.length + unnamed }), list, unnamed);
    else missing.draw(t("tr_waiting", { n: Math.max(open, list.length) }), list, 0, open > 0 || list.length > 0);
    const refusals = (now.refused ?? []).map((one) => `${one.gateway}: ${whyOf(one)}`);
    refused.draw(t("tr_refused", { n: refusals.length }), refusals, 0);
    const dark = (now.unknown ?? []).map((one) => `${one.gateway}: ${unknownOf(one)}`);
    unknown.draw(t("tr_unknown", { n: dark.length }), dark, 0);
    setText(database, databaseOf(now.database));
  }

  function drawRows() {
    const list = now.rows ?? [];
    setText(count, t("tr_rows", { n: `${list.length}${now.truncated ? "+" : ""}` }));
    const next = [t("tr_rows"), list.length, limit, now.done, loss, list.at(-1)?.at, list.at(0)?.at].join();
    if (next === sign) return;
    sign = next;
    if (list.length === 0) return fill(rows, h("p", { class: "quiet", text: t(now.done ? "tr_none" : "tr_none_yet") }));
    const ordered = [...list].sort((a, b) => (a.at < b.at ? -1 : Number(a.at > b.at)));
    fill(rows, grid(["dc_time", "fc_name", "col_lane", "dc_outcome", "dc_codes", "tr_subject", "tr_where"], ordered.slice(0, limit).map(cells)), more(ordered.length));
  }

  function more(all) {
    if (all <= limit) return null;
    return h("button", {
      class: "button", type: "button", testid: "trace-more", text: t("more", { n: Math.min(PAGE, all - limit) }),
      on: { click: () => { limit += PAGE; drawRows(); } },
    });
  }

  return { element, clear, draw, lose, relabel: () => { if (now) paint(); } };
}

function cells(row) {
  return [
    dateTime(row.at), `${row.site}/${row.gateway}`, row.lane ?? "—", outcome(row.outcome), codes(row.codes), row.subject ?? "—",
    row.unsent ? h("span", { class: "state", data: { level: "warn" } }, icon("warn"), t("tr_unsent")) : sourcesOf(row.sources ?? []),
  ];
}

function sourcesOf(sources) {
  if (sources.length > 1) return t("tr_from_both");
  return t(sources[0] === "database" ? "tr_from_database" : "tr_from_gateway");
}

function databaseOf(database) {
  if (!database?.asked) return t("tr_db_none");
  if (database.why) return t("tr_db_failed", { why: database.why });
  return database.rows === undefined ? t("tr_db_waits") : t("tr_db_rows", { n: database.rows });
}

/** What nobody can tell of a gateway, in words. A reason that this page does not know is shown as it is. */
function unknownOf(one) {
  const at = { from: one.from ? dateTime(one.from) : "", until: one.until ? dateTime(one.until) : "" };
  const words = {
    "no-answer": one.from ? "tr_no_answer_from" : "tr_no_answer",
    purged: "tr_purged", begins: "tr_begins", version: "tr_version", lost: "tr_lost_events", behind: "tr_behind", deleted: "tr_deleted",
    swapped: "tr_swapped", keys: "tr_keys",
  };
  const key = Object.hasOwn(words, one.why) ? words[one.why] : null;
  return key ? t(key, { ...at, events: one.events, numbers: (one.numbers ?? []).map((n) => n ?? "—").join(", ") }) : String(one.why);
}

function stateOf(now, loss) {
  if (loss) return { name: "lost", level: "bad", key: "tr_partial" };
  if (!now.done) return { name: "running", level: "off", key: "tr_running" };
  return now.complete === true ? { name: "complete", level: "ok", key: "tr_complete" } : { name: "partial", level: "warn", key: "tr_partial" };
}

/** How many neither answered nor are named. Whether a refusal counts as an answer is left open. */
function unnamedOf({ asked, answered, missing, refused }) {
  const left = asked - answered - (missing ?? []).length;
  return left === (refused ?? []).length ? 0 : Math.max(0, left);
}

function whyOf({ why }) {
  return typeof why === "string" ? why : JSON.stringify(why ?? "—");
}

/** A list of gateways under its summary. */
function names(testid) {
  const summary = h("summary");
  const rest = h("p", { class: "quiet", hidden: true });
  const list = h("ul", { class: "names" });
  const element = h("details", { class: "absent", testid, hidden: true }, summary, list, rest);

  function draw(words, items, unnamed, visible = items.length + unnamed > 0) {
    setText(summary, words);
    setText(rest, t("tr_unnamed", { n: unnamed }));
    show(rest, unnamed > 0);
    show(element, visible);
    const sign = items.join("\n");
    if (list.sign === sign) return;
    list.sign = sign;
    element.open = items.length > 0 && items.length <= OPEN_UP_TO;
    fill(list, items.map((one) => h("li", { text: one })));
  }

  return { element, draw };
}
