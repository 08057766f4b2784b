// The duty console: sign in, choose an act, say what it is for. Everything is a form with native fields, so that it works
// by keys alone; Alt+1 to Alt+5 choose an act.
//
// data-testid: console (body), signin-officer-ID, pin, pin-ok, signout, act-ACT, purpose, lane, subject, from, to, key,
// note, shift, form-ok, console-error, console-done, rows, row-N (data-outcome, data-unsent), rows-none, waits-none,
// wait-N, approve-N, refuse-N, lang, theme, home.

import { getConsole, getLanes, getSession, postConsole, signOut } from "./api.js";
import { saveCsv } from "./csv.js";
import { byId, fill, h, show } from "./dom.js";
import { dateTime, setZone } from "./format.js";
import { startPage } from "./page.js";
import { faultBox } from "./pinpad.js";
import { createSignIn } from "./signin.js";
import { pick, t } from "./strings.js";

const NOTE_MAX = 300;
const LOOK_MS = 3_000;
const fault = faultBox("console-error");
let session = null;
let may = [];
let waits = [];
let lanes = [];
let act = null;
let answer = null;
/** Minutes before and after within which somebody was near; none for where the subject was. */
const NEAR = ["", "5", "15", "30", "60", "240"];
/** What is said of an entry that stands above a list: whether the others of the site hear of it. */
const DONE = new Map([[true, "console_done_site"], [false, "console_done_here"]]);
let done = "";
let busy = false;
let offsetMin = 0;
const typed = {};

const signin = createSignIn((who) => begin(who));

async function begin(who) {
  session = who;
  answer = null;
  done = "";
  try {
    lanes = await getLanes();
    await look();
  } catch (error) {
    if (!error.words) throw error;
    fault.show(error.words);
  }
  if (!may.includes(act)) act = may[0] ?? null;
  signin.close();
  render();
  document.querySelector("[data-testid=purpose]")?.focus();
}

async function look() {
  const told = await getConsole();
  may = told.may;
  offsetMin = told.utc_offset_minutes;
  setZone(offsetMin);
  const changed = JSON.stringify(told.waits) !== JSON.stringify(waits);
  waits = told.waits;
  return changed;
}

function leave() {
  session = null;
  answer = null;
  for (const name of Object.keys(typed)) delete typed[name];
  show(byId("console"), false);
  signin.open();
  render();
}

function choose(next) {
  // Each act has a purpose of its own.
  if (next !== act) delete typed.purpose;
  act = next;
  answer = null;
  done = "";
  fault.clear();
  render();
  document.querySelector("[data-testid=purpose]")?.focus();
}

function field(name, { type = "text", required = false, list = null, wide = false, max = 128 } = {}) {
  const id = `f-${name}`;
  const keep = (event) => { typed[name] = event.target.value; };
  const input = list
    ? h("select", { id, testid: name, on: { change: keep } }, list.map(([value, words]) => h("option", { value, text: words, selected: typed[name] === value })))
    : h("input", { id, testid: name, type, required, autocomplete: "off", maxlength: max, value: typed[name] ?? "", on: { input: keep } });
  return h("div", { class: wide ? "console-field wide" : "console-field" },
    h("label", { for: id, text: t(`console_${name}`) }), input);
}

const allLanes = () => [["", t("console_all_lanes")], ...lanes.map((lane) => [lane.id, `${pick(lane.title)} · ${lane.id}`])];

function fields() {
  const purpose = field("purpose", { required: true, wide: true, max: NOTE_MAX });
  if (act === "trace" || act === "export") {
    return [purpose, field("lane", { list: allLanes() }), field("subject"),
      field("from", { type: "datetime-local" }), field("to", { type: "datetime-local" }), field("near", { list: NEAR.map((n) => [n, n === "" ? t("console_near_none") : t("console_near_minutes", { n })]) })];
  }
  if (act === "revoke") return [purpose, field("key", { required: true }), field("note", { wide: true, max: NOTE_MAX })];
  if (act === "handover") return [purpose, field("shift"), field("note", { wide: true, max: NOTE_MAX })];
  return [purpose, field("note", { wide: true, max: NOTE_MAX })];
}

