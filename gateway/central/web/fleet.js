// The fleet overview: asks the central server every 2 s and shows all gateways.
//
// Data older than 10 s is marked by a banner and greyed. Keys: L language, / filter, T trace, Esc
// closes the gateway.
//
// data-testid: fleet (body; data-stale, data-detail), count-NAME, data-age, banner-stale, banner-deaf, ear, trace-open,
// filter-text, filter-site, alarm-NAME, filter-clear, filter-shown, fleet-table, sort-COLUMN, detail,
// detail-close, detail-seen, detail-stale, detail-error, detail-SECTION, table-none, and those named in
// fleet-trace.js.

import { byId, setData, setText, show } from "./dom.js";
import { FleetError, getFleet, wordsOf } from "./fleet-api.js";
import { columnOf } from "./fleet-cells.js";
import { createDetail } from "./fleet-detail.js";
import { createFilter } from "./fleet-filter.js";
import { createFreshness } from "./fleet-fresh.js";
import { onView, setView, view } from "./fleet-hash.js";
import { countsOf, filtered, prepare, sitesOf, sorted } from "./fleet-model.js";
import { t, translate } from "./fleet-strings.js";
import { createTable } from "./fleet-table.js";
import { createTiles } from "./fleet-tiles.js";
import { createTrace } from "./fleet-trace.js";
import { age, dateTime } from "./format.js";
import { startPage } from "./page.js";
import { lang, otherLang, pick, setLang } from "./strings.js";

const POLL_MS = 2_000;

const fresh = createFreshness();
const filter = createFilter();
const tiles = createTiles(open);
const table = createTable({ onOpen: open, onSort: sortBy });
const detail = createDetail(() => table.focus());
const trace = createTrace();
let gateways = null;
let at = null;
let listening = null;
let fault = null;
let asking = false;
let timer = null;
let drawnLang = null;

async function poll() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  try {
    const answer = await getFleet();
    gateways = prepare(answer.gateways);
    at = answer.at ?? null;
    listening = answer.listening ?? null;
    trace.you(answer.you);
    draw();
    fresh.mark(at);
    fault = null;
  } catch (error) {
    fault = wordsOf(error);
    if (!(error instanceof FleetError)) console.error(error);
  } finally {
    asking = false;
    timer = setTimeout(poll, POLL_MS);
    drawAge();
  }
}

function draw() {
  const all = gateways ?? [];
  const shown = filtered(all, view());
  const byName = sorted(shown, (one) => one.order, "asc");
  filter.drawEar(listening);
  filter.draw({ sites: sitesOf(all), counts: countsOf(all), shown: shown.length, loaded: gateways !== null });
  tiles.set(byName, view().gw);
  table.set(sorted(shown, columnOf(view().sort).value, view().dir), view(), gateways?.length ?? null);
  setData(document.body, { detail: view().gw !== "" });
  detail.set(view().gw, all.find((one) => one.key === view().gw) ?? null);
  trace.set(view().trace);
}

function drawAge() {
  const seconds = fresh.age();
  const stale = fresh.stale() && (seconds !== null || fault !== null);
  const deaf = listening?.alarm ?? null;
  // Who hears nothing knows nothing of now.
  setData(document.body, { stale: stale || deaf === "LOST" || deaf === "DEAF" });
  setText(byId("deaf"), deaf ? t(`deaf_${deaf}`, { age: age(listening.lost_s ?? listening.heard_s ?? listening.connected_s), why: (listening.refused ?? []).join("、") }) : "");
  show(byId("deaf"), deaf !== null);
  setText(byId("age"), seconds === null ? t("age_none") : `${t("age_data", { age: age(seconds) })} · ${dateTime(at)}`);
  const what = seconds === null ? t("stale_none") : t("stale", { age: age(seconds) });
  // The banner counts seconds; what a screen reader says of it stays the same and is said once.
  setText(byId("stale-say"), stale ? t("stale_say") : "");
  setText(byId("stale"), stale ? [what, pick(fault)].filter(Boolean).join(" ") : "");
  show(byId("stale"), stale);
  document.title = `${stale || deaf ? "⚠ " : ""}${t("title_fleet")} · ${t("product")}`;
  detail.tick(stale || deaf === "LOST" || deaf === "DEAF");
}

function open(key) {
  setView({ gw: key }, true);
  detail.focus();
}

function sortBy(column) {
  const { sort, dir } = view();
  const again = column === sort;
  setView({ sort: column, dir: again ? (dir === "asc" ? "desc" : "asc") : columnOf(column).first });
}

function onKey(event) {
  if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const typing = event.target instanceof Element && event.target.matches("input, textarea, select");
  if (event.key === "Escape" && view().gw !== "" && !typing) return detail.close();
  if (typing) return;
  const act = { l: () => setLang(otherLang()), "/": filter.focus, t: openTrace }[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
}

function openTrace() {
  setView({ trace: "new" });
}

/** Runs at the start and at each change of the language. */
function relabel() {
  if (drawnLang !== lang()) {
    drawnLang = lang();
    translate();
    setText(byId("trace-open"), t("trace"));
    table.relabel();
    detail.relabel();
    trace.relabel();
  }
  draw();
  drawAge();
}

startPage("title_fleet", relabel);
onView(draw);
addEventListener("keydown", onKey);
byId("trace-open").addEventListener("click", openTrace);
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
setInterval(drawAge, 1000);
poll();
