// The panel with the one thing that the desk must do now. One renderer per kind of Ask; what was
// typed survives a redraw in `drafts` until the gateway asks for something else.

import { laneOfPage, photoUrl } from "./api.js";
import { byId, byTestid, fill, h, mayAutofocus, setData } from "./dom.js";
import { icon } from "./icons.js";
import { askSealCheck } from "./desk-checks.js";
import { askParty, askTally } from "./desk-count.js";
import { askConfirm, askPhoto, askSeal } from "./desk-evidence.js";
import { askForm } from "./desk-form.js";
import { otherOfficer } from "./desk-other.js";
import { officerName, readingValue, takesCodes, verdictBand } from "./desk-view.js";
import { faultBox } from "./pinpad.js";
import { plateKeys, tidyPlate } from "./plate.js";
import { lang, pick, t, text } from "./strings.js";

const RENDERERS = {
  scan: beginLarge,
  wait: beginLarge,
  weigh: () => [],
  temperature: askTemperature,
  question: askQuestion,
  approve: askApprove,
  form: askForm,
  tally: askTally,
  party: askParty,
  seal: askSeal,
  "seal-check": askSealCheck,
  photo: askPhoto,
  confirm: askConfirm,
};
const NUMBER_KEYS_MAX = 9;
const FAULT_MS = 12_000;
/** A tap so soon after the question has changed was meant for what stood there before. */
const DEAD_MS = 500;
/** How long a refusal waits for its second tap. */
const ARMED_MS = 5_000;
/** What was typed and not sent survives a reload of the page, in this tab alone. */
const DRAFT_KEY = `kakou.draft.${laneOfPage()}`;

/**
 * @param {function(object): Promise<boolean>} act posts an action; refusals come back to `fail`
 * @param {function(): {officer, role}} whoIs who is signed in
 * @param {function()} begin begins a visit without a code
 */
export function createAsk(act, whoIs, begin) {
  const root = byId("ask");
  const fault = faultBox("error", FAULT_MS);
  let drawn = "";
  let draft = {};
  let draftKey = "";
  let waitTimer = null;
  let askedAt = -Infinity;
  let tappedAt = 0;
  let freshTimer = null;
  let faced = "";
  let other = null;
  /** What a renderer does with a number key, where it is not the n-th button. */
  let hooks = {};

  const isFresh = () => performance.now() - askedAt < DEAD_MS;

  // The second of two quick taps, and any tap that comes with the question, was meant for what stood there before.
  root.addEventListener("click", (event) => {
    const stray = (event.detail > 1 && askedAt > tappedAt) || (isFresh() && !typing(event.target));
    tappedAt = performance.now();
    if (!stray) return;
    event.stopPropagation();
    event.preventDefault();
  }, true);
  for (const name of ["input", "click"]) root.addEventListener(name, keepDraft);

  function typing(target) {
    return target instanceof Element && target.matches("input, textarea, .plate-key, .pad-key, .letter-key, summary");
  }

  function keepDraft() {
    // What is private stays on this page.
    sessionStorage.setItem(DRAFT_KEY, JSON.stringify({ key: draftKey, draft: { ...draft, secret: undefined } }));
  }

  function keptDraft(key) {
    try {
      const kept = JSON.parse(sessionStorage.getItem(DRAFT_KEY));
      return kept?.key === key && kept.draft ? kept.draft : {};
    } catch {
      return {};
    }
  }

  /** The question has changed: for a moment it takes no taps, and the page shows that. */
  function begin() {
    askedAt = performance.now();
    setData(root, { fresh: "" });
    // What is asked anew begins at its top, wherever the one before was left.
    root.scrollTop = 0;
    clearTimeout(freshTimer);
    freshTimer = setTimeout(() => setData(root, { fresh: null }), DEAD_MS);
  }

  /** `link` is live, connecting or lost; without a live link nothing is asked. */
  function update(desk, link) {
    const ask = desk?.ask ?? null;
    const visit = desk?.visit ?? null;
    const photo = ask?.kind === "photo" ? visit?.photos : null;
    const key = JSON.stringify([lang(), whoIs()?.officer, link, desk?.mode, visit?.id, ask, photo, visit?.verdict, visit?.repeated, visit?.history, desk?.barrier, desk?.actions?.includes("start"), ask?.signatures?.map((one) => officerName(one.by)), ask?.kind === "temperature" && visit?.readings]);
    if (key === drawn) return;
    drawn = key;
    const step = desk?.steps?.find((one) => one.state === "current")?.id ?? null;
    const nextKey = JSON.stringify([visit?.id, step, ask?.kind, ask?.id, ask?.role, ask?.kind === "seal" && visit?.seals?.length, ask?.kind === "confirm" && ask.signatures]);
    // What was typed waits for the gateway to come back: it may ask the same again.
    const isNew = link === "live" && nextKey !== draftKey;
    const face = JSON.stringify([nextKey, ask?.kind === "photo" && photo?.find((one) => one.role === ask.role)?.state]);
    if (link === "live" && face !== faced) {
      faced = face;
      begin();
    }
    if (isNew) {
      // Who reads a question that another officer brought up must know whose answer it was.
      const before = draftKey === "" ? null : JSON.parse(draftKey)[0];
      other = visit?.by && visit.id === before && visit.by !== whoIs()?.officer ? visit.by : null;
      draft = keptDraft(nextKey);
      draftKey = nextKey;
      fault.clear();
    }
    draw({ desk, ask, visit, link, isNew });
  }

  function draw({ desk, ask, visit, link, isNew }) {
    clearInterval(waitTimer);
    // Of a question before, a control of the same name may stand at the end of this one.
    const kept = isNew ? null : document.activeElement?.closest("#ask");
    const focused = kept ? document.activeElement.dataset.testid : null;
    const quiet = !ask || ask.kind === "scan" || ask.kind === "wait";
    const context = { begin, ask, desk, visit, draft, act, fail: fault.show, clear: fault.clear, every, fault, officer: whoIs() };
    hooks = {};
    context.hooks = hooks;
    root.dataset.kind = ask?.kind ?? "none";
    root.dataset.id = ask?.id ?? ask?.role ?? "";
    root.setAttribute("aria-label", t("desk_now"));
    fill(root,
      // An admission whose barrier has not opened is nothing to show large.
      visit?.verdict ? verdictBand(visit, quiet && desk.barrier?.visit !== visit.id, desk.override_reasons) : null,
      h("div", { class: "ask-head" }, heading(ask, link, quiet && Boolean(visit?.verdict)), h("div", { class: "fault-room" }, fault.element)),
      other && ask ? h("p", { class: "answered-by", testid: "answered-by", text: t("answered_by", { name: officerName(other) }) }) : null,
      ask ? h("div", { class: `ask-body ask-${ask.kind}` }, (RENDERERS[ask.kind] ?? RENDERERS.wait)(context)) : null);
    if (focused) byTestid(focused, root)?.focus();
    else if (isNew && mayAutofocus() && !document.querySelector("dialog[open]")) root.querySelector("[data-autofocus]")?.focus();
  }

  function every(ms, fn) {
    waitTimer = setInterval(fn, ms);
    fn();
  }

  return {
    update,
    fail: fault.show,
    clearFault: fault.clear,
    /** Nothing of what was typed is left to whoever comes next. */
    forget() {
      draft = {};
      draftKey = "";
      sessionStorage.removeItem(DRAFT_KEY);
    },
    /** Enter outside a field. */
    primary() {
      root.querySelector("[data-primary]")?.click();
    },
    /** A number key: the n-th choice, or the number itself. */
    digit(n) {
      if (hooks.digit) hooks.digit(n);
      else root.querySelector(`[data-key="${n}"]`)?.click();
    },
  };
}

