// A box that has taken the place of another admits nobody whom a use or a hold may stop until its neighbours have
// told it what they know. Here a supervisor takes the risk: by PIN, and with a reason that goes on record.

import { postRelease } from "./api.js";
import { openDialog } from "./desk-dialogs.js";
import { h } from "./dom.js";
import { pinInput, pinPad } from "./pinpad.js";
import { t, text } from "./strings.js";

export function openRelease(session, refuses) {
  openDialog("uses", t("uses_title"), (close, fault) => {
    const reason = h("textarea", { class: "input", rows: 2, maxlength: 160, testid: "uses-reason" });
    const pin = pinInput("uses-pin");
    const submit = async (event) => {
      event.preventDefault();
      if (refuses()) return;
      if (reason.value.trim() === "") return fault.show(text("uses_need_reason"));
      if (pin.value === "") return fault.show(text("override_need_pin"));
      try {
        await postRelease(session.officer, { reason: reason.value.trim(), pin: pin.value });
        close();
      } catch (error) {
        if (!error.words) throw error;
        // A PIN never stays on the screen after it was refused.
        pin.value = "";
        fault.show(error.words);
      }
    };
    return h("form", { class: "override", on: { submit } },
      h("div", { class: "override-what" }, h("p", { text: t("uses_text") }),
        h("label", { class: "field" }, h("span", { text: t("uses_reason") }), reason)),
      h("div", { class: "override-sign" },
        h("label", { class: "field" }, h("span", { text: t("override_pin") }), pin),
        pinPad({ prefix: "uses", target: () => pin, okText: t("uses_ok") })));
  });
}
