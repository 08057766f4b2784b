// The demo: cards, temperature, camera and network of the simulated devices, beside live previews
// of the lane screen and the desk.
//
// A pack is switched on with its lanes, and one lane more where somebody wants it; the gateway starts anew with them.
//
// data-testid: demo (body), pack-ID, lane-tab-LANE, lane-more (the lanes that are not switched on), switching, link-console, card-ID (click = the simulated scanner reads it at
// once), present (the last card again; ignored within 1 s of the same card), sent (data-card),
// temp-33800, temp-36600, temp-37500, temp-38100, temp-slider, temp-value, camera-good,
// camera-dark, camera-blurred, weight-GRAMS, network-toggle (data-up), link-lane-ID, link-desk-ID,
// preview-lane, preview-desk, demo-officer-ID (data-pin), error, lang, theme, home.

import { getDemo, getLanes, postDemo } from "./api.js";
import { byId, fill, h, setText, show } from "./dom.js";
import { degrees } from "./format.js";
import { icon } from "./icons.js";
import { startPage } from "./page.js";
import { faultBox } from "./pinpad.js";
import { pick, t, text } from "./strings.js";

const PRESETS_MDEG = [33_800, 36_600, 37_500, 38_100];
const LOOKS = ["good", "dark", "blurred"];
const LOADS_G = [0, 1_500, 2_600];
const SLIDER = { min: 30_000, max: 42_000, step: 100 };
const SAME_CARD_MS = 1_000;
const LANE_KEY = "kakou.demo.lane";
/** How long a gateway may take to come back with other lanes. */
const BACK_MS = 20_000;
const ASK_MS = 200;
const wide = matchMedia("(min-width: 1200px)");

const fault = faultBox("error");
let demo = null;
let titles = new Map();
let lane = null;
let looks = {};
let last = { card: null, at: -Infinity };
/** Set while the gateway starts anew. */
let switching = false;

function render() {
  if (!demo) return;
  drawPacks();
  drawLanes();
  drawControls();
  drawCards();
  drawOfficers();
  drawPreview();
}

function laneTitle(id) {
  return pick(titles.get(id)) || id;
}

/** The pack of the lane in front. */
function ownPack() {
  return demo.packs.find((pack) => pack.lanes.some((one) => one.id === lane)) ?? demo.packs[0];
}

function drawPacks() {
  const own = ownPack();
  fill(byId("packs"), demo.packs.map((pack) => {
    const button = toggle(`pack-${pack.id}`, pick(pack.title), pack === own, () => {
      if (pack !== own) switchOn({ pack: pack.id }, (id) => pack.lanes.some((one) => one.id === id));
    });
    button.disabled = switching;
    return button;
  }));
}

/** The lanes of the pack that are not switched on. */
function moreLanes() {
  const off = ownPack().lanes.filter((one) => !demo.lanes.includes(one.id));
  if (switching) return h("span", { class: "demo-busy", role: "status", testid: "switching" }, icon("wait"), t("demo_switching"));
  if (off.length === 0) return null;
  const choice = h("select", {
    class: "demo-more", testid: "lane-more", "aria-label": t("demo_more"),
    on: { change: () => { if (choice.value) switchOn({ lane: choice.value }, (id) => id === choice.value); } },
  }, h("option", { value: "", text: `${t("demo_more")} (${off.length})` }), off.map((one) => h("option", { value: one.id, text: pick(one.title) })));
  return choice;
}

/** Waits for the gateway, which starts anew, to have a lane that will do; it comes to the front. */
async function switchOn(body, willDo) {
  if (!(await send("lanes", body))) return;
  switching = true;
  drawPacks();
  drawLanes();
  const end = performance.now() + BACK_MS;
  let found;
  while (!found && performance.now() < end) {
    await new Promise((done) => { setTimeout(done, ASK_MS); });
    const now = await getDemo().catch(() => null);
    found = now?.lanes.filter(willDo).at(body.lane ? -1 : 0);
    // Its screens are there when the gateway says so as well.
    const lanes = found && (await getLanes().catch(() => []));
    if (found && lanes.some((one) => one.id === found)) take(now);
    else found = undefined;
  }
  switching = false;
  if (!found) return fault.show(text("demo_not_switched"));
  last = { card: null, at: -Infinity };
  setText(byId("sent"), "");
  chooseLane(found);
}

function drawLanes() {
  fill(byId("lanes"), demo.lanes.map((id) => h("button", {
    class: "button", type: "button", "aria-pressed": String(id === lane), testid: `lane-tab-${id}`, text: laneTitle(id),
    disabled: switching, on: { click: () => { chooseLane(id); } },
  })), moreLanes(), demo.lanes.map((id) => h("span", { class: "demo-links", hidden: id !== lane },
    h("a", { class: "button", target: "_blank", rel: "noopener", href: `/lane/${encodeURIComponent(id)}`, testid: `link-lane-${id}`, text: t("demo_open_lane") }),
    h("a", { class: "button", target: "_blank", rel: "noopener", href: `/desk/${encodeURIComponent(id)}`, testid: `link-desk-${id}`, text: t("demo_open_desk") }),
    id !== lane ? null : h("a", { class: "button", target: "_blank", rel: "noopener", href: "/console", testid: "link-console", text: t("demo_open_console") }))));
}

function chooseLane(id) {
  lane = id;
  localStorage.setItem(LANE_KEY, id);
  render();
}

