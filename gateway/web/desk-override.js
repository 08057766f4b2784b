// The override: another outcome, a reason, a note, the officer's PIN and, when the gateway asks for
// it, a supervisor's. The dialog keeps the visit it was opened for, even if the lane moves on.

import { getOfficers } from "./api.js";
import { fill, h, radioGroup, show } from "./dom.js";
import { icon } from "./icons.js";
import { openDialog } from "./desk-dialogs.js";
import { outcomeBadge } from "./desk-view.js";
import { timeOfDay } from "./format.js";
import { pinInput, pinPad, refusePin } from "./pinpad.js";
import { pick, t, text } from "./strings.js";

const OUTCOMES = ["ADMIT", "REFER", "HOLD", "DENY"];
const SECOND_ROLES = ["supervisor"];

/** The visits that can be overridden, the latest first, each with what the officer must see of it. */
function overridable(desk) {
  const front = desk?.visit?.overridable ? [{
    id: desk.visit.id, who: desk.visit.name ?? desk.visit.pass?.facts?.[0]?.value, at: desk.visit.started,
    final: desk.visit.verdict.final, why: desk.visit.verdict.codes.map((code) => code.text), second: desk.visit.second_sign,
  }] : [];
  return [...front, ...(desk?.last_visits ?? []).filter((row) => row.overridable).map(targetOf)];
}

/** A row of the latest visits as a target. */
function targetOf(row) {
  return { id: row.id, who: row.who, at: row.at, final: row.final, why: row.why, second: row.detail?.second_sign };
}

/** Without a choice: the latest that was not admitted. An admitted one is never taken unasked. */
export function overrideTarget(desk) {
  return overridable(desk).find((visit) => visit.final !== "ADMIT") ?? null;
}

function targetWords(target) {
  const why = (target.why ?? []).map(pick).filter(Boolean).join("、");
  return [`#${target.id}`, target.who, timeOfDay(target.at), "·", t(`outcome_${target.final}`), "·", why].filter(Boolean).join(" ");
}

/** Opens the override of a row, of the latest that was not admitted, or the choice. */
export function openOverride(desk, session, act, row = null) {
  const target = row ? targetOf(row) : overrideTarget(desk);
  if (!target) return openChoice(desk, session, act);
  openDialog("override", `${t("override_title")} · ${targetWords(target)}`, (close, fault) =>
    overrideForm({ target, desk, session, act, close, fault }));
}

function openChoice(desk, session, act) {
  openDialog("choose", t("override_choose"), () => {
    const all = overridable(desk);
    if (all.length === 0) return h("p", { text: t("override_none") });
    return h("div", { class: "choose" }, all.map((target) => h("button", {
      class: "button", type: "button", testid: `choose-${target.id}`,
      on: { click: () => openDialog("override", `${t("override_title")} · ${targetWords(target)}`, (close, fault) =>
        overrideForm({ target, desk, session, act, close, fault })) },
    }, outcomeBadge(target.final), h("span", { text: targetWords(target) }))));
  });
}

