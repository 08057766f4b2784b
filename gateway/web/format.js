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

let zoneMinutes = null;

/**
 * Times are told as the clocks of the site show them, wherever the browser thinks it is. Without an offset from UTC,
 * as on the page of many sites, the browser's own zone is meant.
 */
export function setZone(minutes) {
  zoneMinutes = Number.isFinite(minutes) ? minutes : null;
}

/** UTC+8, UTC-3:30: the zone in which times are told. */
export function zoneName() {
  const minutes = zoneMinutes ?? -new Date().getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `UTC${minutes < 0 ? "-" : "+"}${hours}${rest ? `:${two(rest)}` : ""}`;
}

/** Whether the browser's own clock shows another time than the site's. */
export function zoneDiffers() {
  return zoneMinutes !== null && zoneMinutes !== -new Date().getTimezoneOffset();
}

/** The parts of an instant in that zone; null when it is none. */
function parts(instant) {
  const at = instant ? new Date(instant) : null;
  if (!at || Number.isNaN(at.getTime())) return null;
  const there = new Date(at.getTime() + (zoneMinutes ?? -at.getTimezoneOffset()) * 60_000);
  return {
    date: `${there.getUTCFullYear()}-${two(there.getUTCMonth() + 1)}-${two(there.getUTCDate())}`,
    time: [there.getUTCHours(), there.getUTCMinutes(), there.getUTCSeconds()].map(two).join(":"),
  };
}

/** The day that it is there, as YYYY-MM-DD. */
export function siteDay() {
  return parts(Date.now()).date;
}

/** An RFC 3339 instant as the time of day. */
export function timeOfDay(instant) {
  return parts(instant)?.time ?? "—";
}

/** An RFC 3339 instant as date and time. */
export function dateTime(instant) {
  const there = parts(instant);
  return there ? `${there.date} ${there.time}` : "—";
}

/** An RFC 3339 instant to the minute; of today, the time alone. */
export function moment(instant) {
  const there = parts(instant);
  if (!there) return "—";
  const time = there.time.slice(0, 5);
  return there.date === siteDay() ? time : `${there.date} ${time}`;
}

function two(number) {
  return String(number).padStart(2, "0");
}
