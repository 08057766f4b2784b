// The panel of one gateway. It asks the central server every 2 s while it is open; a section is
// drawn anew only when its content changed, so that nothing flickers and a photograph loads once.

import { byId, fill, h, setData, setText, show } from "./dom.js";
import { getGateway, wordsOf } from "./fleet-api.js";
import { alarmBadge } from "./fleet-cells.js";
import { createFreshness } from "./fleet-fresh.js";
import { setView, view } from "./fleet-hash.js";
import { alarmLevel } from "./fleet-model.js";
import { SECTIONS } from "./fleet-sections.js";
import { t } from "./fleet-strings.js";
import { age } from "./format.js";
import { icon } from "./icons.js";
import { lang, pick } from "./strings.js";

const POLL_MS = 2_000;

/** @param {function()} onClosed runs when the panel was closed from within: puts the focus back */
export function createDetail(onClosed) {
  const root = byId("detail");
  const name = h("h2", { id: "detail-name", tabindex: -1 });
  const closer = h("button", { class: "button", type: "button", testid: "detail-close", on: { click: close } }, icon("cross"));
  const alarms = h("p", { class: "alarms" });
  const seen = h("p", { class: "seen", testid: "detail-seen" });
  const banner = h("p", { class: "banner warn", hidden: true });
  const old = h("p", { class: "banner lost", testid: "detail-stale", hidden: true });
  const fault = h("p", { class: "fault", role: "alert", testid: "detail-error", hidden: true });
  const body = h("div", { class: "detail-body" });
  fill(root, h("div", { class: "detail-head" }, name, closer), alarms, seen, banner, old, fault, body);

  const fresh = createFreshness();
  let key = "";
  let summary = null;
  let answer = null;
  let words = null;
  let timer = null;
  let round = 0;

  /** Shows another gateway, or none. `one` is its entry in the table, if it has one. */
  function set(wanted, one) {
    summary = one;
    if (wanted !== key) change(wanted);
    if (key !== "") drawHead();
  }

  function change(wanted) {
    key = wanted;
    answer = null;
    words = null;
    fresh.forget();
    round += 1;
    clearTimeout(timer);
    show(root, key !== "");
    show(old, false);
    setText(name, key);
    setText(fault, "");
    fill(body, h("p", { text: t("loading") }));
    root.scrollTop = 0;
    if (key !== "") poll(round);
  }

  async function poll(mine) {
    try {
      const got = await getGateway(key);
      if (mine !== round) return;
      answer = got;
      drawBody();
      fresh.mark();
      words = null;
    } catch (error) {
      if (mine !== round) return;
      words = wordsOf(error);
    }
    drawHead();
    timer = setTimeout(() => poll(mine), POLL_MS);
  }

  function drawBody() {
    if (body.dataset.gateway !== key) fill(body, SECTIONS.map((one) => h("section", { class: `part part-${one.id}`, testid: `detail-${one.id}` })));
    body.dataset.gateway = key;
    SECTIONS.forEach((one, i) => drawSection(body.children[i], one));
  }

  function drawSection(place, { title, needs, draw }) {
    const sign = lang() + JSON.stringify(needs(answer) ?? null);
    if (place.sign === sign) return;
    place.sign = sign;
    const before = [...place.querySelectorAll(".grid-wide")].map((one) => one.scrollLeft);
    place.replaceChildren(h("h3", { text: t(title) }), ...[draw(answer)].flat().filter(Boolean));
    place.querySelectorAll(".grid-wide").forEach((one, i) => { one.scrollLeft = before[i] ?? 0; });
  }

  function drawHead() {
    fillOnce(alarms, summary ? summary.alarms.map((alarm) => [alarm, alarmLevel(alarm, summary)]) : [], ([alarm, level]) => alarmBadge(alarm, level));
    drawSeen();
    const old = oldWords(summary);
    setText(banner, old);
    show(banner, old !== "");
    setText(fault, words ? pick(words) : "");
    show(fault, words !== null);
    if (words && !answer) body.replaceChildren();
    if (words && !answer) delete body.dataset.gateway;
  }

  /** When the gateway was last heard: the age that came, and the time since it came. */
  function drawSeen() {
    const seconds = answer ? answer.seen_s : summary?.seen_s;
    const known = seconds !== null && seconds !== undefined;
    const none = t(summary?.never ? "d_seen_never" : summary?.waiting ? "waiting" : "unknown");
    setText(seen, `${t("d_seen")}: ${known ? t("d_seen_ago", { age: age(seconds + (fresh.age() ?? 0)) }) : none}`);
  }

  /** Each second: old content must not look fresh. */
  function tick(fleetStale) {
    if (key === "") return;
    const stale = answer !== null && fresh.stale();
    setData(root, { stale: stale || fleetStale });
    drawSeen();
    setText(old, stale ? t("d_stale", { age: age(fresh.age()) }) : "");
    show(old, stale);
  }

  function close() {
    setView({ gw: "" }, true);
    onClosed();
  }

  function relabel() {
    closer.setAttribute("aria-label", t("close"));
    closer.title = `${t("close")} (Esc)`;
    if (key === "" || view().gw !== key) return;
    alarms.sign = null;
    if (answer) drawBody();
    drawHead();
  }

  return { set, tick, relabel, close, focus: () => name.focus({ preventScroll: true }) };
}

/** Why what is shown is not what is now. */
function oldWords(one) {
  if (!one) return "";
  if (one.online === false) return t("d_last_known");
  if (one.never) return t("d_never");
  const reported = one.health_s !== null && one.health_s !== undefined;
  if (one.silent) return reported ? t("d_silent", { age: age(one.health_s) }) : t("d_silent_never");
  if (one.waiting) return reported ? t("d_waiting_old", { age: age(one.health_s) }) : t("d_waiting");
  return "";
}

function fillOnce(place, items, draw) {
  const sign = lang() + JSON.stringify(items);
  if (place.sign === sign) return;
  place.sign = sign;
  fill(place, items.map(draw));
}