function render() {
  show(byId("console"), session !== null);
  signin.draw();
  if (!session) return;
  byId("who").textContent = `${session.name} · ${t(`role_${session.role}`)}`;
  const here = document.activeElement?.dataset?.testid;
  fill(byId("console"),
    h("div", { class: "console-acts", role: "group", "aria-label": t("title_console") },
      may.map((one, i) => h("button", { class: "button", type: "button", testid: `act-${one}`,
        "aria-pressed": String(one === act), on: { click: () => choose(one) } }, h("kbd", { text: `${i + 1}` }), h("span", { text: t(`console_${one}`) }))),
      h("button", { class: "button", type: "button", testid: "signout", on: { click: async () => { await signOut(); leave(); } } }, h("span", { text: t("signin_out") }))),
    may.length === 0 ? h("p", { class: "banner warn", text: t("console_none") }) : form(),
    fault.element,
    done ? h("p", { class: "banner calm", role: "status", testid: "console-done", text: done }) : null,
    answer ? table() : null);
  if (here) document.querySelector(`[data-testid="${CSS.escape(here)}"]`)?.focus();
}

function form() {
  return h("form", { class: "console-form", on: { submit } },
    h("p", { class: "console-hint", text: t(`console_hint_${act}`) }),
    fields(),
    act === "review" ? review() : h("button", { class: "button primary", type: "submit", testid: "form-ok" }, h("span", { text: t(`console_${act}`) })));
}

/** What waits for an approval, each with its two buttons. */
function review() {
  if (waits.length === 0) return h("p", { class: "banner calm", testid: "waits-none", text: t("console_no_waits") });
  return h("ul", { class: "console-waits" }, waits.map((one, i) => {
    const mine = one.roles.length === 0 || one.roles.includes(session.role);
    const button = (approve, words, look) => h("button", { class: `button ${look}`, type: "button", disabled: !mine,
      testid: `${approve ? "approve" : "refuse"}-${i + 1}`, on: { click: () => answerTo(one, approve) } }, h("span", { text: t(words) }));
    return h("li", { testid: `wait-${i + 1}` },
      h("div", {}, h("b", {}, pick(one.title)), " ", h("small", { text: one.lane }),
        h("p", {}, pick(one.prompt), one.who ? ` · ${one.who}` : "", ` · ${one.visit}`)),
      button(true, "console_approve", "primary"), button(false, "console_refuse", ""));
  }));
}

const answerTo = (one, approve) =>
  send({ act: "review", purpose: typed.purpose ?? "", lane: one.lane, visit: one.visit, approve, note: typed.note ?? "" });

function submit(event) {
  event.preventDefault();
  if (act === "review") return undefined;
  const body = { act, purpose: typed.purpose ?? "" };
  // Times are those of the site, whatever the clock of this machine says.
  const at = (value) => (value ? Date.parse(`${value}Z`) - offsetMin * 60_000 : undefined);
  if (act === "trace" || act === "export") {
    Object.assign(body, { lane: typed.lane || undefined, subject: typed.subject?.trim() || undefined,
      from_ms: at(typed.from), to_ms: at(typed.to), near_minutes: typed.near ? Number(typed.near) : undefined });
  } else if (act === "revoke") Object.assign(body, { key: typed.key ?? "", note: typed.note ?? "" });
  else Object.assign(body, { to: typed.shift ?? "", note: typed.note ?? "" });
  return send(body);
}

async function send(body) {
  if (busy) return;
  busy = true;
  answer = null;
  done = "";
  fault.clear();
  try {
    const told = await postConsole(session.officer, body);
    const rows = told.rows ?? told.contacts;
    if (rows) answer = told;
    if (body.act === "export") save(told);
    done = rows ? t("console_found", { n: rows.length }) : t(DONE.get(told.site) ?? "console_done");
    if (body.act !== "trace" && body.act !== "export") for (const name of ["key", "note", "shift"]) delete typed[name];
    await look();
  } catch (error) {
    if (!error.words) throw error;
    if (error.code === "signed_out") return leave();
    fault.show(error.words);
  } finally {
    busy = false;
    render();
  }
}

