// The sections of one gateway's panel. Each names the part of the answer it needs and draws it; a
// part that is absent is said to be absent.

import { h } from "./dom.js";
import { getCodes } from "./fleet-api.js";
import { drawPictures } from "./fleet-photos.js";
import { has, t, word } from "./fleet-strings.js";
import { age, bytes, dateTime } from "./format.js";
import { className, commandName, counterName, detailWords, listName } from "./status-words.js";
import { icon } from "./icons.js";
import { pick, whoTells } from "./strings.js";

const UNKNOWN = "—";
const OUTCOMES = ["ADMIT", "REFER", "HOLD", "DENY"];
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;
const LEVELS = {
  ready: "ok", ok: "ok", online: "ok", fresh: "ok", synced: "ok", empty: "ok", done: "ok", acknowledged: "ok",
  off: "off", sent: "off", pending: "off", queued: "off", delivered: "off", unknown: "off",
  fault: "bad", full: "bad", missing: "bad", failed: "bad", refused: "bad", expired: "bad",
};

export const SECTIONS = [
  { id: "state", title: "d_state", needs: (got) => [got.state, stateOf(got.health), got.summary?.waiting, got.aside], draw: drawState },
  { id: "lists", title: "d_lists", needs: (got) => [got.health?.lists, got.summary?.waiting], draw: (got) => part(got, got.health?.lists, drawLists) },
  { id: "outbox", title: "d_outbox", needs: (got) => [got.health?.outbox, got.health?.photos, got.summary?.waiting], draw: (got) => part(got, got.health?.outbox, () => drawOutbox(got.health)) },
  { id: "devices", title: "d_devices", needs: (got) => [got.health?.devices, got.summary?.waiting], draw: (got) => part(got, got.health?.devices, drawDevices) },
  { id: "lanes", title: "d_lanes", needs: (got) => [got.health?.lanes, got.state?.lanes, got.summary?.waiting], draw: (got) => part(got, lanesOf(got), drawLanes) },
  { id: "verdicts", title: "d_verdicts", needs: (got) => [got.verdicts, got.listening], draw: (got) => remembered(got, got.verdicts, drawVerdicts) },
  { id: "pictures", title: "d_pictures", needs: (got) => [got.pictures, got.listening], draw: (got) => remembered(got, got.pictures, drawPictures) },
  { id: "commands", title: "d_commands", needs: (got) => [got.commands, got.listening?.since], draw: (got) => (got.commands.length > 0 ? drawCommands(got.commands) : quiet(noneSince(got))) },
  { id: "counters", title: "d_counters", needs: (got) => got.health?.counters, draw: (got) => pairs(Object.entries(got.health?.counters ?? {}).map(([name, count]) => [named(counterName(name), name), String(count)])) },
];

function part(got, rows, draw) {
  if (!Array.isArray(rows)) return quiet(t(got.summary?.waiting ? "waiting" : "d_no_health"));
  return rows.length === 0 ? quiet(t("none")) : draw(rows);
}

/** What came while the server listened, and before, if a database has kept it. */
function remembered(got, rows, draw) {
  if (rows.length > 0) return draw(rows);
  return quiet(got.listening?.database ? t("d_none_database") : noneSince(got));
}

function noneSince(got) {
  return t("d_none_since", { at: dateTime(got.listening?.since) });
}

function quiet(words) {
  return h("p", { class: "quiet", text: words });
}

function stateOf(health) {
  return health && [health.uses, health.packs, health.at, health.certificate, health.clock, health.store, health.box];
}

function drawState({ state, health, summary, aside }) {
  const own = Object.entries(state ?? {}).filter(([name]) => name !== "lanes")
    .map(([name, value]) => [word("sf_", name), plain(name, value)]);
  if (aside) own.unshift([t("d_aside"), level("bad", t("d_aside_words", { n: aside.count, why: aside.why }))]);
  return [pairs([...own, ...(health ? healthPairs(health) : [])]), health ? null : quiet(t(summary?.waiting ? "waiting" : "d_no_health"))];
}

