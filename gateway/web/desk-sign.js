// Signatures of a confirm step: who has signed, whose turn it is. Whoever is not signed in here signs by name and PIN,
// and the desk stays whose it is.

import { getOfficers } from "./api.js";
import { fill, h, radioGroup } from "./dom.js";
import { officerName } from "./desk-view.js";
import { icon } from "./icons.js";
import { pinInput, pinPad, refusePin } from "./pinpad.js";
import { t, text } from "./strings.js";

const rolesOf = (roles) => (roles.length === 0 ? t("sign_anybody") : roles.map((role) => t(`role_${role}`)).join(t("or")));

/** Which place an officer may sign now; null if none. */
export function placeOf(signatures, officer) {
  if (!officer || signatures.some((one) => one.by === officer.officer)) return null;
  const at = signatures.findIndex((one) => !one.by && mayAs(one.roles, officer.role));
  return at < 0 ? null : at;
}

function mayAs(roles, role) {
  return roles.length === 0 ? role !== "admin" : roles.includes(role);
}

/** The places, each with who has signed it or who may. */
export function signatureList(signatures, officer) {
  const mine = placeOf(signatures, officer);
  return h("ol", { class: "signatures", testid: "signatures" }, signatures.map((one, at) => {
    const state = one.by ? "signed" : at === mine ? "turn" : "waits";
    return h("li", { class: "signature", testid: `signature-${at + 1}`, data: { state, by: one.by ?? null } },
      icon({ signed: "ok", turn: "pen", waits: "off" }[state]),
      h("b", { text: rolesOf(one.roles) }),
      h("span", { text: one.by ? t("sign_by", { name: officerName(one.by) }) : t(state === "turn" ? "sign_turn" : "sign_waits") }));
  }));
}

/** The form with which somebody else signs here. `send(by, onRefused)` posts it; `ready` says whether all is ticked. */
export function signByOther({ signatures, draft, fault, ready, send }) {
  const pin = pinInput("sign-pin");
  const names = h("div", {});
  const signed = signatures.map((one) => one.by).filter(Boolean);
  const open = signatures.filter((one) => !one.by);
  getOfficers().then((officers) => {
    const able = officers.filter((one) => !signed.includes(one.id) && open.some((place) => mayAs(place.roles, one.role)));
    fill(names, able.length === 0 ? h("p", { text: t("sign_nobody") })
      : radioGroup({ class: "officers small", "aria-label": t("signin_pick") }, able.map((one) => h("button", {
        class: "button officer-choice", type: "button", role: "radio", "aria-checked": String(draft.by === one.id), testid: `sign-officer-${one.id}`,
        on: { click: (event) => {
          draft.by = one.id;
          draft.byName = one.name;
          for (const button of names.querySelectorAll("[role=radio]")) button.setAttribute("aria-checked", String(button === event.currentTarget));
          fault.clear();
        } },
      }, h("span", { text: one.name }), h("small", { text: t(`role_${one.role}`) })))));
  }, (error) => {
    if (!error.words) throw error;
    fault.show(error.words);
  });

  async function submit(event) {
    event.preventDefault();
    if (!ready()) return;
    if (!draft.by) return fault.show(text("signin_choose_first"));
    if (!pin.value) return fault.show(text("signin_no_pin"));
    const typed = pin.value;
    // A PIN never stays on the screen.
    pin.value = "";
    await send({ officer: draft.by, pin: typed }, (words, error) => refusePin(fault, error, draft.byName));
  }

  return h("form", { class: "approve-other", on: { submit } },
    h("div", { class: "approve-who" }, h("p", { class: "hint", testid: "sign-other", text: t("sign_other", { roles: open.map((one) => rolesOf(one.roles)).join(t("names_join")) }) }), names),
    h("div", { class: "approve-sign" }, pin, pinPad({ prefix: "sign", target: () => pin, okText: t("sign_ok") })));
}
