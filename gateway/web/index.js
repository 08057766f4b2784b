// The first page: choose the lane screen or the desk of a lane, the status page or the demo.
//
// data-testid: index (body), lane-ID, link-lane-ID, link-setup-ID, link-desk-ID, link-status, link-console, link-demo (only in
// a demo), lang, theme, error.

import { getDemo, getLanes } from "./api.js";
import { byId, fill, h, show } from "./dom.js";
import { icon } from "./icons.js";
import { startPage } from "./page.js";
import { faultBox } from "./pinpad.js";
import { pick, t } from "./strings.js";

const RETRY_MS = 3_000;
const fault = faultBox("error");
let lanes = null;

function render() {
  if (!lanes) return;
  fill(byId("lanes"), lanes.length === 0 ? h("li", { text: t("index_none") }) : lanes.map((lane) =>
    h("li", { class: "index-lane", testid: `lane-${lane.id}` },
      h("div", {}, h("h2", {}, pick(lane.title), " ", h("small", { text: lane.id })),
        h("a", { class: "index-setup", href: `/lane/${encodeURIComponent(lane.id)}?setup`, testid: `link-setup-${lane.id}`, text: t("index_setup") })),
      link(`/lane/${encodeURIComponent(lane.id)}`, `link-lane-${lane.id}`, "scan", t("index_lane"), ""),
      link(`/desk/${encodeURIComponent(lane.id)}`, `link-desk-${lane.id}`, "pen", t("index_desk"), "primary"))));
}

function link(href, testid, picture, words, className) {
  return h("a", { class: `button ${className}`, href, testid }, icon(picture), h("span", { text: words }));
}

async function load() {
  try {
    lanes = await getLanes();
    fault.clear();
    render();
  } catch (error) {
    if (!error.words) throw error;
    fault.show(error.words);
    setTimeout(load, RETRY_MS);
    return;
  }
  getDemo().then(() => show(byId("demo"), true), () => show(byId("demo"), false));
}

byId("fault").append(fault.element);
startPage("title_index", render);
load();