function overrideForm({ target, desk, session, act, close, fault }) {
  const form = { outcome: null, reason: null, second: null, needSecond: Boolean(target.second) };
  const pin = pinInput("override-pin");
  const secondPin = pinInput("override-second-pin");
  const note = h("textarea", { class: "input", rows: 1, maxlength: desk.note_max, testid: "override-note" });
  const noteLabel = h("span", { text: t("override_note") });
  const secondOfficers = h("div", {});
  const names = new Map([[session.officer, session.name]]);
  const second = h("div", { class: "second", testid: "override-second" },
    h("div", {}, h("h3", { text: t("override_second") }), secondOfficers),
    h("label", { class: "field" }, h("span", { text: t("override_second_pin") }), secondPin));
  let padTarget = pin;
  for (const field of [pin, secondPin]) field.addEventListener("focus", () => { padTarget = field; });

  function radio(testid, group, value, ...content) {
    return h("button", {
      class: "button", type: "button", role: "radio", "aria-checked": "false", testid, data: { group },
      on: { click: (event) => {
        form[group] = value;
        for (const other of event.currentTarget.parentElement.children) other.setAttribute("aria-checked", String(other === event.currentTarget));
        noteLabel.textContent = t(reasonNeedsNote() ? "override_note_needed" : "override_note");
        fault.clear();
      } },
    }, content);
  }

  function reasonNeedsNote() {
    return Boolean(desk.override_reasons.find((reason) => reason.id === form.reason)?.needs_note);
  }

  // Whether a farewell needs a second officer is the profile's to say: the gateway answers.
  function mayBeAlone() {
    return form.reason === "end_of_life" && !form.second;
  }

  async function askSecond() {
    form.needSecond = true;
    show(second, true);
    padTarget = secondPin;
    if (secondOfficers.firstChild) return;
    try {
      const officers = await getOfficers();
      const others = officers.filter((officer) => SECOND_ROLES.includes(officer.role) && officer.id !== session.officer);
      fill(secondOfficers, others.length === 0 ? h("p", { text: t("override_second_none") })
        : radioGroup({ class: "officers small", "aria-label": t("override_second") },
          others.map((officer) => radio(`override-second-${officer.id}`, "second", officer.id, officer.name))));
      for (const officer of officers) names.set(officer.id, officer.name);
    } catch (error) {
      if (!error.words) throw error;
      fault.show(error.words);
    }
  }

  function missing() {
    if (!form.outcome) return "override_need_outcome";
    if (!form.reason) return "override_need_reason";
    if (reasonNeedsNote() && note.value.trim() === "") return "override_need_note";
    if (pin.value === "") return "override_need_pin";
    if (form.needSecond && !mayBeAlone() && (!form.second || secondPin.value === "")) return "override_need_second";
    return null;
  }

  function refused(words, error) {
    if (error?.code === "second_sign_needed") {
      askSecond();
      return fault.show(words);
    }
    // A PIN never stays on the screen after it was refused; the other one need not be typed again.
    const whose = error?.officer;
    const isSecond = Boolean(whose) && whose === form.second;
    if (!isSecond) pin.value = "";
    if (whose !== session.officer) secondPin.value = "";
    padTarget = isSecond ? secondPin : pin;
    refusePin(fault, error, names.get(whose));
    padTarget.focus();
  }

  async function submit(event) {
    event?.preventDefault();
    const lacking = missing();
    if (lacking) return fault.show(text(lacking));
    const done = await act({
      action: "override", visit: target.id, outcome: form.outcome, reason: form.reason, note: note.value.trim(), pin: pin.value,
      second: form.needSecond && !mayBeAlone() ? { officer: form.second, pin: secondPin.value } : null,
    }, refused);
    if (done) close();
  }

  show(second, false);
  if (form.needSecond) {
    askSecond();
    padTarget = pin;
  }
  return h("form", { class: "override", on: { submit } },
    h("div", { class: "override-what" },
      h("h3", { text: t("override_outcome") }),
      radioGroup({ class: "override-outcomes", "aria-label": t("override_outcome") },
        OUTCOMES.map((outcome) => radio(`override-outcome-${outcome}`, "outcome", outcome, icon(outcome), h("span", { text: t(`outcome_${outcome}`) })))),
      h("h3", { text: t("override_reason") }),
      radioGroup({ class: "override-reasons", "aria-label": t("override_reason") },
        desk.override_reasons.map((reason) => radio(`override-reason-${reason.id}`, "reason", reason.id, pick(reason.text)))),
      second),
    h("div", { class: "override-sign" },
      h("label", { class: "field" }, noteLabel, note),
      h("label", { class: "field" }, h("span", { text: t("override_pin") }), pin),
      pinPad({ prefix: "override", target: () => padTarget, okText: t("override_ok") })));
}