function heading(ask, link, small) {
  const live = link === "live";
  const words = live ? (ask ? pick(ask.prompt) : t("desk_no_ask")) : t(`lane_${link}`);
  return h("h2", { class: small ? "prompt small" : "prompt", testid: "prompt", "aria-live": "polite" },
    icon(live ? ask?.kind ?? "wait" : "lost"), h("span", { text: words }));
}

/** On a lane where nobody shows a code, an emergency above all, a visit begins with one large button. */
function beginLarge({ desk, begin }) {
  if (!desk?.actions?.includes("start") || takesCodes(desk)) return null;
  return h("button", { class: "begin-large", type: "button", testid: "begin-large", data: { primary: "" }, on: { click: begin } },
    icon("begin"), h("b", { text: t("begin_large") }), h("span", { text: t("begin_hint") }));
}

function askTemperature({ ask, visit, every }) {
  const readings = visit?.readings ?? [];
  const last = readings[readings.length - 1];
  const countdown = h("p", { class: "hint", testid: "wait" });
  if (ask.wait_s > 0 && readings.length > 0) {
    const until = performance.now() + ask.wait_s * 1000;
    every(250, () => {
      const left = Math.ceil((until - performance.now()) / 1000);
      countdown.textContent = left > 0 ? t("ask_wait", { n: left }) : t("ask_ready");
    });
  }
  return [
    h("p", { class: "big-reading" }, last ? readingValue(last) : "—"),
    h("p", { class: "hint", text: t("ask_try", { n: ask.try, m: ask.tries }) }),
    countdown,
  ];
}

function askQuestion(context) {
  const { ask } = context;
  if (ask.input === "choice") {
    return h("div", { class: "choices" }, ask.options.map((option, i) => choice(context, option.value, pick(option.text), i + 1)));
  }
  if (ask.input === "number" && ask.min >= 0 && ask.max <= NUMBER_KEYS_MAX) {
    const numbers = Array.from({ length: ask.max - ask.min + 1 }, (_, i) => ask.min + i);
    return h("div", { class: "choices numbers" }, numbers.map((n) => choice(context, String(n), String(n), n, false)));
  }
  return typedAnswer(context);
}

