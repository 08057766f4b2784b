// The columns of the table: what each is called, how it sorts and what its cells say. A cell that
// calls for attention has an icon and a colour; an unknown value is a dash, never a zero.

import { age } from "./format.js";
import { h } from "./dom.js";
import { alarmLevel, linkOf } from "./fleet-model.js";
import { icon } from "./icons.js";
import { has, t, word } from "./fleet-strings.js";
import { glyph } from "./fleet-tiles.js";
import { whoTells } from "./strings.js";

const UNKNOWN = "—";
/** How many alarms have room in a cell. */
const FIT = 5;

/**
 * `first` is the direction of the first click. `cell` gives {lead, text, level, title, badges}.
 * Without `label`, the header shows the outcome.
 */
export const COLUMNS = [
  column("name", "asc", (one) => one.order, (one) => ({ lead: `${one.site}/`, text: one.gateway, title: one.key })),
  column("worst", "desc", (one) => one.score, worstCell),
  column("online", "asc", onlineValue, onlineCell),
  column("outbox", "desc", (one) => one.outbox, (one) => ({ ...number(one, one.outbox, alarm(one, "OUTBOX")), title: outboxTitle(one) })),
  column("oldest", "desc", (one) => one.oldest_s, (one) => span(one, one.oldest_s, one.outbox === 0)),
  column("lists", "desc", (one) => one.lists_age_s, (one) => span(one, one.lists_age_s)),
  column("stale", "desc", (one) => one.stale, (one) => number(one, one.stale, one.stale > 0 ? "warn" : null)),
  column("cert", "asc", (one) => one.cert_days, certCell),
  column("clock", "desc", clockValue, clockCell),
  column("devices", "desc", (one) => one.devices_down, devicesCell),
  column("lanes", "desc", (one) => one.lanes, (one) => number(one, one.lanes)),
  outcome("admit"), outcome("refer"), outcome("hold"), outcome("deny"),
  column("version", "asc", (one) => one.version || null, (one) => ({ text: one.version || UNKNOWN, title: one.version })),
];

function column(id, first, value, cell) {
  return { id, first, value, cell };
}

function outcome(id) {
  return { id, first: "desc", value: (one) => one[id], cell: (one) => number(one, one[id]), outcome: id.toUpperCase() };
}

export function columnOf(id) {
  return COLUMNS.find((one) => one.id === id) ?? COLUMNS[1];
}

/** The content of a column's header. */
export function headOf(one) {
  if (!one.outcome) return [h("span", { text: t(`fc_${one.id}`) })];
  return [h("span", { class: "outcome", data: { outcome: one.outcome } }, icon(one.outcome), t(`outcome_${one.outcome}`))];
}

export function headTitle(one) {
  if (one.outcome) return `${t("tip_today")}: ${t(`outcome_${one.outcome}`)}`;
  return t(has(`tip_${one.id}`) ? `tip_${one.id}` : `fc_${one.id}`);
}

function known(value) {
  return value !== null && value !== undefined;
}

/** What has not been reported yet is on its way; what will not come is unknown. */
function absent(one) {
  return one.waiting ? { text: "…", title: t("waiting") } : { text: UNKNOWN, title: t("unknown") };
}

function number(one, value, level = null) {
  return known(value) ? { text: value.toLocaleString("en"), level } : absent(one);
}

function span(one, seconds, nothing = false) {
  if (!known(seconds)) return nothing ? { text: UNKNOWN, title: t("none") } : absent(one);
  return { text: age(seconds) };
}

function worstCell(one) {
  if (one.alarms.length === 0 && one.waiting) return { text: t("waiting"), level: "off", title: t("tip_waiting") };
  const more = { SILENT: known(one.health_s) ? t("cell_silent", { age: age(one.health_s) }) : t("cell_silent_never"), USES: t("cell_uses", { names: whoTells(one.uses_wait_for ?? [], "、") }) };
  const title = one.alarms.map((name) => [word("alarm_", name), more[name]].filter(Boolean).join(": ")).join(" · ");
  return { badges: one.alarms, gateway: one, title };
}

