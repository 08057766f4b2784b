// Dialogs that ask for a reason: print a slip again, correct a register.

import { h, radioGroup } from "./dom.js";
import { icon } from "./icons.js";
import { openDialog } from "./desk-dialogs.js";
import { t, text } from "./strings.js";

const REPRINT_REASONS = ["torn", "unreadable", "lost", "not_printed"];

/** Reasons to choose from, with room for words of one's own. `give()` is what was chosen or written. */
export function reasonChoice(prefix, reasons, noteMax, clear) {
  let chosen = "";
  const note = h("input", {
    class: "input", type: "text", maxlength: noteMax, autocomplete: "off", testid: `${prefix}-note`, "aria-label": t("reason_own"), placeholder: t("reason_own"),
    on: { input: clear },
  });
  const buttons = reasons.map((reason) => h("button", {
    class: "button", type: "button", role: "radio", "aria-checked": "false", testid: `${prefix}-reason-${reason}`, text: t(`reason_${reason}`),
    on: { click: (event) => {
      chosen = t(`reason_${reason}`);
      for (const button of buttons) button.setAttribute("aria-checked", String(button === event.currentTarget));
      clear();
    } },
  }));
  return {
    element: [radioGroup({ class: "override-reasons", "aria-label": t("override_reason") }, buttons), note],
    give: () => [chosen, note.value.trim()].filter(Boolean).join(": "),
  };
}

/** The slip of a visit comes again as it was, and why is on record. */
export function openReprint(row, act, noteMax, step = null) {
  openDialog("reprint", `${t("reprint")} #${row.id} ${row.who ?? ""}`.trim(), (close, fault) => {
    const reason = reasonChoice("reprint", REPRINT_REASONS, noteMax, fault.clear);
    const submit = async (event) => {
      event.preventDefault();
      if (reason.give() === "") return fault.show(text("reason_needed"));
      const body = { action: "reprint", visit: row.id, reason: reason.give() };
      if (await act(step ? { ...body, step } : body, fault.show)) close();
    };
    return h("form", { class: "reasons", on: { submit } },
      h("p", { text: t("reprint_text") }), reason.element,
      h("div", { class: "form-end" }, h("button", { class: "button primary", type: "submit", testid: "reprint-ok" }, icon("print"), h("span", { text: t("reprint") }))));
  });
}
