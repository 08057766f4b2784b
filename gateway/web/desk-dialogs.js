// The small dialogs of the desk: type a code, find a name, cancel the visit. Each is a native
// <dialog>, so Esc closes it and the rest of the page is inert meanwhile.

import { searchName } from "./api.js";
import { byId, fill, h, radioGroup } from "./dom.js";
import { icon } from "./icons.js";
import { visitDetail } from "./desk-view.js";
import { timeOfDay } from "./format.js";
import { faultBox } from "./pinpad.js";
import { letterKeys } from "./letters.js";
import { plateKeys } from "./plate.js";
import { pick, t, text } from "./strings.js";

/** The gateway sends one more when there are more. */
const SEARCH_SHOWN = 20;
/** As much of an id as tells two people of one name apart. */
const ID_END = 4;

/**
 * Opens a dialog that removes itself when it closes.
 * @param {function(function(), object): (Node|Node[])} build gets `close` and the fault box
 */
export function openDialog(testid, title, build) {
  closeDialogs();
  const fault = faultBox(`${testid}-error`);
  const close = () => dialog.close();
  const dialog = h("dialog", { class: `dialog dialog-${testid}`, testid: `${testid}-dialog`, "aria-label": title, on: { close: () => dialog.remove() } });
  fill(dialog,
    h("div", { class: "dialog-head" },
      h("div", { class: "dialog-title" }, h("h2", { text: title }), h("div", { class: "fault-room" }, fault.element)),
      h("button", { class: "button", type: "button", testid: "dialog-close", "aria-label": `Esc: ${t("dialog_close")}`, on: { click: close } }, icon("cross"), h("kbd", { text: "Esc" }))),
    build(close, fault));
  byId("dialogs").append(dialog);
  dialog.showModal();
  return dialog;
}

export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
}

/** Beside which reader something counts, where a lane has two: the way in and the way out. Nothing is chosen before. */
function readerChoice(readers, fault) {
  if (!(readers?.length > 1)) return { element: null, on: {}, lacks: () => false };
  let role = null;
  const buttons = readers.map((reader) => h("button", {
    class: "button", type: "button", role: "radio", "aria-checked": "false", testid: `reader-${reader.role}`,
    on: { click: (event) => {
      role = reader.role;
      for (const button of buttons) button.setAttribute("aria-checked", String(button === event.currentTarget));
      fault.clear();
    } },
  }, icon(reader.direction), h("span", { text: `${t(`direction_${reader.direction}`)} · ${pick(reader.title)}` })));
  return {
    element: radioGroup({ class: "radios", "aria-label": t("direction") }, h("span", { class: "radios-label", text: t("direction") }), buttons),
    get on() { return { on: role }; },
    lacks() {
      if (role === null) fault.show(text("direction_needed"));
      return role === null;
    },
  };
}

/** Begins a visit without a code; where a lane has two readers, the direction is said first. */
export function begin(desk, act) {
  if (!(desk?.readers?.length > 1)) return act({ action: "start" });
  return openDialog("start", t("bar_start"), (close, fault) => h("div", { class: "choices" }, desk.readers.map((reader) => h("button", {
    class: "button choice", type: "button", testid: `start-${reader.role}`,
    on: { click: async () => { if (await act({ action: "start", on: reader.role }, fault.show)) close(); } },
  }, icon(reader.direction), h("span", { text: `${t(`direction_${reader.direction}`)} · ${pick(reader.title)}` })))));
}

