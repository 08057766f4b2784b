// Keys for a plate: the region or another beginning first, then letters and digits. I and O do not occur on plates.
// The kinds are those of gateway/core/src/pass/plate.rs.

import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./strings.js";

const REGIONS = [..."京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"];
// Embassies, airports, armed police and forces.
const OTHERS = ["使", "民航", "WJ", "军", ..."123QVKHBSLJNGCEZ"];
const DIGITS = [..."1234567890"];
const CHARACTERS = [..."1234567890ABCDEFGHJKLMNPQRSTUVWXYZ挂学警港澳领使临试超", "应急"];
const LAST_KEY = /(?:应急|民航|WJ|.)$/u;
const PLATE_MAX = 8;

/** A keypad that writes into `field`; it shows the beginnings while the field is empty. */
export function plateKeys(field) {
  const keys = h("div", { class: "plate-keys" });

  function put(value) {
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function key(character) {
    return h("button", {
      class: "button plate-key", type: "button", text: character, lang: "zh-CN", testid: `plate-key-${character}`,
      on: { click: () => { if (field.value.length + character.length <= PLATE_MAX) put(field.value + character); } },
    });
  }

  function draw() {
    const stage = field.value === "" ? "first" : field.value === "WJ" ? "police" : "rest";
    if (keys.dataset.stage === stage) return;
    keys.dataset.stage = stage;
    if (stage === "first") return fill(keys, [...REGIONS, ...OTHERS].map(key));
    // Behind WJ stands the region, or for the headquarters the number.
    const next = stage === "police" ? [...REGIONS, ...DIGITS] : CHARACTERS;
    fill(keys, next.map(key), h("button", {
      class: "button plate-key", type: "button", "aria-label": t("pin_back"), testid: "plate-key-back",
      on: { click: () => put(field.value.replace(LAST_KEY, "")) },
    }, icon("back")));
  }

  field.addEventListener("input", draw);
  draw();
  return keys;
}

/** Upper case, full width folded, without blanks, points and dashes: 辽p·12345 and 辽P12345 are one plate. */
export function tidyPlate(value) {
  return value.normalize("NFKC").replace(/[\s._·•‧・∙⋅●−\u200b-\u200f\u2010-\u2015\u2060\ufeff-]/g, "").toUpperCase();
}