function healthPairs({ at, certificate, clock, store, box, uses, packs }) {
  const days = certificate?.days;
  const waits = uses?.waits_for ?? [];
  return [
    ...(waits.length > 0 ? [[t("d_uses"), level("warn", t("d_uses_wait", { names: whoTells(waits, "、") }))]] : []),
    ...packPairs(packs),
    [t("d_report"), dateTime(at)],
    [t("fc_cert"), known(days) ? level(days <= 0 ? "bad" : null, t("days", { n: days })) : UNKNOWN],
    [t("fc_clock"), clock?.quality ? state(clock.quality) : UNKNOWN],
    [t("d_store"), store ? [state(store.state), ` ${bytes(store.used_bytes)} ${t("d_used")} · ${bytes(store.free_bytes)} ${t("d_free")}`] : UNKNOWN],
    [t("d_box"), box ? `${shown(box.temp_c)} °C · ${t("d_load")} ${shown(box.load1)} · ${t("d_memory")} ${shown(box.mem_mb)} MB` : UNKNOWN],
  ];
}

/** The pack in use and the one that waits, with the lanes that it changes. */
function packPairs(packs) {
  const { in_use: used, waiting } = packs ?? {};
  const name = (pack) => (pack.id ? `${pick(pack.title)} ${pack.pack} (${pack.id})` : t("d_pack_plain"));
  const lanes = [...new Set((waiting?.changes ?? []).flatMap((change) => change.lanes))];
  return [
    ...(used ? [[t("d_pack"), `${name(used)} · ${t("col_version")} ${used.version}`]] : []),
    ...(waiting ? [[t("d_pack_waits"), level("warn", [`${name(waiting)} · ${t("col_version")} ${waiting.version}`, t("d_pack_from", { at: dateTime(waiting.from) }),
      waiting.changes.length === 0 ? t("d_pack_same") : lanes.length > 0 ? t("d_pack_lanes", { names: lanes.join(t("names_join")) }) : t("d_pack_no_lane")].join(" · "))]] : []),
  ];
}

/** A value of the state as people read it; the state may hold more than this page knows. */
function plain(name, value) {
  if (!known(value) || value === "") return UNKNOWN;
  if (typeof value === "boolean") return t(value ? "yes" : "no");
  if (typeof value === "string") return INSTANT.test(value) ? dateTime(value) : value;
  if (typeof value === "number") return name.endsWith("_s") ? age(value) : String(value);
  return Object.entries(value).map(([key, one]) => `${className(key)} ${plain(key, one)}`).join(" · ");
}

function drawLists(lists) {
  return grid(["col_name", "col_state", "col_version", "col_age", "col_entries", "d_signed"], lists.map((list) => [
    named(listName(list.name), list.name), state(!known(list.age_s) ? "missing" : list.stale ? "stale" : "fresh"), shown(list.version), age(list.age_s), list.single > 0 ? `${shown(list.entries)} + ${list.single}` : shown(list.entries),
    list.signed === false && list.name === "trust" ? level("warn", t("d_trust_unsigned")) : list.signed === false ? level("warn", t("d_unsigned")) : list.signed === true ? t("yes") : UNKNOWN,
  ]), [2, 3, 4]);
}

function drawOutbox({ outbox, photos }) {
  const rows = outbox.map((one) => [word("class_", one.class), shown(one.unpublished), shown(one.unreceipted), age(one.oldest_age_s)]);
  if (photos) rows.push([t("d_photos"), shown(photos.waiting), UNKNOWN, age(photos.oldest_age_s)]);
  return grid(["col_class", "col_unpublished", "col_unreceipted", "col_oldest"], rows, [1, 2, 3]);
}

function drawDevices(devices) {
  return grid(["col_name", "col_state", "col_since", "col_seen", "col_latency", "col_errors"], devices.map((one) => [
    twice(one.id, [one.driver, one.firmware].filter(Boolean).join(" · ")), twice(state(one.state), detailWords(one.detail)),
    age(one.since_s), age(one.last_seen_s), known(one.latency_ms) ? `${Number(one.latency_ms).toFixed(1)} ms` : UNKNOWN, shown(one.errors),
  ]), [2, 3, 4, 5]);
}

