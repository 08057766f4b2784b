// Keys of letters and digits: for gloves, and for screens that have no keyboard of their own. A Chinese name is found
// by its pinyin.

import { h, mayAutofocus } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./strings.js";

const ROWS = ["1234567890", "QWERTYUIOP", "ASDFGHJKL", "ZXCVBNM"];
/** A narrower screen is a phone, which brings its own keys. */
const PHONE_PX = 760;

/** Whether nobody types here by a keyboard of their own. */
export const isBare = () => !mayAutofocus() && innerWidth > PHONE_PX;

/** Keys that write into the field that `target` gives. */
export function letterKeys(prefix, target, open = isBare(), rows = ROWS, title = "letter_keys") {
  const put = (value) => {
    const field = target();
    if (field.readOnly || value.length > field.maxLength) return;
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const key = (character) => h("button", {
    class: "button letter-key", type: "button", text: character, testid: `${prefix}-key-${character}`,
    on: { click: () => put(target().value + character) },
  });
  const back = h("button", {
    class: "button letter-key", type: "button", "aria-label": t("pin_back"), testid: `${prefix}-key-back`,
    on: { click: () => put(target().value.slice(0, -1)) },
  }, icon("back"));
  return h("details", { open },
    h("summary", { class: "button", testid: `${prefix}-keys`, text: t(title) }),
    h("div", { class: "letter-keys" }, rows.map((row, i) => h("div", { class: "letter-row" },
      [...row].map(key), i === rows.length - 1 ? back : null))));
}
