// The parts of the desk that only show: step strip, current visit, last visits, status line.

import { photoUrl } from "./api.js";
import { byId, fill, h } from "./dom.js";
import { degrees, timeOfDay } from "./format.js";
import { icon } from "./icons.js";
import { pick, t } from "./strings.js";

const officerNames = new Map();

/** Names for the officers' ids that events carry. */
export function knowOfficers(officers) {
  for (const officer of officers) officerNames.set(officer.id, officer.name);
}

/** A visit without an outcome was cancelled before its verdict. */
export function outcomeBadge(outcome) {
  if (!outcome) return h("span", { class: "outcome", data: { outcome: "none" } }, icon("off"), h("span", { text: t("outcome_none") }));
  return h("span", { class: "outcome", data: { outcome } }, icon(outcome), h("span", { text: t(`outcome_${outcome}`) }));
}

export function drawSteps(steps) {
  const strip = byId("steps");
  strip.setAttribute("aria-label", t("desk_steps"));
  fill(strip, steps.map((step) => h("li", {
    class: "step", testid: `step-${step.id}`, data: { state: step.state },
    "aria-current": step.state === "current" ? "step" : null,
  },
  icon(step.state === "done" ? "tick" : step.state === "skipped" ? "cross" : step.kind),
  h("span", { text: pick(step.title) }),
  h("span", { class: "sr", text: t(`step_${step.state}`) }))));
  const next = strip.querySelector("[aria-current]") ?? strip.querySelector("[data-state=todo]");
  if (next) strip.scrollLeft = next.offsetLeft - (strip.clientWidth - next.offsetWidth) / 2;
}

export function drawVisit(visit) {
  const root = byId("visit");
  if (!visit) {
    fill(root, h("h2", { text: t("desk_visit") }), h("p", { class: "quiet", text: t("desk_no_visit") }));
    return;
  }
  fill(root,
    h("h2", {}, `${t("desk_visit")} `, h("small", { text: `#${visit.id} · ${timeOfDay(visit.started)}` })),
    h("p", { class: "visit-name", testid: "visit-name", text: headline(visit) }),
    visit.pass ? passLines(visit.pass) : null,
    facts(visit));
}

/** A vehicle pass names no person: its first fact, the plate, stands for the name. */
function headline(visit) {
  return visit.name ?? visit.pass?.facts?.[0]?.value ?? t("desk_nobody");
}

function passLines(pass) {
  // A plain card number carries no signature that could fail.
  const [key, level] = pass.verified ? ["pass_verified", "ok"] : pass.format === "opaque" ? ["pass_number", "off"] : ["pass_unverified", "bad"];
  return h("p", { class: "state", data: { level }, testid: "pass" },
    icon(level), h("span", { text: level === "off" ? t(key) : `${t(key)} (${pass.format})` }));
}

function facts(visit) {
  const onPass = (visit.pass?.facts ?? []).map((fact) => fact_(pick(fact.label), worded(fact.text, fact.value)));
  const atLane = [
    (visit.readings ?? []).map((reading) => fact_(t("fact_temperature"), readingValue(reading))),
    (visit.answers ?? []).map((answer) => fact_(pick(answer.label), worded(answer.text, answer.value))),
    (visit.seals ?? []).map((seal) => fact_(t("fact_seal"),
      `${seal.number} · ${worded(seal.door_text, seal.door)} · ${worded(seal.kind_text, seal.kind)}`)),
  ].flat();
  // What the pass says and what the officer found may carry the same label, so they stay apart.
  const named = onPass.length > 0 && atLane.length > 0;
  return [[named && "facts_pass", onPass], [named && "facts_lane", atLane]].map(([title, rows]) => rows.length === 0 ? null : [
    title ? h("h3", { class: "facts-title", text: t(title) }) : null,
    h("dl", { class: "facts" }, rows),
  ]);
}

/** The words for a coded value; the value itself where the gateway sends none. */
function worded(words, value) {
  return pick(words) || String(value);
}

function fact_(label, value) {
  return [h("dt", { text: label }), h("dd", {}, value)];
}

const READING_LEVEL = { normal: "ok", high: "bad", low: "warn", fault: "warn" };

export function readingValue(reading) {
  return h("span", {
    class: "state reading", testid: `reading-${reading.try}`,
    data: { level: READING_LEVEL[reading.state] ?? "warn", state: reading.state, mdeg: reading.mdeg },
  }, icon(READING_LEVEL[reading.state] ?? "warn"), `${degrees(reading.mdeg)} ${t(`reading_${reading.state}`)}`);
}

