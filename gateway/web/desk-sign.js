// Signatures of a confirm step: who has signed, whose turn it is. Whoever is not signed in here signs by name and PIN,
// and the desk stays whose it is.

import { h } from "./dom.js";
import { otherOfficer } from "./desk-other.js";
import { officerName } from "./desk-view.js";
import { icon } from "./icons.js";
import { t } from "./strings.js";

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
  const signed = signatures.map((one) => one.by).filter(Boolean);
  const open = signatures.filter((one) => !one.by);
  const other = otherOfficer({
    prefix: "sign", nobody: t("sign_nobody"), okText: t("sign_ok"), draft, fault,
    may: (one) => !signed.includes(one.id) && open.some((place) => mayAs(place.roles, one.role)),
  });
  const submit = (event) => {
    event.preventDefault();
    if (ready()) other.sign(send);
  };
  return h("form", { class: "approve-other", on: { submit } },
    h("div", { class: "approve-who" }, h("p", { class: "hint", testid: "sign-other", text: t("sign_other", { roles: open.map((one) => rolesOf(one.roles)).join(t("names_join")) }) }), other.names),
    h("div", { class: "approve-sign" }, other.pad));
}
