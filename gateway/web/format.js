// Numbers, ages and instants as people read them at the desk.

import { t } from "./strings.js";

/** 36600 → "36.6 °C". */
export function degrees(mdeg) {
  return mdeg === null || mdeg === undefined ? "—" : `${(mdeg / 1000).toFixed(1)} °C`;
}

/** Seconds as one rounded-down unit; null is a dash. */
export function age(seconds) {
  if (seconds === null || seconds === undefined) return "—";
  const s = Math.max(0, Math.floor(seconds));
  if (s < 90) return `${s} ${t("unit_s")}`;
  if (s < 90 * 60) return `${Math.floor(s / 60)} ${t("unit_min")}`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} ${t("unit_h")}`;
  return `${Math.floor(s / 86400)} ${t("unit_d")}`;
}

export function bytes(count) {
  if (count === null || count === undefined) return "—";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}

/** An RFC 3339 instant as the local time of day. */
export function timeOfDay(instant) {
  const at = instant ? new Date(instant) : null;
  if (!at || Number.isNaN(at.getTime())) return "—";
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
}

/** An RFC 3339 instant as local date and time. */
export function dateTime(instant) {
  const at = instant ? new Date(instant) : null;
  if (!at || Number.isNaN(at.getTime())) return "—";
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${timeOfDay(instant)}`;
}

function two(number) {
  return String(number).padStart(2, "0");
}
