// The state of the gateway as tables. Every state is a shape, a colour and a word.
//
// data-testid: status (body; data-lost), banner-lost, lang, theme, home, and one row each:
// status-gateway, status-clock, status-upstream, status-store (data-state), status-pack, status-pack-waiting,
// status-change-PROFILE (data-what), status-uses (where it waits), status-lane-ID
// (data-mode), status-device-ID (data-state), status-list-NAME (data-state = fresh|stale|missing|damaged),
// status-outbox-CLASS (data-state = empty|waiting, data-unpublished, data-unreceipted),
// status-counter-NAME; status-hours with hours-LANE (data-total, data-admitted, data-most).

import { getStatus, statusStream } from "./api.js";
import { byId, fill, h, setText, show } from "./dom.js";
import { age, bytes, dateTime, moment, setZone, zoneName } from "./format.js";
import { hoursLegend, hoursPlot } from "./hours.js";
import { icon } from "./icons.js";
import { startPage } from "./page.js";
import { openStream } from "./sse.js";
import { className, counterName, detailWords, listName, stepName } from "./status-words.js";
import { has, pick, t, whoTells } from "./strings.js";

const LEVELS = {
  ready: "ok", online: "ok", ok: "ok", fresh: "ok", synced: "ok", empty: "ok",
  opening: "warn", offline: "warn", stale: "warn", waiting: "warn", unsynced: "warn", floor: "bad",
  absent: "warn", off: "off", missing: "bad", damaged: "bad",
  fault: "bad", full: "bad",
  idle: "ok", working: "ok", verdict: "ok", closed: "bad",
};

let status = null;
let lost = false;

function onStatus(message) {
  status = message;
  setZone(message.utc_offset_minutes);
  lost = false;
  render();
}

function onLost() {
  lost = true;
  render();
}

function render() {
  document.body.dataset.lost = String(lost);
  show(byId("lost"), lost);
  if (!status) return;
  setText(byId("site"), `${status.site} · ${status.gateway}`);
  const focused = [...byId("tables").querySelectorAll(".scroll")].indexOf(document.activeElement);
  const scrolled = [...byId("tables").querySelectorAll(".scroll")].map((part) => part.scrollLeft);
  fill(byId("tables"), gateway(), lanes(), packs(), hours(), devices(), lists(), outbox(), counters());
  byId("tables").querySelectorAll(".scroll").forEach((part, i) => { part.scrollLeft = scrolled[i] ?? 0; });
  // Whoever scrolls by keys stays where they are while the figures change.
  if (focused >= 0) byId("tables").querySelectorAll(".scroll")[focused]?.focus({ preventScroll: true });
}

function gateway() {
  const { clock, upstream, store } = status;
  return table("st_gateway", ["col_name", "col_state", "col_detail"], [
    row("status-gateway", {}, [t("st_version"), status.version, `${t("st_uptime")} ${age(status.uptime_s)} · ${t("st_epoch")} ${status.epoch}`]),
    row("status-clock", { state: clock.quality }, [t("st_clock"), state(clock.quality), `${dateTime(clock.wall)} ${zoneName()}`]),
    row("status-upstream", { state: upstream.state }, [t("st_upstream"), state(upstream.state),
      [upstream.broker, `${t("st_since")} ${age(upstream.since_s)}`, detailWords(upstream.detail)].filter(Boolean).join(" · ")]),
    row("status-store", { state: store.state }, [t("st_store"), state(store.state),
      `${store.events} ${t("st_events")} · ${store.photos} ${t("st_photos")} · ${bytes(store.used_bytes)} ${t("st_used")} · ${bytes(store.free_bytes)} ${t("st_free")}`]),
    // Meanwhile every single-use pass is held.
    status.uses?.waits_for?.length > 0 ? row("status-uses", { state: "waiting" }, [t("st_uses"), state("waiting", "state_waits_for"),
      [whoTells(status.uses.waits_for), usesLack(status.uses.central), t("st_uses_held")].filter(Boolean).join(" · ")]) : null,
  ]);
}

/** What the central side has said, where it was asked and does not know everything. */
function usesLack(central) {
  if (!central) return "";
  return central.since ? t("uses_since", { at: dateTime(central.since) }) : t("uses_never");
}

function lanes() {
  return table("st_lanes", ["col_lane", "col_state", "col_step", ...["ADMIT", "REFER", "HOLD", "DENY"].map((o) => `outcome_${o}`)],
    status.lanes.map((lane) => row(`status-lane-${lane.id}`, { mode: lane.mode }, [
      h("span", {}, pick(lane.title), " ", h("small", { text: lane.id }), lane.training ? h("b", { testid: `status-training-${lane.id}`, text: ` ${t("training")}` }) : null),
      state(lane.mode, `mode_${lane.mode}`), lane.step ? stepName(lane.step) : "—",
      ...["ADMIT", "REFER", "HOLD", "DENY"].map((outcome) => String(lane.counters?.[outcome] ?? 0)),
    ])));
}

