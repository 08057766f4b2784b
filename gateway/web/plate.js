// Keys for a plate: the region first, then letters and digits. I and O do not occur on plates.

import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./strings.js";

const REGIONS = [..."京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"];
const CHARACTERS = [..."1234567890ABCDEFGHJKLMNPQRSTUVWXYZ挂学警港澳"];
const PLATE_MAX = 8;

/** A keypad that writes into `field`; it shows the regions while the field is empty. */
export function plateKeys(field) {
  const keys = h("div", { class: "plate-keys" });

  function put(value) {
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function key(character) {
    return h("button", {
      class: "button plate-key", type: "button", text: character, lang: "zh-CN", testid: `plate-key-${character}`,
      on: { click: () => { if (field.value.length < PLATE_MAX) put(field.value + character); } },
    });
  }

  function draw() {
    const stage = field.value === "" ? "region" : "rest";
    if (keys.dataset.stage === stage) return;
    keys.dataset.stage = stage;
    if (stage === "region") return fill(keys, REGIONS.map(key));
    fill(keys, CHARACTERS.map(key), h("button", {
      class: "button plate-key", type: "button", "aria-label": t("pin_back"), testid: "plate-key-back",
      on: { click: () => put(field.value.slice(0, -1)) },
    }, icon("back")));
  }

  field.addEventListener("input", draw);
  draw();
  return keys;
}

/** Upper case, without spaces and dots: 辽p·12345 and 辽P12345 are one plate. */
export function tidyPlate(value) {
  return value.replace(/[\s·•.．-]/g, "").toUpperCase();
}
