// The command sheet at the desk: what was gathered by its codes, and a scanner that acts as a keyboard. The lane's own
// scanner speaks to the gateway; one that is plugged into this machine types a code here, which is sent as it is.

import { byId, fill, h, setData, show } from "./dom.js";
import { icon } from "./icons.js";
import { pick, t } from "./strings.js";

/** What every command code begins with. */
const SCHEME = "KC1:";
/** Keys of a scanner come within this time of each other. */
const BURST_MS = 60;

export function drawSheet(sheet, nameOf) {
  const root = byId("sheet");
  show(root, Boolean(sheet));
  setData(root, { taken: sheet?.said ? sheet.said.taken : null, officer: sheet?.officer ?? null });
  if (!sheet) return fill(root);
  const { said, next, typed, gathered } = sheet;
  fill(root,
    h("h2", {}, icon("scan"), `${t("sheet_title")} `, h("small", { testid: "sheet-officer", text: sheet.officer ? t("sheet_by", { who: nameOf(sheet.officer) }) : t("sheet_nobody") })),
    said ? h("p", { class: "sheet-said", testid: "sheet-said", text: pick(said.text) }) : null,
    gathered.length === 0 ? null : h("dl", {}, gathered.map((one) => [
      h("dt", { text: pick(one.label) }), h("dd", { text: one.text ? `${pick(one.text)}` : one.value })])),
    typed || next ? h("p", { class: "sheet-next", testid: "sheet-next" },
      next ? `${pick(next)}: ` : null, h("b", { testid: "sheet-typed", text: typed ? `${typed}_` : "…" })) : null);
}

/** Calls back with each command code that a scanner types into this page; what it has typed into a field is taken back. */
export function listenSheet(onCode) {
  let burst = "";
  let lastAt = -Infinity;
  let field = null;
  let before = "";
  addEventListener("keydown", (event) => {
    // Shift comes by itself before a large letter.
    if (event.key.length > 1 && event.key !== "Enter") return;
    const goesOn = event.timeStamp - lastAt < BURST_MS;
    lastAt = event.timeStamp;
    if (!goesOn) {
      burst = "";
      field = event.target instanceof Element && event.target.matches("input, textarea") ? event.target : null;
      before = field?.value ?? "";
    }
    if (event.key !== "Enter") {
      burst += event.key;
      return;
    }
    const code = burst;
    burst = "";
    if (!goesOn || !code.startsWith(SCHEME)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (field) {
      field.value = before;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    // Behind an open window no button could be pressed either.
    if (!document.querySelector("dialog[open]")) onCode(code);
  }, true);
}