/** Lanes with counters as reported, and those that only the state names. */
function lanesOf({ health, state: own }) {
  if (!health?.lanes && !own?.lanes) return null;
  const reported = health?.lanes ?? [];
  const more = (own?.lanes ?? []).filter((lane) => !reported.some((one) => one.id === lane.id));
  return [...reported, ...more];
}

function drawLanes(lanes) {
  return grid(["col_lane", "dc_profile", ...OUTCOMES.map((one) => `outcome_${one}`)], lanes.map((lane) => [
    lane.id, shown(lane.profile), ...OUTCOMES.map((one) => (lane.outcomes ? String(lane.outcomes[one] ?? 0) : UNKNOWN)),
  ]), [2, 3, 4, 5]);
}

function drawVerdicts(verdicts) {
  return grid(["dc_time", "col_lane", "dc_outcome", "dc_codes"], verdicts.map((one) => [
    twice(dateTime(one.at), one.late ? t("d_late") : ""), one.lane, outcome(one.outcome), codes(one.codes),
  ]));
}

function drawCommands(commands) {
  return grid(["dc_time", "dc_command", "col_state"], commands.map((one) => [
    dateTime(one.at), twice(commandName(one.what), one.id), twice(state(one.state, "command_"), one.what === "snapshot" && one.detail?.sha256 ? t("d_snapshot_where") : detailWords(one.detail)),
  ]));
}

/** An outcome as its badge. */
export function outcome(name) {
  const own = OUTCOMES.includes(name);
  return h("span", { class: "outcome", data: { outcome: own ? name : "none" } }, own ? icon(name) : null, own ? t(`outcome_${name}`) : shown(name));
}

/** Reasons in words. The codes stay beneath them: people speak of them on the telephone. */
export function codes(list) {
  const raw = (list ?? []).join(" ");
  if (!raw) return h("span", { class: "codes", text: UNKNOWN });
  const words = h("div", {});
  reasons().then((known) => { words.textContent = list.map((code) => pick(known.get(code))).filter(Boolean).join("、"); });
  return h("span", { class: "codes" }, words, h("small", { class: "id", text: raw }));
}

let asked = null;

/** The words of each reason, asked for once; without an answer the codes alone are shown. */
function reasons() {
  asked ??= getCodes().then((all) => new Map(all.map((one) => [one.code, one.text])), () => {
    asked = null;
    return new Map();
  });
  return asked;
}

/** The word for people, and beneath it the one for logs and metrics. */
function named(words, id) {
  return words === id ? id : [h("div", {}, words), h("small", { class: "id", text: id })];
}

function state(name, prefix = "state_") {
  const words = has(prefix + name) ? t(prefix + name) : name === "unknown" ? t("unknown") : String(name ?? UNKNOWN);
  return level(LEVELS[name] ?? (known(name) ? "warn" : "off"), words);
}

function level(of, words) {
  return of === null ? words : h("span", { class: "state", data: { level: of } }, icon(of), words);
}

function twice(first, second) {
  return second ? [h("div", {}, first), h("small", { text: second })] : first;
}

function known(value) {
  return value !== null && value !== undefined;
}

function shown(value) {
  return known(value) ? String(value) : UNKNOWN;
}

function pairs(list) {
  if (list.length === 0) return quiet(t("none"));
  return h("dl", { class: "pairs" }, list.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** A table; `right` names the columns of numbers. */
export function grid(columns, rows, right = []) {
  const side = (i) => (right.includes(i) ? "right" : null);
  return h("div", { class: "grid-wide", tabindex: 0, role: "region", "aria-label": columns.map((key) => t(key)).join(" ") }, h("table", { class: "plain" },
    h("thead", {}, h("tr", {}, columns.map((key, i) => h("th", { scope: "col", class: side(i), text: t(key) })))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, i) => h(i === 0 ? "th" : "td", { scope: i === 0 ? "row" : null, class: side(i) }, cell)))))));
}
