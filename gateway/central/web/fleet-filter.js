// The counts in the header and the filter: text, site, alarms. The alarm chips show the letter and
// the shape of the tiles, so that they explain the map as well.

import { byId, fill, h, setData, setText, show } from "./dom.js";
import { alarmsOf, setView, view } from "./fleet-hash.js";
import { ALARMS, alarmLevel } from "./fleet-model.js";
import { t, word } from "./fleet-strings.js";
import { glyph } from "./fleet-tiles.js";
import { age, dateTime } from "./format.js";

const TYPING_MS = 120;
const CLEAR = { q: "", site: "", show: "all", alarm: "" };

export function createFilter() {
  const counts = new Map(["all", "online", "offline", "unknown", "alarms"].map((name) => [name, countButton(name)]));
  fill(byId("counts"), [...counts.values()]);
  const chips = new Map();
  const chipRow = h("div", { class: "chips", role: "group", data: { ftLabel: "filter_alarms" } });
  const words = textField();
  const site = h("select", { class: "input", testid: "filter-site", data: { ftLabel: "filter_site" }, on: { change: () => setView({ site: site.value }) } });
  const shownCount = h("p", { class: "shown", role: "status", testid: "filter-shown" });
  const ear = h("p", { class: "ear", testid: "ear" });
  const clear = h("button", { class: "button", type: "button", testid: "filter-clear", data: { ft: "filter_clear" }, on: { click: () => setView(CLEAR) } });
  fill(byId("filter"), words, site, h("div", { class: "found" }, shownCount, clear, ear), chipRow);
  let siteSign = "";

  /** @param {{sites: string[], counts: object, shown: number, loaded: boolean}} now */
  function draw(now) {
    drawCounts(now);
    drawSites(now.sites);
    drawChips(now);
    if (document.activeElement !== words) words.value = view().q;
    setText(shownCount, now.loaded ? t("filter_shown", { n: now.shown, all: now.counts.all }) : "");
    const set = Object.entries(CLEAR).some(([name, value]) => view()[name] !== value);
    show(clear, set);
  }

  function drawCounts({ counts: numbers, loaded }) {
    for (const [name, button] of counts) {
      setText(button.firstElementChild, loaded ? String(numbers[name]) : "—");
      setText(button.lastElementChild, t(`count_${name}`));
      button.setAttribute("aria-pressed", String(view().show === name));
      setData(button, { some: loaded && numbers[name] > 0 });
    }
    show(counts.get("unknown"), loaded && numbers.unknown > 0);
  }

  function drawSites(sites) {
    const wanted = view().site !== "" && !sites.includes(view().site) ? [view().site, ...sites] : sites;
    const sign = [t("filter_all_sites"), ...wanted].join("\n");
    if (sign !== siteSign) {
      fill(site, h("option", { value: "", text: t("filter_all_sites", { n: sites.length }) }), wanted.map((one) => h("option", { value: one, text: one })));
      siteSign = sign;
    }
    site.value = view().site;
  }

  function drawChips({ counts: numbers, loaded }) {
    const names = [...new Set([...ALARMS, ...numbers.byAlarm.keys(), ...alarmsOf(view())])];
    for (const name of names.filter((one) => !chips.has(one))) {
      chips.set(name, chip(name));
      chipRow.append(chips.get(name));
    }
    for (const [name, button] of chips) drawChip(button, name, loaded ? numbers.byAlarm.get(name) ?? 0 : null);
  }

  /** Since when the server listens, what it knows of before, and when it heard anything last. */
  function drawEar(listening) {
    if (!listening) return setText(ear, "");
    const { since, database, forgets, unlisted, heard_s: heard } = listening;
    const before = !database ? t("ear_since", { at: dateTime(since) }) : t(forgets ? "ear_forgets" : "ear_database");
    const last = heard === null || heard === undefined ? t("ear_nothing") : t("ear_heard", { age: age(heard) });
    setText(ear, [before, unlisted ? t("ear_unlisted") : "", last].filter(Boolean).join(" · "));
    ear.title = [forgets, unlisted].filter(Boolean).join(" ");
    setData(ear, { level: forgets || unlisted ? "warn" : null });
  }

  return { draw, drawEar, focus: () => { words.focus(); words.select(); } };
}

function drawChip(button, name, count) {
  const [tile, label, number] = button.children;
  setText(tile, glyph(name));
  setText(label, word("alarm_", name));
  setText(number, count === null ? "—" : String(count));
  button.setAttribute("aria-pressed", String(alarmsOf(view()).has(name)));
  setData(button, { some: count > 0 });
}

function countButton(name) {
  return h("button", { class: "count", type: "button", testid: `count-${name}`, data: { name }, on: { click: () => setView({ show: name }) } },
    h("b"), h("span"));
}

function chip(name) {
  return h("button", { class: "chip", type: "button", testid: `alarm-${name}`, on: { click: () => flip(name) } },
    h("span", { class: "tile", "aria-hidden": "true", data: { level: alarmLevel(name, null) } }), h("span"), h("b"));
}

function flip(name) {
  const alarms = alarmsOf(view());
  if (!alarms.delete(name)) alarms.add(name);
  setView({ alarm: [...alarms].join(",") });
}

function textField() {
  let timer = null;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => setView({ q: field.value }), TYPING_MS);
  };
  const field = h("input", {
    class: "input", type: "search", autocomplete: "off", spellcheck: "false", maxlength: 100, testid: "filter-text",
    data: { ftLabel: "filter_text", ftHint: "filter_text" }, on: { input: later },
  });
  return field;
}
