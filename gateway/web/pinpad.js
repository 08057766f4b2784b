// A PIN field with a touch pad. The field is an ordinary password input, so a keyboard types into
// it; the pad is for gloves and never opens the screen's own keyboard.

import { h, setText, show } from "./dom.js";
import { icon } from "./icons.js";
import { t, text } from "./strings.js";

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
  // Seconds that run down are seen; said aloud each second they would drown everything else.
  const left = h("b", { class: "fault-left", "aria-hidden": "true" });
  const element = h("div", { class: "fault", role: "alert", testid, hidden: true }, first, left, second);
  let counter = null;

  function put(words) {
    stop();
    setText(first, words.zh);
    setText(second, words.en);
    show(element, true);
    clearTimeout(timer);
    if (clearAfterMs > 0) timer = setTimeout(clear, clearAfterMs);
  }

  function clear() {
    stop();
    show(element, false);
    setText(first, "");
    setText(second, "");
  }

  function stop() {
    clearInterval(counter);
    counter = null;
    setText(left, "");
  }

  /** Says so and counts down; `onEnd` runs when the time is over, `onTick` with what is left. */
  function countDown(words, seconds, { onTick = () => {}, onEnd = () => {} } = {}) {
    put(words);
    clearTimeout(timer);
    const until = performance.now() + seconds * 1000;
    const tick = () => {
      const now = Math.ceil((until - performance.now()) / 1000);
      if (now <= 0) {
        clear();
        onEnd();
        return;
      }
      setText(left, ` ${now} ${t("unit_s")}`);
      onTick(now);
    };
    counter = setInterval(tick, 250);
    tick();
  }

  return { element, show: put, clear, countDown };
}

/** The words for a refused PIN: whose, and how many tries are left. `name` is that of its officer. */
export function pinWords(error, name = "") {
  if (error.code !== "wrong_pin") return error.words;
  const more = error.triesLeft === null ? null : text("pin_tries_left");
  const of = name ? text("pin_of") : null;
  const put = (lang) => [
    of ? of[lang].replace("{name}", name) : error.words[lang], more ? more[lang].replace("{n}", error.triesLeft) : "",
  ].filter(Boolean).join(lang === "zh" ? "，" : ", ");
  return { zh: put("zh"), en: put("en") };
}

/** Shows why a PIN was not taken; a wait counts down and ends by itself. */
export function refusePin(fault, error, name = "", more = {}) {
  if (error.waitS > 0) {
    const whose = name ? `${name}: ` : "";
    const words = text("pin_wait");
    fault.countDown({ zh: `${whose}${words.zh}`, en: `${whose}${words.en}` }, error.waitS, more);
  } else fault.show(pinWords(error, name));
}