function drawControls() {
  const measures = demo.temperatures?.[lane] !== undefined;
  const now = demo.temperatures?.[lane] ?? 36_600;
  const value = h("output", { testid: "temp-value", text: degrees(now) });
  const slider = h("input", {
    class: "slider", type: "range", ...SLIDER, testid: "temp-slider", "aria-label": t("demo_temperature"),
    on: { input: () => setText(value, degrees(Number(slider.value))), change: () => setTemperature(Number(slider.value)) },
  });
  slider.value = now;
  fill(byId("controls"),
    !measures ? null : group("temperature", "demo_temperature", value, slider, h("div", { class: "row" }, PRESETS_MDEG.map((mdeg) =>
      toggle(`temp-${mdeg}`, degrees(mdeg), mdeg === now, () => setTemperature(mdeg))))),
    looks[lane] === undefined ? null : group("photo", "demo_camera", null, null, h("div", { class: "row" }, LOOKS.map((look) =>
      toggle(`camera-${look}`, t(`camera_${look}`), look === (looks[lane] ?? "good"), () => setLook(look))))),
    demo.weights?.[lane] === undefined ? null : group("weigh", "demo_weight", null, null, h("div", { class: "row" }, LOADS_G.map((grams) =>
      toggle(`weight-${grams}`, `${(grams / 1000).toFixed(1)} kg`, grams === demo.weights[lane], () => setWeight(grams))))),
    group("cloud", "demo_network", null, null, h("button", {
      class: "button", type: "button", testid: "network-toggle", "aria-pressed": String(demo.network), data: { up: demo.network },
      on: { click: setNetwork },
    }, icon(demo.network ? "ok" : "off"), t(demo.network ? "demo_up" : "demo_down"))));
}

function group(picture, key, value, ...content) {
  return h("div", { class: "group" }, h("h2", {}, icon(picture), ` ${t(key)} `, value), content);
}

function toggle(testid, words, on, run) {
  return h("button", { class: "button", type: "button", testid, "aria-pressed": String(on), text: words, on: { click: run } });
}

function drawCards() {
  const again = h("button", {
    class: "button", type: "button", testid: "present", disabled: !last.card, text: t("demo_present"),
    on: { click: () => { if (last.card) present(last.card); } },
  });
  const own = demo.cards.filter((card) => card.lane === lane);
  fill(byId("cards"),
    h("div", { class: "cards-head" }, h("h2", { text: t("demo_cards") }), again),
    own.length > 0 ? null : h("p", { class: "hint", testid: "no-cards", text: t("demo_no_cards") }),
    h("ul", { class: "cards" }, own.map((card) => h("li", {}, h("button", {
      class: "card", type: "button", testid: `card-${card.id}`, on: { click: () => present(card) },
    },
    h("img", { class: "qr", src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(card.qr_svg)}`, alt: "" }),
    h("b", { text: pick(card.title) }), h("small", { text: pick(card.hint) }))))));
}

function drawOfficers() {
  fill(byId("officers"), h("h2", { text: t("demo_officers") }), h("ul", { class: "demo-officers" },
    (demo.officers ?? []).map((officer) => h("li", { testid: `demo-officer-${officer.id}`, data: { pin: officer.pin } },
      h("b", { text: officer.id }), ` ${t(`role_${officer.role}`)} · `, h("code", { text: officer.pin })))));
}

/** The frames stay in place while their lane does: reloading them would sign nobody out but flicker. */
function drawPreview() {
  const root = byId("preview");
  if (!wide.matches) {
    delete root.dataset.lane;
    return fill(root);
  }
  if (root.dataset.lane === lane) return;
  root.dataset.lane = lane;
  fill(root, ["lane", "desk"].map((page) => h("div", { class: "frame" }, h("iframe", {
    src: `/${page}/${encodeURIComponent(lane)}`, title: t(`title_${page}`), testid: `preview-${page}`, allow: "autoplay",
  }))));
}

async function send(what, body) {
  try {
    await postDemo(what, body);
    fault.clear();
    return true;
  } catch (error) {
    if (!error.words) throw error;
    fault.show(error.words);
    return false;
  }
}

async function present(card) {
  if (last.card?.id === card.id && performance.now() - last.at < SAME_CARD_MS) return;
  last = { card, at: performance.now() };
  if (!(await send("present", { lane, card: card.id }))) return;
  setText(byId("sent"), t("demo_sent", { n: pick(card.title) }));
  byId("sent").dataset.card = card.id;
  document.querySelector("[data-testid=present]")?.removeAttribute("disabled");
}

async function setTemperature(mdeg) {
  if (!(await send("temperature", { lane, mdeg }))) return;
  demo.temperatures = { ...demo.temperatures, [lane]: mdeg };
  drawControls();
}

async function setWeight(grams) {
  if (!(await send("weight", { lane, grams }))) return;
  demo.weights = { ...demo.weights, [lane]: grams };
  drawControls();
}

async function setLook(look) {
  if (!(await send("camera", { lane, look }))) return;
  looks = { ...looks, [lane]: look };
  drawControls();
}

async function setNetwork() {
  const up = !demo.network;
  if (!(await send("network", { up }))) return;
  demo.network = up;
  drawControls();
}

function take(said) {
  demo = said;
  looks = demo.looks ?? {};
  titles = new Map(demo.packs.flatMap((pack) => pack.lanes).map((one) => [one.id, one.title]));
}

async function load() {
  try {
    take(await getDemo());
  } catch (error) {
    if (!error.words) throw error;
    fault.show(error.status === 404 ? text("demo_none") : error.words);
    if (error.status !== 404) setTimeout(load, 3000);
    return;
  }
  fault.clear();
  const stored = localStorage.getItem(LANE_KEY);
  lane = demo.lanes.includes(stored) ? stored : demo.lanes[0];
  render();
}

byId("fault").append(fault.element);
show(byId("preview"), true);
wide.addEventListener("change", () => { if (demo) drawPreview(); });
startPage("title_demo", render);
load();
