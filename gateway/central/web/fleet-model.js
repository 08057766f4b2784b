// Gateways as the page ranks, filters and sorts them. Nothing here touches the document.

import { alarmsOf } from "./fleet-hash.js";

/** Worst first, in the order of the server. */
export const ALARMS = [
  "CONFLICT", "GAP", "REFUSED", "STORE", "SILENT", "OFFLINE", "USES", "CERT", "DAMAGED", "STALE_LISTS", "UNSIGNED", "RECEIPTS",
  "OUTBOX", "DEVICES", "CLOCK", "HOT", "PHOTOS", "NEVER",
];
const BAD = new Set(["CONFLICT", "GAP", "REFUSED", "STORE", "SILENT", "OFFLINE"]);

const byName = new Intl.Collator("en", { numeric: true });
let orders = new Map();

/** Completes the entries of the server's answer: key, order, alarms, worst, level and score. */
export function prepare(gateways) {
  const known = gateways.map(rank);
  placeByName(known);
  for (const one of known) one.order = orders.get(one.key);
  return known;
}

function rank(gateway) {
  const alarms = sortAlarms(gateway.alarms ?? []);
  const worst = alarms[0] ?? null;
  return {
    ...gateway,
    key: `${gateway.site}/${gateway.gateway}`,
    find: `${gateway.site}/${gateway.gateway}`.toLowerCase(),
    alarms,
    worst,
    level: levelOf(gateway, alarms),
    score: score(gateway, alarms),
  };
}

function place(alarm) {
  const at = ALARMS.indexOf(alarm);
  return at < 0 ? ALARMS.length : at;
}

export function sortAlarms(alarms) {
  return [...alarms].sort((a, b) => place(a) - place(b));
}

/** bad, warn, off (not online, not heard yet, or unknown) or ok. */
function levelOf(gateway, alarms) {
  if (alarms.some((alarm) => alarmLevel(alarm, gateway) === "bad")) return "bad";
  if (alarms.length > 0) return "warn";
  return inOrder(gateway) ? "ok" : "off";
}

/** Online, and heard: what nobody has reported yet is not in order. */
function inOrder(gateway) {
  return gateway.online === true && gateway.waiting !== true;
}

export function alarmLevel(alarm, gateway) {
  if (alarm === "CERT" && typeof gateway?.cert_days === "number" && gateway.cert_days <= 0) return "bad";
  return BAD.has(alarm) ? "bad" : "warn";
}

/** Higher is worse: the worst alarm first, then their number. */
function score(gateway, alarms) {
  if (alarms.length === 0) return inOrder(gateway) ? 0 : 1;
  return (ALARMS.length + 1 - place(alarms[0])) * 100 + Math.min(alarms.length, 99);
}

function placeByName(gateways) {
  if (gateways.length === orders.size && gateways.every((one) => orders.has(one.key))) return;
  const keys = gateways.map((one) => one.key).sort(byName.compare);
  orders = new Map(keys.map((key, i) => [key, i]));
}

export function sitesOf(gateways) {
  return [...new Set(gateways.map((one) => one.site))].sort(byName.compare);
}

export function countsOf(gateways) {
  const counts = { all: gateways.length, online: 0, offline: 0, unknown: 0, alarms: 0 };
  const alarms = new Map(ALARMS.map((alarm) => [alarm, 0]));
  for (const one of gateways) {
    counts[linkOf(one)] += 1;
    if (one.alarms.length > 0) counts.alarms += 1;
    for (const alarm of one.alarms) alarms.set(alarm, (alarms.get(alarm) ?? 0) + 1);
  }
  return { ...counts, byAlarm: alarms };
}

export function linkOf(gateway) {
  if (gateway.online === true) return "online";
  return gateway.online === false ? "offline" : "unknown";
}

/** The gateways that pass the filter. Several alarms mean any of them, several words all of them. */
export function filtered(gateways, shown) {
  const words = shown.q.toLowerCase().split(/\s+/).filter(Boolean);
  const alarms = alarmsOf(shown);
  return gateways.filter((one) =>
    (shown.site === "" || one.site === shown.site)
    && passesShow(one, shown.show)
    && (alarms.size === 0 || one.alarms.some((alarm) => alarms.has(alarm)))
    && words.every((word) => one.find.includes(word)));
}

function passesShow(gateway, what) {
  if (what === "alarms") return gateway.alarms.length > 0;
  return what === "all" || linkOf(gateway) === what;
}

/** Sorted by a column's value; unknown values come last in both directions. */
export function sorted(gateways, value, direction) {
  const sign = direction === "asc" ? 1 : -1;
  return [...gateways].sort((a, b) => compare(value(a), value(b), sign) || b.score - a.score || a.order - b.order);
}

function compare(a, b, sign) {
  const lacksA = a === null || a === undefined;
  const lacksB = b === null || b === undefined;
  if (lacksA || lacksB) return Number(lacksA) - Number(lacksB);
  if (typeof a === "string") return sign * byName.compare(a, b);
  return sign * (a - b);
}