/** The rows as CSV. */
function save(told) {
  const near = Boolean(told.contacts);
  const head = near ? ["subject", "closest_s", "visits", "first", "last", "lanes"] : ["at", "lane", "outcome", "codes", "subject", "unsent"];
  const values = (row) => (near
    ? [row.subject, row.closest_ms / 1000, row.visits, row.first, row.last, row.lanes.join(" ")]
    : [row.corrected ?? row.at, row.lane, row.outcome, row.codes.join(" "), row.subject, row.unsent]);
  saveCsv(told.gateway, [head, ...(told.contacts ?? told.rows).map(values)]);
}

/** Who was near, the nearest in time first. */
function near(since) {
  const { contacts, own, unknown } = answer;
  const told = `${t("console_near_own", { own, unknown })} ${since}`;
  if (contacts.length === 0) return h("p", { class: "banner calm", testid: "rows-none" }, `${t("console_no_rows")} ${told}`);
  return h("div", { class: "scroll console-rows", tabindex: "0", role: "region", "aria-label": t("console_near") },
    h("table", { testid: "contacts" },
      h("caption", { text: `${told}${answer.more ? ` ${t("console_more")}` : ""}` }),
      h("thead", {}, h("tr", {}, ["subject_key", "closest", "visits", "first", "last", "lane"].map((name) => h("th", { scope: "col", text: t(`console_${name}`) })))),
      h("tbody", {}, contacts.map((one, i) => h("tr", { testid: `contact-${i + 1}`, data: { closest: one.closest_ms } },
        h("td", { text: one.subject.slice(0, 8) }), h("td", { text: t("console_seconds", { n: Math.round(one.closest_ms / 1000) }) }), h("td", { text: String(one.visits) }),
        h("td", { text: dateTime(one.first) }), h("td", { text: dateTime(one.last) }), h("td", { text: one.lanes.join(" ") }))))));
}

function table() {
  const since = answer.since ? t("console_since", { at: dateTime(answer.since) }) : t("console_here");
  if (answer.contacts) return near(since);
  const { rows } = answer;
  if (rows.length === 0) return h("p", { class: "banner calm", testid: "rows-none" }, `${t("console_no_rows")} ${since}`);
  return h("div", { class: "scroll console-rows", tabindex: "0", role: "region", "aria-label": t("console_trace") },
    h("table", { testid: "rows" },
      h("caption", { text: `${since}${answer.more ? ` ${t("console_more")}` : ""}` }),
      h("thead", {}, h("tr", {}, ["at", "lane", "outcome", "codes", "subject_key", "sent"].map((name) => h("th", { scope: "col", text: t(`console_${name}`) })))),
      h("tbody", {}, rows.map((row, i) => h("tr", { testid: `row-${i + 1}`, data: { outcome: row.outcome, unsent: row.unsent } },
        h("td", { text: dateTime(row.corrected ?? row.at) }), h("td", { text: row.lane }), h("td", { text: t(`outcome_${row.outcome}`) }),
        h("td", { text: row.codes.join(" ") }), h("td", { text: row.subject.slice(0, 8) }),
        h("td", { text: t(row.unsent ? "console_unsent" : "console_is_sent") }))))));
}

addEventListener("keydown", (event) => {
  const one = event.altKey && !event.ctrlKey ? may[Number(event.key) - 1] : null;
  if (!session || !one) return;
  event.preventDefault();
  choose(one);
});

startPage("title_console", render);
getSession().then(begin, () => leave());
setInterval(async () => {
  if (!session || busy || document.hidden) return;
  try {
    if (await look() && act === "review") render();
  } catch (error) {
    if (error.code === "signed_out") leave();
  }
}, LOOK_MS);