/** The verdict of a visit as a band; `large` when nothing else asks for the officer's attention. */
export function verdictBand(verdict, large, reasons = []) {
  const final = verdict.final ?? verdict.outcome;
  const over = verdict.overridden;
  return h("div", {
    class: large ? "verdict large" : "verdict", testid: "verdict", "aria-live": "assertive",
    data: { outcome: verdict.outcome, final, overridden: Boolean(over) },
  },
  h("div", { class: "outcome", data: { outcome: final } }, icon(final), h("span", { text: t(`outcome_${final}`) })),
  h("div", { class: "verdict-why" },
    (verdict.codes ?? []).map((code) => h("p", { data: { code: code.code }, text: pick(code.text) || code.code })),
    over ? h("p", { testid: "overridden" },
      `${t("overridden")}: ${officerNames.get(over.officer) ?? over.officer} · ${pick(reasons.find((one) => one.id === over.reason)?.text) || over.reason} · ${t("original")} `, outcomeBadge(verdict.outcome)) : null));
}

export function drawLast(desk, onReprint) {
  const visits = desk?.last_visits ?? [];
  const mayReprint = desk?.actions?.includes("reprint");
  const counters = desk?.counters ?? {};
  fill(byId("last"),
    h("h2", {}, `${t("desk_last")} `, h("span", { class: "tally" },
      ["ADMIT", "REFER", "HOLD", "DENY"].map((outcome) => h("span", { testid: `counter-${outcome}`, title: t(`outcome_${outcome}`) },
        icon(outcome), String(counters[outcome] ?? 0))))),
    visits.length === 0 ? h("p", { class: "quiet", text: t("desk_no_last") }) : null,
    h("ul", {}, visits.map((visit) => lastVisit(visit, mayReprint, onReprint))));
}

function lastVisit(visit, mayReprint, onReprint) {
  const final = visit.final ?? visit.outcome;
  return h("li", {
    class: "last-visit", testid: "last-visit", data: { visit: visit.id, outcome: visit.outcome, final, codes: (visit.codes ?? []).join(" ") },
  },
  outcomeBadge(final),
  h("span", { class: "last-who" }, h("b", { text: visit.name ?? `#${visit.id}` }), ` ${timeOfDay(visit.at)}`,
    h("small", { text: lastNote(visit, final) })),
  mayReprint ? h("button", {
    class: "button", type: "button", testid: `reprint-${visit.id}`, "aria-label": `${t("reprint")} #${visit.id}`,
    on: { click: () => onReprint(visit.id) },
  }, icon("print")) : null);
}

function lastNote(visit, final) {
  const parts = (visit.why ?? []).map(pick);
  if (final !== visit.outcome) parts.push(`${t("overridden")} (${t(`outcome_${visit.outcome}`)})`);
  if (visit.notice) parts.push(pick(visit.notice));
  return parts.filter(Boolean).join(" · ");
}

/** The line under the header has a fixed height: a banner coming or going moves nothing. */
export function drawLine({ lost, desk }) {
  const line = byId("line");
  const banners = lost ? [banner("lost", "lost", "lost", t("banner_lost"))] : deskBanners(desk);
  fill(line, banners);
}

function deskBanners(desk) {
  if (!desk) return [];
  const out = [];
  if (desk.mode === "closed") out.push(banner("closed", "bad", "closed", t("banner_closed")));
  if (desk.notice) out.push(banner("notice", "warn", "warn", `${desk.notice.text} — ${desk.notice.by}`));
  if (desk.lists_stale) out.push(banner("stale", "warn", "warn", t("banner_stale")));
  if (desk.upstream === "offline") out.push(banner("offline", "calm", "cloud", t("banner_offline")));
  if (out.length > 0) return out;
  return [h("span", { class: "state", data: { level: "off" } }, icon("ok"),
    t(desk.upstream === "online" ? "line_online" : "line_off"))];
}

function banner(id, level, picture, words) {
  return h("div", { class: `banner ${level}`, testid: `banner-${id}` }, icon(picture), h("span", { text: words }));
}

export function photoImage(photo, className) {
  return h("img", { class: className, src: photoUrl(photo.sha256), alt: pick(photo.label), testid: `photo-${photo.role}` });
}