function alarm(one, name) {
  return one.alarms.includes(name) ? alarmLevel(name, one) : null;
}

function onlineValue(one) {
  const place = { offline: 0, unknown: 1, online: 2 }[linkOf(one)];
  return place * 1e12 + (one.since_s ?? 0) * (place === 0 ? -1 : 1);
}

function onlineCell(one) {
  const link = linkOf(one);
  // Online is what the broker says; of a silent one nobody knows.
  const level = one.silent ? "warn" : { online: "ok", offline: "bad", unknown: "off" }[link];
  if (link === "unknown") return { text: t(one.never ? "link_never" : one.waiting ? "waiting" : "unknown"), level };
  const since = known(one.since_s) ? ` ${one.since_exact ? "" : "≥"}${age(one.since_s)}` : "";
  const seen = known(one.seen_s) ? t("cell_seen", { age: age(one.seen_s) }) : null;
  return { text: t(`link_${link}`) + since, level, title: [one.since_exact ? null : t("cell_since_open"), seen].filter(Boolean).join(" ") };
}

function outboxTitle(one) {
  return t("cell_outbox", { r: one.unreceipted ?? UNKNOWN, p: one.photos ?? UNKNOWN });
}

function certCell(one) {
  if (!known(one.cert_days)) return absent(one);
  return { text: t("days", { n: one.cert_days }), level: one.cert_days <= 0 ? "bad" : alarm(one, "CERT") };
}

function clockValue(one) {
  return { floor: 3, unsynced: 2, synced: 1 }[one.clock] ?? null;
}

function clockCell(one) {
  if (one.clock === "floor") return { text: t("clock_floor"), level: "bad" };
  if (one.clock === "unsynced") return { text: t("clock_unsynced"), level: "warn" };
  return one.clock === "synced" ? { text: t("clock_synced") } : absent(one);
}

function devicesCell(one) {
  if (!known(one.devices) || !known(one.devices_down)) return absent(one);
  const level = one.devices_down > 0 ? "warn" : null;
  const counts = { n: one.devices - one.devices_down, all: one.devices };
  return { text: t("cell_devices", counts), level, title: t("cell_devices_long", counts) };
}

/** Puts a cell's content in, unless it already is there. */
export function paint(cell, content, language) {
  const sign = [language, content.lead, content.text, content.level, content.title, content.badges?.join(), content.gateway?.level].join("|");
  if (cell.sign === sign) return;
  cell.sign = sign;
  cell.title = content.title ?? "";
  if (content.level) cell.dataset.level = content.level;
  else delete cell.dataset.level;
  cell.firstElementChild.replaceChildren(...(content.badges ? badges(content) : words(content)));
}

/** Two alarms in words; of more, the worst in words, the next by their letters, the rest counted. */
function badges({ badges: names, gateway }) {
  const inWords = names.length > 2 ? 1 : names.length;
  const drawn = names.length > FIT ? FIT - 1 : names.length;
  const parts = names.slice(0, drawn).map((name, i) => (i < inWords ? alarmBadge : alarmLetter)(name, alarmLevel(name, gateway)));
  return drawn === names.length ? parts : [...parts, h("b", { text: `+${names.length - drawn}` })];
}

function alarmLetter(name, level) {
  return h("span", { class: "tile", data: { level } }, h("span", { "aria-hidden": "true", text: glyph(name) }), h("span", { class: "sr", text: word("alarm_", name) }));
}

function words({ lead, text, level }) {
  const parts = [h("span", { class: "words", text })];
  if (lead) parts.unshift(h("span", { class: "lead", text: lead }));
  if (level) parts.unshift(icon(level));
  return parts;
}

export function alarmBadge(name, level) {
  return h("span", { class: "alarm", data: { level } }, icon(level), word("alarm_", name));
}
