// The trace dialog: where a person was, or who passed a lane. The central server asks all gateways;
// the dialog shows the progress and the merged results while they come.
//
// data-testid: trace-dialog, trace-by-person, trace-by-subject, trace-by-lane, trace-key, trace-from, trace-to,
// trace-by, trace-you, trace-purpose, trace-start, trace-error, trace-close, and those of fleet-trace-result.js.

import { byId, h, setData, setText, show } from "./dom.js";
import { getTrace, postTrace, wordsOf } from "./fleet-api.js";
import { setView } from "./fleet-hash.js";
import { t, text, translate } from "./fleet-strings.js";
import { createResult } from "./fleet-trace-result.js";
import { icon } from "./icons.js";
import { pick } from "./strings.js";

const POLL_MS = 300;
const RETRY_MS = 2_000;
const DAY_MS = 86_400_000;

export function createTrace() {
  const form = createForm(start);
  const fault = h("p", { class: "fault", role: "alert", testid: "trace-error", hidden: true });
  const result = createResult();
  const closer = h("button", { class: "button", type: "button", testid: "trace-close", data: { ftLabel: "close" }, on: { click: () => dialog.close() } }, icon("cross"));
  const dialog = h("dialog", { class: "trace", testid: "trace-dialog", "aria-labelledby": "trace-title", on: { close: () => setView({ trace: "" }) } },
    h("div", { class: "trace-head" }, h("h2", { id: "trace-title", data: { ft: "tr_title" } }), closer),
    form.element, fault, result.element);
  byId("dialogs").append(dialog);
  let shown = "";
  let words = null;
  let busy = false;
  let timer = null;

  /** Shows the trace that the address names: none, a new one, or one that was asked before. */
  function set(wanted) {
    if (wanted === shown) return;
    shown = wanted;
    clearTimeout(timer);
    say(null);
    result.clear();
    if (shown === "") return dialog.open ? dialog.close() : undefined;
    if (!dialog.open) open();
    if (shown !== "new") poll(shown);
  }

  function open() {
    form.prepare();
    dialog.showModal();
    form.focus();
  }

  async function start(question) {
    if (busy) return;
    const wrong = complaint(question);
    say(wrong ? text(wrong) : null);
    if (wrong) return form.focus(wrong);
    busy = true;
    form.setBusy(true);
    try {
      const { id } = await postTrace(question);
      if (dialog.open) setView({ trace: String(id) });
    } catch (error) {
      say(wordsOf(error));
    } finally {
      busy = false;
      form.setBusy(false);
    }
  }

  async function poll(id) {
    let pause = POLL_MS;
    try {
      const progress = await getTrace(id);
      if (id !== shown) return;
      say(null);
      result.draw(progress);
      if (progress.done) return;
    } catch (error) {
      if (id !== shown) return;
      say(wordsOf(error));
      const over = error.status >= 400 && error.status < 500;
      result.lose(over);
      if (over) return;
      pause = RETRY_MS;
    }
    timer = setTimeout(() => poll(id), pause);
  }

  function say(next) {
    words = next;
    setText(fault, words ? pick(words) : "");
    show(fault, words !== null);
  }

  function relabel() {
    translate(dialog);
    form.relabel();
    result.relabel();
    say(words);
  }

  return { set, relabel, you: form.you };
}

function complaint({ person, subject, lane, from, to, by, purpose }) {
  if (!person && !subject && !lane) return "tr_need_key";
  if (!from || !to) return "tr_need_time";
  if (from >= to) return "tr_need_order";
  if (by === "") return "tr_need_name";
  return purpose ? null : "tr_need_purpose";
}

function createForm(onAsk) {
  const by = { person: radio("person", true), subject: radio("subject", false), lane: radio("lane", false) };
  const key = h("input", { class: "input", type: "text", autocomplete: "off", spellcheck: "false", maxlength: 200, testid: "trace-key" });
  const keyName = h("span");
  const from = h("input", { class: "input", type: "datetime-local", step: 1, testid: "trace-from" });
  const to = h("input", { class: "input", type: "datetime-local", step: 1, testid: "trace-to" });
  const name = h("input", { class: "input", type: "text", autocomplete: "name", maxlength: 100, "aria-required": "true", testid: "trace-by" });
  const nameField = field(named("tr_name"), name, "asker");
  const signedIn = h("p", { class: "asker", testid: "trace-you", hidden: true });
  const purpose = h("input", { class: "input", type: "text", autocomplete: "off", maxlength: 500, "aria-required": "true", testid: "trace-purpose" });
  const ask = h("button", { class: "button primary", type: "submit", testid: "trace-start", data: { ft: "tr_ask" } });
  const choice = h("fieldset", { class: "by", on: { change: relabel } }, h("legend", { data: { ft: "tr_by" } }), ...Object.values(by));
  const element = h("form", { class: "trace-form", novalidate: true, on: { submit } },
    choice, field(keyName, key), field(named("tr_from"), from), field(named("tr_to"), to), nameField, signedIn, field(named("tr_purpose"), purpose, "purpose"), ask);
  const places = { tr_need_time: from, tr_need_order: to, tr_need_name: name, tr_need_purpose: purpose };
  let who = { name: null, asked: true };

  function submit(event) {
    event.preventDefault();
    const typed = key.value.trim();
    onAsk({
      person: chosen() === "person" && typed ? typed : null,
      subject: chosen() === "subject" && typed ? typed : null,
      lane: chosen() === "lane" && typed ? typed : null,
      from: instant(from.value), to: instant(to.value), purpose: purpose.value.trim(),
      by: who.asked ? name.value.trim() : null,
    });
  }

  /** Who asks: the sign-in in front of the page says it, or a name is asked for. */
  function you(next) {
    who = next ?? who;
    show(nameField, who.asked);
    show(signedIn, !who.asked);
    setText(signedIn, who.asked ? "" : who.name ? t("tr_you", { name: who.name }) : t("tr_you_missing"));
    setData(signedIn, { level: who.asked || who.name ? null : "bad" });
  }

  function chosen() {
    return Object.keys(by).find((name) => by[name].firstElementChild.checked);
  }

  function relabel() {
    setText(keyName, t(`tr_${chosen()}`));
    you();
  }

  function prepare() {
    const now = new Date();
    if (!to.value) to.value = local(now);
    if (!from.value) from.value = local(new Date(now.getTime() - DAY_MS));
    relabel();
  }

  return {
    element, prepare, relabel, you,
    focus: (wrong) => (places[wrong] ?? key).focus(),
    setBusy: (on) => { ask.disabled = on; },
  };
}

function radio(value, checked) {
  return h("label", { class: "by-one" },
    h("input", { type: "radio", name: "trace-by", value, checked, testid: `trace-by-${value}` }), h("span", { data: { ft: `tr_${value}` } }));
}

function field(name, input, kind = "") {
  return h("label", { class: `field ${kind}`.trim() }, name, input);
}

function named(key) {
  return h("span", { data: { ft: key } });
}

/** A local date and time of the form as an instant; "" if it is none. */
function instant(typed) {
  const at = new Date(typed);
  return typed === "" || Number.isNaN(at.getTime()) ? "" : at.toISOString();
}

function local(at) {
  const shifted = new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}