/** The verdicts of the last hours; none while nobody knows the time. */
function hours() {
  if (!status.hours) return null;
  const title = (id) => pick(status.lanes.find((lane) => lane?.id === id)?.title) || id;
  return h("section", { testid: "status-hours" }, h("h2", { text: t("st_hours") }), hoursLegend(),
    h("div", { class: "hours-lanes" }, status.hours.lanes.map((one) => h("div", { class: "hours-lane" },
      h("h3", {}, `${title(one.lane)} `, h("small", { text: one.lane })), hoursPlot(one.lane, status.hours.from, one.counts)))));
}

function devices() {
  return table("st_devices", ["col_name", "col_state", "col_detail", "col_lane", "col_since", "col_seen", "col_latency", "col_errors", "col_driver", "col_firmware", "col_port"],
    status.devices.map((device) => row(`status-device-${device.id}`, { state: device.state }, [
      device.id, state(device.state), detailWords(device.detail) || "—", device.lane ?? "—", age(device.since_s), age(device.last_seen_s),
      device.latency_ms === null ? "—" : `${device.latency_ms.toFixed(1)} ms`, String(device.errors),
      device.driver, device.firmware || "—", device.port,
    ])), t("st_work", { n: status.devices.filter((device) => device.state === "ready").length, all: status.devices.length }));
}

function lists() {
  return table("st_lists", ["col_name", "col_state", "col_age", "col_version", "col_entries"],
    status.lists.map((list) => {
      const is = list.damaged ? "damaged" : list.age_s === null ? "missing" : list.stale ? "stale" : "fresh";
      return row(`status-list-${list.name}`, { state: is }, [named(listName(list.name), list.name), state(is), age(list.age_s), String(list.version),
        list.single ? `${list.entries} (${list.single} ${t("st_single")})` : String(list.entries)]);
    }));
}

/** Which pack is in use, and which one waits: from when, and what it changes here. */
function packs() {
  const { in_use: used, waiting } = status.packs ?? {};
  if (!used && !waiting) return null;
  return table("st_packs", ["col_name", "col_state", "col_detail"], [
    used ? row("status-pack", { state: "fresh" }, [packName(used), state("fresh", "pack_in_use"), `${t("col_version")} ${used.version}`]) : null,
    ...(waiting ? waitingRows(waiting) : []),
  ].filter(Boolean));
}

function waitingRows(pack) {
  const late = Date.parse(pack.from) <= Date.parse(status.clock.wall) ? t("pack_clock") : null;
  const words = [t("pack_from", { at: moment(pack.from) }), late, `${t("col_version")} ${pack.version}`, t("pack_signed", { name: pack.signer }),
    pack.changes.length === 0 ? t("pack_same") : null];
  const change = (one) => row(`status-change-${one.profile}`, { what: one.what }, [
    h("span", {}, `↳ ${one.title ? pick(one.title) : one.profile} `, one.title ? h("small", { class: "id", text: one.profile }) : null),
    t(`pack_${one.what}`), one.lanes.length > 0 ? t("pack_lanes", { names: one.lanes.join(t("names_join")) }) : t("pack_no_lane")]);
  return [
    row("status-pack-waiting", { state: "waiting" }, [packName(pack), state("waiting", "pack_waits"), words.filter(Boolean).join(" · ")]),
    ...pack.changes.map(change),
    pack.more > 0 ? row("status-change-more", {}, [t("pack_more", { n: pack.more }), "—", "—"]) : null,
  ];
}

function packName(pack) {
  const title = pack.title ? pick(pack.title) : t("st_pack_plain");
  return pack.id ? h("span", {}, `${title} ${pack.pack} `, h("small", { class: "id", text: pack.id })) : title;
}

function outbox() {
  return table("st_outbox", ["col_class", "col_state", "col_unpublished", "col_unreceipted", "col_oldest"],
    status.outbox.map((one) => {
      const is = one.unpublished + one.unreceipted > 0 ? "waiting" : "empty";
      return row(`status-outbox-${one.class}`, { state: is, unpublished: one.unpublished, unreceipted: one.unreceipted },
        [named(className(one.class), one.class), state(is), String(one.unpublished), String(one.unreceipted), age(one.oldest_age_s)]);
    }));
}

function counters() {
  return table("st_counters", ["col_name", "col_count"],
    Object.entries(status.counters).map(([name, count]) => row(`status-counter-${name}`, {}, [named(counterName(name), name), String(count)])));
}

/** The word for people, and beneath it the one for logs and metrics. */
function named(words, id) {
  return words === id ? id : h("span", {}, words, " ", h("small", { class: "id", text: id }));
}

function state(name, key = `state_${name}`) {
  const level = LEVELS[name] ?? "warn";
  return h("span", { class: "state", data: { level } }, icon(level), has(key) ? t(key) : name);
}

function row(testid, data, cells) {
  return h("tr", { testid, data }, cells.map((cell, i) => h(i === 0 ? "th" : "td", { scope: i === 0 ? "row" : null }, cell)));
}

/** `more` stands beside the title. */
function table(titleKey, columns, rows, more = "") {
  return h("section", {}, h("h2", {}, t(titleKey), more ? h("small", { class: "count-words", testid: `${titleKey}-words`, text: more }) : null),
    rows.length === 0 ? h("p", { text: t("st_none") })
      : h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t(titleKey) }, h("table", {},
        h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", text: t(column) })))),
        h("tbody", {}, rows))));
}

startPage("title_status", render);
getStatus().then(onStatus, () => {});
openStream(statusStream(), { status: onStatus }, onLost);
