// A PIN field with a touch pad. The field is an ordinary password input, so a keyboard types into
// it; the pad is for gloves and never opens the screen's own keyboard.

import { h, setText, show } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./strings.js";

const PIN_MAX = 12;

/** A password input of digits. `testid` names it for tests. */
export function pinInput(testid) {
  return h("input", {
    class: "input pin-input", type: "password", inputmode: "numeric", autocomplete: "off", maxlength: PIN_MAX,
    testid, "aria-label": t("pin"),
  });
}

/**
 * Ten digits, delete and an OK key, which submits the form that it stands in.
 * @param {{prefix: string, target: function(): HTMLInputElement, okText: string}} options
 *   `prefix` starts each test id: prefix-1 … prefix-0, prefix-back, prefix-ok.
 */
export function pinPad({ prefix, target, okText }) {
  const digit = (value) => h("button", {
    class: "button pad-key", type: "button", text: value, testid: `${prefix}-${value}`,
    on: { click: () => type(target(), value) },
  });
  const back = h("button", {
    class: "button pad-key", type: "button", "aria-label": t("pin_back"), testid: `${prefix}-back`,
    on: { click: () => { target().value = target().value.slice(0, -1); } },
  }, icon("back"));
  const ok = h("button", {
    class: "button primary pad-key pad-ok", type: "submit", text: okText, testid: `${prefix}-ok`,
  });
  return h("div", { class: "pad" }, [..."123456789"].map(digit), back, digit("0"), ok);
}

function type(field, digit) {
  if (field.value.length < PIN_MAX) field.value += digit;
}

/**
 * An area for a refusal, in both languages, that a screen reader announces. With `clearAfterMs` it
 * goes away by itself, for a place where it covers something.
 */
export function faultBox(testid = "error", clearAfterMs = 0) {
  let timer = null;
  const first = h("span", { lang: "zh-CN" });
  const second = h("small", { lang: "en" });
  const element = h("div", { class: "fault", role: "alert", testid, hidden: true }, first, second);

  function put(words) {
    setText(first, words.zh);
    setText(second, words.en);
    show(element, true);
    clearTimeout(timer);
    if (clearAfterMs > 0) timer = setTimeout(clear, clearAfterMs);
  }

  function clear() {
    show(element, false);
    setText(first, "");
    setText(second, "");
  }

  return { element, show: put, clear };
}
