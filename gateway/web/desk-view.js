// The parts of the desk that only show: step strip, current visit, last visits, status line with its
// lamps, the band of a barrier that did not open.

import { photoUrl } from "./api.js";
import { byId, fill, h, setData, show } from "./dom.js";
import { age, degrees, moment, timeOfDay, zoneDiffers, zoneName } from "./format.js";
import { icon } from "./icons.js";
import { has, pick, t, whoTells } from "./strings.js";

const officerNames = new Map();

/** Names for the officers' ids that events carry. */
export function knowOfficers(officers) {
  for (const officer of officers) officerNames.set(officer.id, officer.name);
}

/** Whether anybody shows a code on this lane; on one for emergencies nobody does. */
export function takesCodes(desk) {
  const steps = desk?.steps ?? [];
  return steps.length === 0 || steps.some((step) => step.kind === "scan");
}

/** A visit without an outcome was cancelled before its verdict. */
export function outcomeBadge(outcome) {
  if (!outcome) return h("span", { class: "outcome", data: { outcome: "none" } }, icon("off"), h("span", { text: t("outcome_none") }));
  return h("span", { class: "outcome", data: { outcome } }, icon(outcome), h("span", { text: t(`outcome_${outcome}`) }));
}

export function officerName(id) {
  return officerNames.get(id) ?? id;
}

