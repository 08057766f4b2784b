// The form of a step: all fields on one page, what is wrong with each beside it. It is sent whole or not at all.
//
// Enter goes on to the next field that is empty, and sends from the last one; a number key chooses in the group that
// has the focus, else in the first one that is not answered. What a scanner has read, or the pass says, is filled in
// and can be changed. A private answer stays on this page: it is not kept over a reload.

import { photoUrl } from "./api.js";
import { fill, h, radioGroup, setData, setText, show } from "./dom.js";
import { answerOf, fault as faultOf } from "./fields.js";
import { siteDay } from "./format.js";
import { icon } from "./icons.js";
import { isBare, letterKeys } from "./letters.js";
import { plateKeys } from "./plate.js";
import { langTag, otherLang, pick, pickOther, t, text, textOf } from "./strings.js";

/** A number of so few values is chosen, not typed. */
const NUMBERS_SHOWN = 10;
const TEXT_MAX = 200;
/** Keys for what has no letters. */
const DIGITS = ["1234567890", ".-"];
const MODES = { number: "decimal", phone: "tel", date: "numeric" };
const HINTS = { id: "hint_id", phone: "hint_phone", date: "hint_date", container: "hint_container", scan: "hint_scan" };

export function askForm({ ask, draft, act, fail, clear, hooks }) {
  draft.values ??= {};
  draft.seen ??= {};
  draft.faults ??= {};
  // Never leaves the page: what is private is not kept over a reload.
  draft.secret ??= { values: {}, seen: {} };
  const rows = new Map();

  const isPrivate = (field) => field.private || field.subject;
  const of = (field) => (isPrivate(field) ? draft.secret : draft);
  const put = (field, value) => { of(field).values[field.id] = value; };
  const get = (field) => of(field).values[field.id] ?? (field.input === "choices" ? [] : "");
  const isAnswered = (field) => get(field).length > 0;
  const isFilled = (field) => field.value !== null && field.value !== undefined;

  for (const field of ask.fields.filter(isFilled)) {
    // What comes from the gateway is newer than what was typed before: a scanner has just read it.
    const key = JSON.stringify(field.value);
    if (of(field).seen[field.id] !== key) put(field, Array.isArray(field.value) ? field.value : String(field.value));
    of(field).seen[field.id] = key;
  }

  /** Whether a field is asked, as far as the page can tell from the other answers. */
  function isAsked(field) {
    const on = field.depends_on;
    const other = on && ask.fields.find((one) => one.id === on.field);
    if (!other) return true;
    if (!isAsked(other)) return false;
    const value = get(other);
    const is = (word) => (Array.isArray(value) ? value.includes(word) : value === word);
    if (on.value !== null && on.value !== undefined) return is(on.value);
    if (on.unless !== null && on.unless !== undefined) return value.length > 0 && !is(on.unless);
    return true;
  }

  /** A field whose condition only the gateway knows is not required before it says so. */
  function isRequired(field) {
    const on = field.depends_on;
    return field.required && (!on || (on.value ?? on.unless ?? null) !== null);
  }

  const asked = () => ask.fields.filter(isAsked);

  function refresh() {
    let left = 0;
    for (const field of ask.fields) {
      const row = rows.get(field.id);
      const here = isAsked(field);
      show(row.root, here);
      row.draw();
      if (here && isRequired(field) && !isAnswered(field)) left += 1;
    }
    setText(hint, left > 0 ? t("form_left", { n: left }) : t("form_ready"));
    submit.setAttribute("aria-disabled", String(left > 0));
  }

  function changed(field, value, typing) {
    put(field, value);
    const key = typing ? faultOf(field, value, true) : null;
    draft.faults[field.id] = key ? filled(key, field) : undefined;
    clear();
    refresh();
  }

  /** On to the next field without an answer; from the last one the form is sent. */
  function goOn(field) {
    if (typeof get(field) === "string") {
      const key = faultOf(field, get(field), false);
      if (key) {
        draft.faults[field.id] = filled(key, field);
        return refresh();
      }
    }
    const all = asked();
    const at = all.indexOf(field);
    const next = all.slice(at + 1).find((one) => !isAnswered(one)) ?? all.slice(0, at).find((one) => isRequired(one) && !isAnswered(one));
    if (next) rows.get(next.id).focus();
    else send();
  }

  async function send() {
    const answers = {};
    let first = null;
    for (const field of asked()) {
      const value = get(field);
      const key = isAnswered(field) ? (typeof value === "string" ? faultOf(field, value, false) : null) : isRequired(field) ? "field_missing" : null;
      draft.faults[field.id] = key ? filled(key, field) : undefined;
      if (key) first ??= field;
      else if (isAnswered(field)) answers[field.id] = answerOf(field, value);
      // What was filled in and is taken out again is not to stand.
      else if (isFilled(field)) answers[field.id] = "";
    }
    refresh();
    if (first) {
      rows.get(first.id).focus();
      return fail(text("form_wrong"));
    }
    await act({ action: "form", answers }, (words, error) => {
      const wrong = error?.fields ?? {};
      const named = ask.fields.filter((field) => wrong[field.id]);
      for (const field of named) draft.faults[field.id] = wrong[field.id];
      fail(named.length > 0 ? text("form_wrong") : words);
      refresh();
      if (named.length > 0) rows.get(named[0].id).focus();
    });
  }

  const hint = h("p", { class: "hint", role: "status" });
  const submit = h("button", { class: "button primary", type: "submit", testid: "form-ok", data: { primary: "" }, text: t("form_ok") });
  const keys = keyPanel();

  function fieldRow(field) {
    const wrong = h("p", { class: "field-fault", id: `fault-${field.id}`, role: "alert", testid: `field-fault-${field.id}`, hidden: true });
    const body = (BODIES[field.input] ?? typed)(field);
    const marks = [
      field.required ? h("span", { class: "must", "aria-hidden": "true", text: "*" }) : null,
      field.required ? h("span", { class: "sr", text: t("field_required") }) : null,
    ];
    const other = pickOther(field.text) === pick(field.text) ? "" : pickOther(field.text);
    const root = h("div", { class: `form-field field-${field.input}`, testid: `field-${field.id}`, data: { wide: body.wide ? "" : null } },
      h(body.group ? "span" : "label", { class: "field-label", id: `label-${field.id}`, for: body.group ? null : `input-${field.id}` },
        h("b", { text: pick(field.text) }), marks, other ? h("small", { lang: langTag(otherLang()), text: other }) : null,
        isPrivate(field) ? h("span", { class: "field-private", testid: `private-${field.id}` }, icon("seal"), t("field_private")) : null),
      body.element, wrong);
    function draw() {
      const words = draft.faults[field.id];
      show(wrong, Boolean(words));
      if (words) fill(wrong, icon("bad"), h("span", { text: pick(words) }));
      setData(root, { fault: words ? "" : null });
      body.draw?.(Boolean(words));
    }
    return { root, draw, focus: body.focus };
  }

  /** A field that is typed into. */
  function typed(field) {
    const input = h("input", {
      class: "input", type: "text", id: `input-${field.id}`, autocomplete: "off", spellcheck: "false", inputmode: MODES[field.input] ?? null,
      autocapitalize: ["id", "container", "plate", "scan"].includes(field.input) ? "characters" : null,
      maxlength: field.input === "plate" ? 12 : field.max && field.input === "text" ? field.max : TEXT_MAX,
      testid: `input-${field.id}`, "aria-describedby": `fault-${field.id}`, value: get(field),
      placeholder: HINTS[field.input] ? t(HINTS[field.input]) : field.input === "number" ? numberRange(field) : null,
      on: {
        input: () => {
          if (field.input === "date") dashes(input);
          changed(field, input.value, true);
        },
        focus: () => keys.over(input, field),
        keydown: (event) => {
          if (event.key !== "Enter" || event.isComposing) return;
          event.preventDefault();
          goOn(field);
        },
      },
    });
    const today = field.input === "date" ? h("button", {
      class: "button", type: "button", testid: `today-${field.id}`, text: t("today"),
      on: { click: () => { input.value = siteDay(); changed(field, input.value, true); } },
    }) : null;
    const photo = field.input === "plate" && field.photo?.sha256
      ? h("img", { class: "form-photo", src: photoUrl(field.photo.sha256), alt: t("plate_photo"), testid: "plate-photo" }) : null;
    return {
      element: h("span", { class: "field-row" }, photo, h("span", { class: "typed-row" }, input, field.input === "scan" ? icon("scan", "scan-mark") : null, today)),
      wide: Boolean(photo),
      focus: () => { input.focus(); input.select(); },
      draw: (isWrong) => {
        input.setAttribute("aria-invalid", String(isWrong));
        input.setAttribute("aria-required", String(field.required));
      },
    };
  }

  /** One of a few: buttons, the arrows or a number key choose. */
  function choice(field) {
    const options = field.input === "number" ? numbersOf(field) : field.options;
    const buttons = options.map((option, i) => h("button", {
      class: "button choice", type: "button", role: "radio", "aria-checked": String(get(field) === option.value),
      testid: `${field.id}-${option.value}`, data: { key: field.input === "number" ? option.value : i + 1 },
      on: { click: (event) => {
        for (const button of buttons) button.setAttribute("aria-checked", String(button === event.currentTarget));
        changed(field, option.value, false);
      } },
    }, field.input !== "number" && i < 9 ? h("kbd", { text: i + 1 }) : null, h("span", { text: pick(option.text) })));
    const group = radioGroup({ class: field.input === "number" ? "form-numbers" : "form-choices", "aria-labelledby": `label-${field.id}`, "aria-describedby": `fault-${field.id}` }, buttons);
    return chosen(field, group, buttons, (button) => button.click());
  }

  /** Some of them: each is switched on and off. */
  function choices(field) {
    const buttons = field.options.map((option, i) => h("button", {
      class: "button check", type: "button", role: "checkbox", "aria-checked": String(get(field).includes(option.value)),
      testid: `${field.id}-${option.value}`, data: { key: i + 1 },
      on: { click: (event) => {
        const all = get(field);
        const on = !all.includes(option.value);
        event.currentTarget.setAttribute("aria-checked", String(on));
        changed(field, on ? [...all, option.value] : all.filter((one) => one !== option.value), false);
      } },
    }, i < 9 ? h("kbd", { text: i + 1 }) : null, h("span", { class: "box" }, icon("tick")), h("span", { text: pick(option.text) })));
    const group = h("div", { class: "form-choices", role: "group", "aria-labelledby": `label-${field.id}` }, buttons);
    return chosen(field, group, buttons, null);
  }

  function chosen(field, group, buttons, onEnter) {
    group.dataset.digits = field.id;
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !buttons.includes(document.activeElement)) return;
      event.preventDefault();
      if (onEnter && get(field) === "") onEnter(document.activeElement);
      goOn(field);
    });
    return {
      element: group,
      group: true,
      wide: field.input === "choices" || buttons.length > 2,
      focus: () => (buttons.find((one) => one.tabIndex === 0) ?? buttons[0])?.focus(),
    };
  }

  const BODIES = {
    choice,
    choices,
    number: (field) => ((field.decimals ?? 0) === 0 && field.max - field.min < NUMBERS_SHOWN ? choice(field) : typed(field)),
  };

  /** The keys of the field that is typed into, for gloves. */
  function keyPanel() {
    const panel = h("div", { class: "form-keys", testid: "form-keys" });
    let target = null;
    let open = isBare();
    return {
      panel,
      over(input, field) {
        if (target === input) return;
        target = input;
        const rows = { number: DIGITS, phone: DIGITS, date: DIGITS, id: ["1234567890X"] }[field.input];
        const keys = field.input === "plate" ? h("details", {}, h("summary", { class: "button", testid: "form-plate-keys", text: t("enter_plate_keys") }), plateKeys(input))
          : letterKeys("form", () => target, open, rows, rows ? "digit_keys" : "letter_keys");
        keys.open = open;
        keys.addEventListener("toggle", () => { open = keys.open; });
        fill(panel, keys);
      },
    };
  }

  for (const field of ask.fields) rows.set(field.id, fieldRow(field));
  refresh();
  const form = h("form", {
    class: "form", novalidate: true, testid: "form",
    on: { submit: (event) => { event.preventDefault(); send(); } },
  },
  h("div", { class: "form-fields" }, [...rows.values()].map((row) => row.root)),
  h("div", { class: "form-end step-end" }, hint, submit),
  keys.panel);
  // Where a keyboard is, the first empty field waits for it.
  const first = asked().find((field) => !isAnswered(field));
  const start = first && rows.get(first.id).root.querySelector("input, [role=radio][tabindex='0'], [role=checkbox]");
  if (start) start.dataset.autofocus = "";
  hooks.digit = (n) => digit(n, { ask, isAnswered, isAsked, goOn });
  return form;
}

