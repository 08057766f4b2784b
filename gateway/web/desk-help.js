// What each reason code means and what to do about it: those of the visit on the desk first.

import { getCodes } from "./api.js";
import { fill, h } from "./dom.js";
import { openDialog } from "./desk-dialogs.js";
import { pick, t } from "./strings.js";

/** @param {{code: string}[]} current the codes of the verdict that is shown */
export function openHelp(current) {
  openDialog("help", t("help_title"), (close, fault) => {
    const list = h("dl", { class: "codes", tabindex: "0", "aria-label": t("help_title") });
    const here = new Set(current.map((one) => one.code));
    getCodes().then((codes) => {
      const shown = codes.filter((one) => pick(one.advice) !== "");
      fill(list, [...shown.filter((one) => here.has(one.code)), ...shown.filter((one) => !here.has(one.code))].map((one) =>
        h("div", { class: "code", testid: `help-${one.code}`, data: { here: here.has(one.code) ? "" : null } },
          h("dt", {}, h("b", { text: pick(one.text) }), " ", h("small", { text: one.second_sign ? `${one.code} ✍` : one.code })),
          h("dd", { text: pick(one.advice) }))));
    }, (error) => {
      if (!error.words) throw error;
      fault.show(error.words);
    });
    return [h("p", { class: "hint", text: t("help_second") }), list];
  });
}