export function drawSteps(steps) {
  const strip = byId("steps");
  strip.setAttribute("aria-label", t("desk_steps"));
  fill(strip, steps.map((step) => h("li", {
    class: "step", testid: `step-${step.id}`, data: { state: step.state },
    "aria-current": step.state === "current" ? "step" : null,
  },
  icon({ done: "tick", skipped: "cross", failed: "bad" }[step.state] ?? step.kind),
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
    h("h2", {}, `${t("desk_visit")} `, h("small", { title: zoneName(), text: `#${visit.id} · ${timeOfDay(visit.started)}` })),
    h("p", { class: "visit-name", testid: "visit-name", text: headline(visit) }),
    wayLine(visit),
    visit.pass ? passLines(visit.pass) : null,
    slipLine(visit.slip),
    facts(visit));
}

/** Where a visit goes, and how it began where no code did that. */
function wayLine(visit) {
  const way = has(`direction_${visit.direction}`) && visit.direction !== "through" ? visit.direction : null;
  const origin = has(`origin_${visit.origin}`) ? t(`origin_${visit.origin}`) : null;
  if (!way && !origin) return null;
  return h("p", { class: "state visit-way", testid: "visit-way", data: { level: "off", direction: way, origin: visit.origin ?? null } },
    way ? [icon(way), h("span", { text: t(`direction_${way}`) })] : null, origin ? h("span", { text: origin }) : null);
}

const SLIP_LEVEL = { asked: "off", done: "ok", failed: "bad" };

/** What became of the slip, as far as the printer has said. */
function slipLine(slip) {
  if (!(slip in SLIP_LEVEL)) return null;
  return h("p", { class: "state", testid: "slip", data: { level: SLIP_LEVEL[slip], state: slip } },
    icon(SLIP_LEVEL[slip]), h("span", { text: t(`slip_${slip}`) }));
}

/** A vehicle pass names no person: the plate stands for the name, once staff have read it themselves. */
function headline(visit) {
  const nameless = visit.pass?.kind === "vehicle-pass" || ["button", "input", "plate"].includes(visit.origin);
  const plate = visit.answers?.find((one) => one.question === "plate" && !one.private)?.value;
  return visit.name ?? visit.pass?.facts?.[0]?.value ?? plate ?? (nameless ? `#${visit.id}` : t("desk_nobody"));
}

function passLines(pass) {
  // A plain card number carries no signature that could fail.
  const [key, level] = pass.verified ? ["pass_verified", "ok"] : pass.format === "opaque" ? ["pass_number", "off"] : ["pass_unverified", "bad"];
  return h("p", { class: "state", data: { level }, testid: "pass" },
    icon(level), h("span", { title: pass.format, text: t(key) }));
}

function facts(visit) {
  const onPass = (visit.pass?.facts ?? []).map((fact) => fact_(pick(fact.label), worded(fact.text, fact.value)));
  const atLane = [
    (visit.readings ?? []).map((reading) => fact_(t("fact_temperature"), readingValue(reading))),
    (visit.answers ?? []).map((answer) => fact_(pick(answer.label), answer.private ? privateAnswer() : worded(answer.text, answer.value))),
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

/** That it was answered is all that is kept of what is private. */
function privateAnswer() {
  return h("span", { class: "state", data: { level: "off" } }, icon("seal"), t("answer_private"));
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

/** What an officer decided: who, who signed as well, why. */
function overrideWords(over, reasons) {
  const second = over.second ? `（${t("override_second_by", { name: officerName(over.second) })}）` : "";
  const reason = pick(reasons?.find((one) => one.id === over.reason)?.text) || over.reason;
  return `${t("overridden")}: ${officerName(over.officer)}${second} · ${reason}`;
}

/** A verdict that another followed: what it was, why, and what an officer made of it. */
function earlierWords(entry) {
  const why = (entry.codes ?? []).map((code) => pick(code.text) || code.code).join("、");
  if (!entry.overridden) return `${t("earlier")} ${t(`outcome_${entry.outcome}`)}: ${why}`;
  const over = entry.overridden;
  const second = over.second ? `（${t("override_second_by", { name: officerName(over.second) })}）` : "";
  return `${t("override_by")} ${officerName(over.officer)}${second}: ${why}`;
}

/** The verdict of a visit as a band; `large` when nothing else asks for the officer's attention. */
export function verdictBand(visit, large, reasons = []) {
  const verdict = visit.verdict;
  if (visit.repeated && (verdict.final ?? verdict.outcome) === "ADMIT") return repeatBand(visit, large);
  const final = verdict.final ?? verdict.outcome;
  const over = verdict.overridden;
  // While steps are left, an admission by override does not stand yet: what it was changed to is said beside it.
  const pending = over && over.outcome !== final ? over.outcome : null;
  return h("div", {
    class: large ? "verdict large" : "verdict", testid: "verdict", "aria-live": "assertive",
    data: { outcome: verdict.outcome, final, overridden: Boolean(over), pending },
  },
  h("div", { class: "outcome", data: { outcome: final } }, icon(final), h("span", { text: t(`outcome_${final}`) })),
  h("div", { class: "verdict-why" },
    (verdict.codes ?? []).map((code) => h("p", { data: { code: code.code } }, pick(code.text) || code.code,
      pick(code.advice) ? h("small", { class: "advice", testid: `advice-${code.code}`, text: pick(code.advice) }) : null)),
    over ? h("p", { testid: "overridden" }, outcomeBadge(verdict.outcome), " → ", outcomeBadge(over.outcome), " ", overrideWords(over, reasons)) : null,
    visit.repeated ? h("p", { testid: "repeat" }, repeatWords(visit)) : null,
    (visit.history ?? []).map((entry) => h("p", { class: "earlier", testid: "earlier", text: earlierWords(entry) })),
    mismatches(visit)));
}

function repeatWords(visit) {
  const { first, outcome, measured } = visit.repeated;
  const words = `${t("repeat_title")}：${t("repeat_first", { at: timeOfDay(first), outcome: t(`outcome_${outcome}`) })}`;
  return measured ? `${words}，${t("repeat_unmeasured")}` : words;
}

/** A code that has admitted somebody, shown again: whoever shows it now may be somebody else. */
function repeatBand(visit, large) {
  return h("div", {
    class: large ? "verdict repeat large" : "verdict repeat", testid: "repeat", "aria-live": "assertive",
    data: { visit: visit.id, first: visit.repeated.first },
  },
  h("div", { class: "outcome", data: { outcome: "HOLD" } }, icon("redo"), h("span", { text: t("repeat_title") })),
  h("div", { class: "verdict-why" },
    h("p", { text: repeatWords(visit) }),
    h("p", { class: "earlier", text: t("repeat_hint") })));
}

/** What differs between the pass and the vehicle, the two side by side. */
function mismatches(visit) {
  return (visit.compared ?? []).filter((one) => !one.same).map((one) => h("div", { class: "compare", testid: `compare-${one.id}` },
    h("p", {}, h("small", { text: `${t("compare_pass")} · ${pick(one.label)}` }), h("b", { text: one.pass })),
    h("p", {}, h("small", { text: `${t("compare_lane")} · ${pick(one.label)}` }), h("b", { text: one.lane }))));
}

/** A barrier that did not open, until an officer says what became of it. */
export function drawBarrier(barrier, act) {
  const root = byId("barrier");
  const shown = barrier && (barrier.state === "failed" || barrier.tries > 1);
  show(root, Boolean(shown));
  setData(root, { testid: shown ? "barrier" : null, state: shown ? barrier.state : null, visit: shown ? barrier.visit : null });
  if (!shown) return fill(root);
  const failed = barrier.state === "failed";
  const who = `${barrier.who ?? ""} #${barrier.visit} ${timeOfDay(barrier.at)}`.trim();
  fill(root,
    icon("bad"),
    h("p", {}, h("b", { text: t(failed ? "barrier_failed" : "barrier_asked") }), h("span", { class: "barrier-who", text: ` · ${who}` })),
    failed ? [
      h("button", { class: "button", type: "button", testid: "barrier-again", text: t("barrier_again"), on: { click: () => act({ action: "again", visit: barrier.visit }) } }),
      h("button", { class: "button", type: "button", testid: "barrier-by-hand", text: t("barrier_by_hand"), on: { click: () => act({ action: "byhand", visit: barrier.visit }) } }),
    ] : null);
}

export function drawLast(desk, onReprint, onPick, onToday) {
  const visits = desk?.last_visits ?? [];
  const mayReprint = desk?.actions?.includes("reprint");
  const counters = desk?.counters ?? {};
  fill(byId("last"),
    h("h2", {}, `${t("desk_last")} `, zoneDiffers() ? h("small", { text: zoneName() }) : null, h("span", { class: "tally" },
      ["ADMIT", "REFER", "HOLD", "DENY"].map((outcome) => h("span", { testid: `counter-${outcome}`, title: t(`outcome_${outcome}`) },
        icon(outcome), String(counters[outcome] ?? 0)))),
      h("button", { class: "button today-open", type: "button", testid: "today-open", on: { click: onToday } }, icon("register"), h("span", { text: t("today_open") }))),
    visits.length === 0 ? h("p", { class: "quiet", text: t("desk_no_last") }) : null,
    h("ul", {}, visits.map((visit) => lastVisit(visit, mayReprint, onReprint, onPick))));
}

function lastVisit(visit, mayReprint, onReprint, onPick) {
  const final = visit.final ?? visit.outcome;
  return h("li", {
    class: "last-visit", testid: "last-visit", data: { visit: visit.id, outcome: visit.outcome, final, codes: (visit.codes ?? []).join(" ") },
  },
  h("button", { class: "last-pick", type: "button", testid: `pick-${visit.id}`, on: { click: () => onPick(visit) } },
    outcomeBadge(final),
    h("span", { class: "last-who" }, h("b", { text: visit.who ?? `#${visit.id}` }), h("span", { title: zoneName(), text: ` ${timeOfDay(visit.at)}` }),
      h("small", { text: lastNote(visit) }))),
  mayReprint ? h("button", {
    class: "button", type: "button", testid: `reprint-${visit.id}`, "aria-label": `${t("reprint")} #${visit.id}`,
    on: { click: () => onReprint(visit) },
  }, icon("print")) : null);
}

function lastNote(visit) {
  const why = (visit.why ?? []).map(pick).filter(Boolean);
  const parts = visit.overridden
    ? [earlierWords({ outcome: visit.outcome, codes: visit.detail?.verdict?.codes, overridden: visit.overridden })]
    : why;
  parts.push(...(visit.history ?? []).map(earlierWords));
  if (visit.notice) parts.push(pick(visit.notice));
  if (visit.slip === "failed" || visit.slip === "asked") parts.push(t(`slip_${visit.slip}`));
  return parts.filter(Boolean).join(" · ");
}

/** Everything that is kept of a visit, for the dialog of a row. */
export function visitDetail(row, reasons) {
  const visit = row.detail;
  return [
    h("p", { class: "visit-name", text: headline(visit) }),
    visit.verdict ? verdictBand({ ...visit, repeated: null }, false, reasons) : outcomeBadge(null),
    visit.pass ? passLines(visit.pass) : null,
    facts(visit),
    row.notice ? h("p", { text: pick(row.notice) }) : null,
    h("div", { class: "detail-photos" }, (visit.photos ?? []).filter((photo) => photo.sha256).map((photo) => photoImage(photo, "detail-photo"))),
  ];
}

/** The line under the header has a fixed height: a banner coming or going moves nothing. */
export function drawLine({ lost, desk }) {
  fill(byId("line"),
    h("div", { class: "banners" }, lost ? banner("lost", "lost", "lost", t("banner_lost")) : deskBanners(desk)),
    h("button", { class: "button more", type: "button", testid: "banner-more", hidden: true, on: { click: openBanners } }),
    lost || !desk ? null : lampRow(desk.lamps ?? []));
  countBanners();
}

/** A banner is read whole or not at all: those for which the line has no room are counted on a button. */
export function countBanners() {
  const line = byId("line");
  const more = line.querySelector(".more");
  if (!more) return;
  const all = [...line.querySelectorAll(".banner")];
  const open = line.dataset.open === "true" && all.length > 1;
  line.dataset.open = String(open);
  // The button takes room of its own: it is there while they are counted, when there is more than one.
  more.hidden = all.length < 2;
  const beyond = all.filter((one) => one.offsetTop > all[0].offsetTop + 2).length;
  more.hidden = beyond === 0;
  more.textContent = open ? t("banner_fewer") : t("banner_more", { n: beyond });
  more.setAttribute("aria-expanded", String(open));
}

function openBanners() {
  const line = byId("line");
  line.dataset.open = String(line.dataset.open !== "true");
  countBanners();
}

/** One lamp for each device, the lists and the clock: seen before anybody comes. */
function lampRow(lamps) {
  return h("ul", { class: "lamps", testid: "lamps", "aria-label": t("lamps") }, lamps.map((lamp) => {
    const words = has(`lamp_${lamp.kind}`) ? t(`lamp_${lamp.kind}`) : pick(lamp.title);
    const old = lamp.kind === "lists" && lamp.age_s !== null ? ` ${age(lamp.age_s)}` : "";
    return h("li", { class: "state", testid: `lamp-${lamp.id}`, data: { level: lamp.state, state: lamp.state }, title: `${pick(lamp.title)}: ${t(`lamp_${lamp.state}`)}` },
      icon(lamp.state), h("span", { text: words + old }), h("span", { class: "sr", text: t(`lamp_${lamp.state}`) }));
  }));
}

/** The names of lists or devices in one line. */
function names(list) {
  return list.join(t("names_join"));
}

function deskBanners(desk) {
  if (!desk) return [];
  const out = [];
  const lamps = desk.lamps ?? [];
  const dead = (state) => names(lamps.filter((lamp) => lamp.state === state && !["lists", "clock"].includes(lamp.kind)).map((lamp) => pick(lamp.title)));
  const lists = lamps.find((lamp) => lamp.kind === "lists");
  const named = (list) => names(list.map((name) => (has(`list_${name}`) ? t(`list_${name}`) : name)));
  if (desk.training) out.push(banner("training", "bad", "warn", t("training_desk")));
  if (desk.mode === "closed") out.push(banner("closed", "bad", "closed", t("banner_closed")));
  if (dead("bad")) out.push(banner("devices", "bad", "bad", t("banner_devices", { names: dead("bad") })));
  if (desk.other?.calls) out.push(banner("other", "calm", "sound", `${t("bar_call")}: ${pick(desk.other.text)}`));
  else if (desk.other) out.push(banner("other", "warn", "warn", t("other_card")));
  if (desk.not_taken) out.push(banner("not-taken", "warn", "warn", pick(desk.not_taken.text)));
  if (desk.notice) out.push(banner("notice", "warn", "warn", `${desk.notice.text} — ${desk.notice.by}`));
  if (desk.uses_wait_for?.length > 0) out.push(banner("uses", "warn", "warn", `${t("banner_uses")} ${whoTells(desk.uses_wait_for)}`));
  if (lists?.stale?.length) out.push(banner("stale", "warn", "warn", t("banner_lists_old", { age: age(lists.age_s) })));
  else if (desk.lists_stale) out.push(banner("stale", "warn", "warn", t("banner_stale")));
  if (lists?.missing?.length) out.push(banner("missing", "warn", "warn", t("banner_lists_missing", { names: named(lists.missing) })));
  if (lamps.find((lamp) => lamp.kind === "clock")?.state === "warn") out.push(banner("clock", "warn", "warn", t("banner_clock")));
  if (dead("warn")) out.push(banner("beside", "warn", "warn", t("banner_beside", { names: dead("warn") })));
  if (desk.pack) {
    const title = desk.pack.title ? t("banner_pack_title", { title: pick(desk.pack.title) }) : "";
    out.push(banner("pack", "calm", "wait", `${t("banner_pack", { at: moment(desk.pack.from) })}${title}`));
  }
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