function choice({ ask, act }, value, words, key, showKey = true) {
  return h("button", {
    class: "button choice", type: "button", testid: `answer-${value}`, data: { key },
    on: { click: () => act({ action: "answer", question: ask.id, value }) },
  }, showKey && key <= 9 ? h("kbd", { text: key }) : null, h("span", { text: words }));
}

function typedAnswer({ ask, draft, act, fail, clear }) {
  const plate = ask.input === "plate";
  const number = ask.input === "number";
  const field = h("input", {
    class: "input", type: "text", inputmode: number ? "numeric" : null, autocomplete: "off", spellcheck: "false",
    autocapitalize: plate ? "characters" : null, maxlength: plate ? 12 : ask.max ?? 20, testid: "answer-input", data: { autofocus: "" },
    value: draft.value ?? "", "aria-label": plate ? t("ask_plate") : t("ask_text"), placeholder: plate ? t("ask_plate_hint") : null,
    on: { input: () => { draft.value = field.value; clear(); } },
  });
  function submit(event) {
    event.preventDefault();
    const value = plate ? tidyPlate(field.value) : field.value.trim();
    if (value === "") return fail(text("ask_empty"));
    if (number && !inRange(value, ask)) return fail(numberHint("ask_number_bad", ask));
    act({ action: "answer", question: ask.id, value });
  }
  const form = h("form", { class: "typed", on: { submit } },
    h("div", { class: "typed-row" }, field,
      h("button", { class: "button primary", type: "submit", testid: "answer-ok", data: { primary: "" }, text: t("ask_ok") })),
    number ? h("p", { class: "hint", text: t("ask_number", { min: ask.min, max: ask.max }) }) : null,
    plate ? plateKeys(field) : null);
  if (!ask.photo?.sha256) return form;
  // The plate is read from the photograph, so it stays in sight; what the pass says does not.
  return h("div", { class: "plate-ask" },
    h("img", { class: "plate-photo", src: photoUrl(ask.photo.sha256), alt: t("plate_photo"), testid: "plate-photo" }), form);
}

function inRange(value, ask) {
  return /^-?\d+$/.test(value) && Number(value) >= ask.min && Number(value) <= ask.max;
}

function numberHint(key, ask) {
  const words = text(key);
  const filled = (s) => s.replace("{min}", ask.min).replace("{max}", ask.max);
  return { zh: filled(words.zh), en: filled(words.en) };
}

function askApprove(context) {
  const { ask, draft, act, officer } = context;
  const note = h("input", {
    class: "input", type: "text", maxlength: 200, autocomplete: "off", testid: "approve-note", value: draft.note ?? "",
    on: { input: () => { draft.note = note.value; } },
  });
  const noteField = h("label", { class: "field" }, h("span", { text: t("approve_note") }), note);
  const may = !ask.roles?.length || ask.roles.includes(officer?.role);
  if (!may) return approveByOther(context, note, noteField);
  const send = (approve) => act({ action: "approve", approve, note: note.value.trim() });
  return [
    noteField,
    h("div", { class: "approve step-end" },
      refuseButton(() => send(false)),
      h("button", { class: "button primary", type: "button", testid: "approve-yes", data: { primary: "" }, on: { click: () => send(true) } }, icon("tick"), h("span", { text: t("approve_yes") }))),
  ];
}

/** Only a supervisor mends a refusal: it takes a second tap, and not that of a double one. */
function refuseButton(send) {
  const words = h("span", { text: t("approve_no") });
  let armedAt = null;
  function disarm() {
    armedAt = null;
    words.textContent = t("approve_no");
    setData(button, { armed: null });
  }
  function press() {
    if (armedAt === null) {
      armedAt = performance.now();
      words.textContent = t("approve_no_sure");
      setData(button, { armed: "" });
      setTimeout(disarm, ARMED_MS);
    } else if (performance.now() - armedAt >= DEAD_MS) {
      disarm();
      send();
    }
  }
  const button = h("button", { class: "button danger", type: "button", testid: "approve-no", on: { click: press } }, icon("cross"), words);
  return button;
}

/** Whoever is signed in may not approve: one who may signs here, by name and PIN, and the desk stays whose it is. */
function approveByOther({ ask, draft, act, fault }, note, noteField) {
  const roles = ask.roles.map((role) => t(`role_${role}`)).join(t("or"));
  const other = otherOfficer({
    prefix: "approve", nobody: t("approve_nobody"), okText: t("approve_yes"), draft, fault,
    may: (one) => ask.roles.includes(one.role),
  });
  const send = (approve) => other.sign((by, onRefused) => act({ action: "approve", approve, note: note.value.trim(), by }, onRefused));
  return h("form", { class: "approve-other", on: { submit: (event) => { event.preventDefault(); send(true); } } },
    h("div", { class: "approve-who" },
      h("p", { class: "hint", testid: "approve-other", text: t("approve_wait", { roles }) }), other.names, noteField,
      refuseButton(() => send(false))),
    h("div", { class: "approve-sign" }, other.pad));
}
