// The tile map: one small tile per gateway, grouped by site. The level is a shape and a colour, the
// worst alarm a letter; the filter's chips are the legend.
//
// The map is one stop of the Tab key: Left/Right go tile by tile, Up/Down site by site.

import { byId, fill, h, setData, setText } from "./dom.js";
import { linkOf } from "./fleet-model.js";
import { has, t, word } from "./fleet-strings.js";

const SMALL_FROM = 1500;
const MIDDLE_FROM = 300;

/** @param {function(string)} onOpen gets the key of the gateway */
export function createTiles(onOpen) {
  const root = byId("map");
  let tiles = new Map();
  let heads = new Map();
  let layout = "";
  let current = "";

  root.addEventListener("click", (event) => {
    const key = event.target.closest("button.tile")?.dataset.key;
    if (key) onOpen(key);
  });
  root.addEventListener("keydown", onKey);
  root.addEventListener("focusin", (event) => {
    if (event.target.dataset.key) moveStop(event.target.dataset.key);
  });

  /** @param {object[]} gateways in order of their names */
  function set(gateways, selected) {
    const wanted = gateways.map((one) => one.key).join("\n");
    if (wanted !== layout) rebuild(gateways);
    layout = wanted;
    setData(root, { size: sizeFor(gateways.length) });
    for (const one of gateways) drawTile(tiles.get(one.key), one, one.key === selected);
    for (const [site, members] of bySite(gateways)) drawHead(heads.get(site), site, members);
  }

  function rebuild(gateways) {
    const held = root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    tiles = new Map(gateways.map((one) => [one.key, h("button", { class: "tile", type: "button", tabindex: -1, data: { key: one.key } })]));
    heads = new Map();
    fill(root, [...bySite(gateways)].map(([site, members]) => group(site, members)));
    moveStop(tiles.has(current) ? current : gateways[0]?.key ?? "");
    tiles.get(held)?.focus();
  }

  function group(site, members) {
    const head = h("h2", { class: "map-site" }, h("span", { class: "map-name", text: site }), h("small"));
    heads.set(site, head);
    const element = h("div", { class: "map-group", role: "group", "aria-label": site }, head,
      h("div", { class: "map-tiles" }, members.map((one) => tiles.get(one.key))));
    element.style.setProperty("--across", String(across(members.length)));
    return element;
  }

  function moveStop(key) {
    const before = tiles.get(current);
    if (before) before.tabIndex = -1;
    current = key;
    const now = tiles.get(key);
    if (now) now.tabIndex = 0;
  }

  function onKey(event) {
    const keys = [...tiles.keys()];
    const to = target(event.key, keys, keys.indexOf(event.target.dataset.key));
    if (to === null || !keys[to]) return;
    event.preventDefault();
    tiles.get(keys[to]).focus();
  }

  function target(key, keys, at) {
    if (at < 0) return null;
    if (key === "ArrowRight") return at + 1;
    if (key === "ArrowLeft") return at - 1;
    if (key === "Home") return 0;
    if (key === "End") return keys.length - 1;
    if (key === "ArrowDown" || key === "ArrowUp") return siteStart(keys, at, key === "ArrowDown" ? 1 : -1);
    return null;
  }

  function siteStart(keys, at, step) {
    const site = (i) => tiles.get(keys[i])?.parentElement;
    let to = at;
    while (to >= 0 && to < keys.length && site(to) === site(at)) to += step;
    if (step < 0) while (to > 0 && site(to - 1) === site(to)) to -= 1;
    return to;
  }

  return { set };
}

function sizeFor(count) {
  if (count > SMALL_FROM) return "small";
  return count > MIDDLE_FROM ? "middle" : "large";
}

/** How many tiles of a site stand side by side: wider than high, and with room for its name. */
function across(count) {
  return Math.max(7, Math.ceil(Math.sqrt(count * (count > 40 ? 2 : 3))));
}

function bySite(gateways) {
  const sites = new Map();
  for (const one of gateways) {
    if (!sites.has(one.site)) sites.set(one.site, []);
    sites.get(one.site).push(one);
  }
  return sites;
}

function drawHead(head, site, members) {
  const good = members.filter((one) => one.level === "ok").length;
  setText(head.lastElementChild, `${good}/${members.length}`);
  const title = t("map_site", { site, n: members.length, good });
  if (head.title !== title) head.title = title;
}

function drawTile(tile, gateway, selected) {
  const says = `${gateway.key}: ${gateway.alarms.length > 0 ? gateway.alarms.map((name) => word("alarm_", name)).join(" · ") : restWord(gateway)}`;
  if (tile.title !== says) {
    tile.title = says;
    tile.setAttribute("aria-label", says);
  }
  setData(tile, { level: gateway.level, link: linkOf(gateway) });
  setText(tile, gateway.worst ? glyph(gateway.worst) : gateway.waiting ? "…" : linkOf(gateway) === "unknown" ? "?" : "");
  if (selected) tile.setAttribute("aria-current", "true");
  else tile.removeAttribute("aria-current");
}

function restWord(gateway) {
  const link = linkOf(gateway);
  if (gateway.waiting) return t("waiting");
  return link === "online" ? t("no_alarm") : link === "offline" ? t("link_offline") : t("unknown");
}

/** The letter of an alarm; an alarm this page does not know is "?". */
export function glyph(alarm) {
  if (!alarm) return "";
  return has(`glyph_${alarm}`) ? t(`glyph_${alarm}`) : "?";
}