/** Types what a scanner could not read. `withPlates` offers the plate keys as well. */
export function openEnter(act, withPlates, readers) {
  openDialog("enter", t("enter_title"), (close, fault) => {
    const reader = readerChoice(readers, fault);
    const field = h("input", {
      class: "input", type: "text", autocomplete: "off", spellcheck: "false", maxlength: 2000, testid: "enter-text",
      "aria-label": t("enter_label"), autofocus: true,
    });
    const submit = async (event) => {
      event.preventDefault();
      const typed = field.value.trim();
      if (typed === "") return fault.show(text("ask_empty"));
      if (reader.lacks()) return;
      if (await act({ action: "enter", text: typed, ...reader.on }, fault.show)) close();
    };
    return h("form", { class: "typed", on: { submit } }, reader.element,
      h("div", { class: "typed-row" }, field,
        h("button", { class: "button primary", type: "submit", testid: "enter-ok", text: t("ask_ok") })),
      letterKeys("enter", () => field),
      withPlates ? h("details", {}, h("summary", { class: "button", testid: "enter-plate-keys", text: t("enter_plate_keys") }), plateKeys(field)) : null);
  });
}

/** `refuses` says whether the desk takes no act; a name is found for nobody then either. */
export function openSearch(lane, act, refuses, readers) {
  openDialog("search", t("search_title"), (close, fault) => {
    const reader = readerChoice(readers, fault);
    const field = h("input", {
      class: "input", type: "search", autocomplete: "off", maxlength: 40, testid: "search-name", "aria-label": t("search_label"), placeholder: t("search_hint"), autofocus: true,
    });
    const results = h("div", { class: "results", "aria-live": "polite" });
    const submit = async (event) => {
      event.preventDefault();
      if (refuses()) return;
      if (field.value.trim() === "") return fault.show(text("ask_empty"));
      fault.clear();
      try {
        const found = await searchName(lane, field.value.trim());
        fill(results, found.length === 0 ? h("p", { class: "quiet", testid: "search-none", text: t("search_none") })
          : found.slice(0, SEARCH_SHOWN).map(result),
          found.length > SEARCH_SHOWN ? h("p", { class: "banner warn", testid: "search-more", text: t("search_more", { n: SEARCH_SHOWN }) }) : null);
      } catch (error) {
        if (!error.words) throw error;
        fault.show(error.words);
      }
    };
    const result = (person) => h("button", {
      class: "button result", type: "button", testid: `search-result-${person.id}`,
      on: { click: async () => { if (!reader.lacks() && await act({ action: "enter", text: person.id, ...reader.on }, fault.show)) close(); } },
    },
    h("b", { text: person.full_name || person.name }),
    h("span", { text: typeof person.detail === "string" ? person.detail : pick(person.detail) }),
    h("small", { text: `…${person.id.slice(-ID_END)}` }));
    return [
      reader.element,
      h("form", { class: "typed-row", on: { submit } }, field,
        h("button", { class: "button primary", type: "submit", testid: "search-ok", text: t("search_ok") })),
      letterKeys("search", () => field),
      results,
    ];
  });
}

/** A row of the latest visits, with everything that is kept of it and its override. */
export function openDetail(row, reasons, onOverride) {
  openDialog("detail", `${t("detail_title")} #${row.id} · ${timeOfDay(row.at)}`, (close) => [
    h("div", { class: "detail", testid: "detail", data: { visit: row.id } }, visitDetail(row, reasons)),
    row.overridable ? h("button", {
      class: "button primary", type: "button", testid: "detail-override", on: { click: () => { close(); onOverride(row); } },
    }, icon("pen"), h("span", { text: t("bar_override") })) : null,
  ]);
}

/** The visit that the dialog was opened for, and not the one that runs when it is answered. */
export function openCancel(act, visit) {
  openDialog("cancel", t("cancel_title"), (close, fault) => [
    h("p", { text: t("cancel_text") }),
    h("div", { class: "approve" },
      h("button", { class: "button", type: "button", testid: "cancel-back", text: t("dialog_close"), autofocus: true, on: { click: close } }),
      h("button", {
        class: "button danger", type: "button", testid: "cancel-ok", text: t("cancel_ok"),
        on: { click: async () => { if (await act({ action: "cancel", reason: "left", visit }, fault.show)) close(); } },
      })),
  ]);
}
