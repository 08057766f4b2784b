// Seals that a load arrives with: each is read from the seal, never from the record, and its condition is said. What
// the record says stays hidden until a whole number was read, so that nobody copies it.

import { fill, h, radioGroup, setText, show } from "./dom.js";
import { icon } from "./icons.js";
import { tidySeal } from "./desk-evidence.js";
import { letterKeys } from "./letters.js";
import { pick, t, textOf } from "./strings.js";

/** A number with fewer characters is none yet. */
const SEAL_MIN = 4;
const SEALS_MAX = 20;
const MISSING = "missing";

export function askSealCheck({ ask, draft, act, fail, clear, hooks }) {
  const expected = ask.expected ?? [];
  draft.seals ??= Array.from({ length: Math.max(expected.length, 1) }, () => ({ number: "", door: "", condition: "" }));
  let target = null;

  // A number that the scanner has read goes into the first row that has none.
  if (ask.scanned && draft.scanned !== ask.scanned) {
    draft.scanned = ask.scanned;
    const there = draft.seals.some((seal) => tidySeal(seal.number) === ask.scanned);
    const free = draft.seals.find((seal) => tidySeal(seal.number) === "" && seal.condition !== MISSING);
    if (!there && free) free.number = ask.scanned;
    else if (!there && draft.seals.length < SEALS_MAX) draft.seals.push({ number: ask.scanned, door: "", condition: "" });
  }

  const list = h("div", { class: "seal-rows" });
  const hint = h("p", { class: "hint", role: "status", testid: "seals-left" });
  const submit = h("button", { class: "button primary", type: "submit", testid: "seals-ok", data: { primary: "" }, text: t("seals_ok") });

  const isWhole = (seal) => tidySeal(seal.number).length >= SEAL_MIN;
  const isExpected = (seal) => expected.includes(tidySeal(seal.number));
  const isDone = (seal) => (seal.condition === MISSING ? true : isWhole(seal) && seal.condition !== "" && (ask.doors.length === 0 || seal.door !== ""));

  function refresh() {
    const left = draft.seals.filter((seal) => !isDone(seal)).length;
    setText(hint, left > 0 ? t("seals_left", { n: left }) : t("seals_ready"));
    submit.setAttribute("aria-disabled", String(left > 0));
    clear();
  }

  function row(seal, at) {
    const n = at + 1;
    const match = h("p", { class: "state seal-match", role: "status", testid: `seal-${n}-match` });
    const input = h("input", {
      class: "input seal-input", type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "characters", maxlength: 20,
      testid: `seal-${n}-number`, "aria-label": `${t("seals_number")} ${n}`, value: seal.number, placeholder: t("seals_number_hint"),
      data: { autofocus: seal.number === "" && at === draft.seals.findIndex((one) => one.number === "") ? "" : null },
      on: {
        focus: () => { target = input; },
        input: () => { seal.number = input.value; compare(); refresh(); },
        keydown: (event) => {
          if (event.key !== "Enter" || event.isComposing) return;
          event.preventDefault();
          (root.querySelector("[role=radio][tabindex='0']") ?? submit).focus();
        },
      },
    });
    const number = h("div", { class: "seal-number" }, input, match);

    function compare() {
      // Half a number that a record begins with is only half typed.
      const typed = tidySeal(seal.number);
      const begins = expected.some((one) => one !== typed && one.startsWith(typed));
      const [level, words] = seal.condition === MISSING ? ["bad", t("seals_missing")]
        : typed === "" ? ["off", t("seals_read")]
        : expected.length === 0 ? ["off", t("seals_no_record")]
        : isExpected(seal) ? ["ok", t("seals_same")]
        : !isWhole(seal) || begins ? ["off", t("seals_read")]
        : ["bad", t("seals_other", { numbers: expected.join(t("names_join")) })];
      match.dataset.level = level;
      match.dataset.match = String(level === "ok");
      match.replaceChildren(icon(level), h("span", { text: words }));
      // Where no seal is, there is no number to read.
      input.disabled = seal.condition === MISSING;
    }

    const group = (name, label, options, next) => {
      const buttons = options.map((option, i) => h("button", {
        class: "button", type: "button", role: "radio", "aria-checked": String(seal[name] === option.value),
        testid: `seal-${n}-${name}-${option.value}`, data: { key: i + 1 },
        on: { click: (event) => {
          seal[name] = option.value;
          for (const button of buttons) button.setAttribute("aria-checked", String(button === event.currentTarget));
          compare();
          refresh();
        } },
      }, i < 9 ? h("kbd", { text: i + 1 }) : null, h("span", { text: pick(option.text) })));
      const root = radioGroup({ class: "radios", "aria-label": label }, h("span", { class: "radios-label", text: label }), buttons);
      root.dataset.digits = `${n}-${name}`;
      root.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || !buttons.includes(document.activeElement)) return;
        event.preventDefault();
        if (seal[name] === "") document.activeElement.click();
        next();
      });
      return root;
    };
    const condition = group("condition", t("seals_condition"), ask.conditions, () => goOn(at));
    const door = ask.doors.length === 0 ? null
      : group("door", t("seal_door"), ask.doors, () => condition.querySelector("[tabindex='0']")?.focus());
    const remove = at >= expected.length && draft.seals.length > 1 ? h("button", {
      class: "button", type: "button", testid: `seal-${n}-remove`, "aria-label": `${t("seals_remove")} ${n}`,
      on: { click: () => { draft.seals.splice(at, 1); draw(); } },
    }, icon("cross")) : null;
    const root = h("fieldset", { class: "seal-row", testid: `seal-row-${n}` },
      h("legend", {}, expected.length > 0 && at < expected.length ? t("seals_of", { n, m: expected.length }) : t("seals_n", { n })),
      number, h("div", { class: "seal-how" }, door, condition), remove);
    compare();
    return root;
  }

  function goOn(at) {
    const next = draft.seals.findIndex((seal, i) => i > at && !isDone(seal));
    if (next < 0) return submit.focus();
    const input = list.children[next].querySelector("input");
    input.focus();
  }

  function draw() {
    fill(list, draft.seals.map(row));
    show(more, draft.seals.length < SEALS_MAX);
    refresh();
  }

  function send(event) {
    event.preventDefault();
    const lacking = draft.seals.findIndex((seal) => !isDone(seal));
    if (lacking >= 0) {
      list.children[lacking].querySelector(draft.seals[lacking].number === "" ? "input" : "[role=radio][tabindex='0']")?.focus();
      return fail(textOf("seals_lacking", { n: lacking + 1 }));
    }
    // A seal that is not there has the number of one on record that nobody has read.
    const free = expected.filter((number) => !draft.seals.some((seal) => seal.condition !== MISSING && tidySeal(seal.number) === number));
    const seals = draft.seals.flatMap((seal) => {
      if (seal.condition !== MISSING) return [{ number: tidySeal(seal.number), door: seal.door, condition: seal.condition }];
      const number = free.shift();
      return number ? [{ number, door: seal.door, condition: MISSING }] : [];
    });
    act({ action: "seal_check", seals });
  }

  const more = h("button", {
    class: "button", type: "button", testid: "seals-more", text: t("seals_more"),
    on: { click: () => { draft.seals.push({ number: "", door: "", condition: "" }); draw(); list.lastChild.querySelector("input").focus(); } },
  });
  hooks.digit = (n) => {
    const here = document.activeElement?.closest("[data-digits]");
    const button = here?.querySelector(`[data-key="${n}"]`);
    button?.focus();
    button?.click();
  };
  draw();
  return h("form", { class: "seals-form", novalidate: true, on: { submit: send } },
    h("p", { class: "seals-count", testid: "seals-count", text: expected.length > 0 ? t("seals_expected", { n: expected.length }) : t("seals_none_expected") }),
    list, more,
    h("div", { class: "form-end step-end" }, hint, submit),
    h("div", { class: "form-keys" }, letterKeys("seals", () => target ?? list.querySelector("input"))));
}
