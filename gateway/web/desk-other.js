// Whoever is not signed in here signs one thing by name and PIN, and the desk stays whose it is.

import { getOfficers } from "./api.js";
import { fill, h, radioGroup } from "./dom.js";
import { pinInput, pinPad, refusePin } from "./pinpad.js";
import { t, text } from "./strings.js";

/**
 * The parts of a form in which another officer signs.
 * @param {{prefix: string, may: function({id, role}): boolean, nobody: string, okText: string, draft: object, fault: object}} options
 *   `prefix` starts each test id, `nobody` is said where none may, `draft` keeps the choice over a redraw.
 * @returns {{names: Element, pad: Element[], sign: function(function({officer, pin}, function))}} `sign` takes the PIN
 *   off the screen and hands it on with what a refusal needs; without a name or a PIN it says so.
 */
export function otherOfficer({ prefix, may, nobody, okText, draft, fault }) {
  const pin = pinInput(`${prefix}-pin`);
  const names = h("div", {});
  const choice = (one) => h("button", {
    class: "button officer-choice", type: "button", role: "radio", "aria-checked": String(draft.by === one.id),
    testid: `${prefix}-officer-${one.id}`,
    on: { click: (event) => {
      draft.by = one.id;
      draft.byName = one.name;
      for (const button of names.querySelectorAll("[role=radio]")) button.setAttribute("aria-checked", String(button === event.currentTarget));
      fault.clear();
    } },
  }, h("span", { text: one.name }), h("small", { text: t(`role_${one.role}`) }));
  getOfficers().then((officers) => {
    const able = officers.filter(may);
    fill(names, able.length === 0 ? h("p", { text: nobody })
      : radioGroup({ class: "officers small", "aria-label": t("signin_pick") }, able.map(choice)));
  }, (error) => {
    if (!error.words) throw error;
    fault.show(error.words);
  });

  async function sign(send) {
    if (!draft.by) return fault.show(text("signin_choose_first"));
    if (!pin.value) return fault.show(text("signin_no_pin"));
    const typed = pin.value;
    // A PIN never stays on the screen.
    pin.value = "";
    await send({ officer: draft.by, pin: typed }, (words, error) => refusePin(fault, error, draft.byName));
  }

  return { names, pad: [pin, pinPad({ prefix, target: () => pin, okText })], sign };
}