/** A number key: the n-th of the group that has the focus, else of the first that waits for one. */
function digit(n, { ask, isAnswered, isAsked, goOn }) {
  const here = document.activeElement?.closest("[data-digits]");
  const waiting = ask.fields.find((field) => isAsked(field) && !isAnswered(field) && document.querySelector(`[data-digits="${CSS.escape(field.id)}"]`));
  const id = here?.dataset.digits ?? waiting?.id;
  if (!id) return;
  const button = document.querySelector(`[data-digits="${CSS.escape(id)}"] [data-key="${n}"]`);
  if (!button) return;
  button.focus();
  button.click();
  const field = ask.fields.find((one) => one.id === id);
  if (field.input !== "choices" && isAnswered(field)) goOn(field);
}

function numbersOf(field) {
  return Array.from({ length: field.max - field.min + 1 }, (_, i) => String(field.min + i)).map((value) => ({ value, text: { zh: value, en: value } }));
}

function numberRange(field) {
  return t("ask_number", { min: field.min, max: field.max });
}

/** Words of the table with the limits of a field. */
function filled(key, field) {
  return textOf(key, { min: field.min, max: field.max });
}

/** 20220524 and 2022-05-24 are typed alike. */
function dashes(input) {
  const digits = input.value.normalize("NFKC").replace(/\D/g, "").slice(0, 8);
  if (digits.length < 5 || input.value.endsWith("-")) return;
  input.value = [digits.slice(0, 4), digits.slice(4, 6), digits.slice(6)].filter(Boolean).join("-");
}
