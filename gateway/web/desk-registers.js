// The registers of a lane: who is inside, which rooms, bags and cards are held. Staff search them, and correct what is
// not so, by name and with a reason.

import { ApiError, getRegister } from "./api.js";
import { fill, h, radioGroup } from "./dom.js";
import { openDialog } from "./desk-dialogs.js";
import { reasonChoice } from "./desk-reasons.js";
import { age, dateTime } from "./format.js";
import { icon } from "./icons.js";
import { letterKeys } from "./letters.js";
import { has, t, text } from "./strings.js";

const CORRECT_REASONS = ["left_unseen", "never_came", "wrong_entry", "void"];

export function registerName(name) {
  return has(`register_${name}`) ? t(`register_${name}`) : name;
}

export function openRegisters(lane, names, act, noteMax, refuses) {
  openDialog("registers", t("registers_title"), (close, fault) => {
    let current = names[0];
    let slots = [];
    const list = h("div", { class: "slots", "aria-live": "polite", tabindex: "0", "aria-label": t("registers_title") });
    const field = h("input", {
      class: "input", type: "search", autocomplete: "off", maxlength: 80, testid: "register-find", "aria-label": t("register_find"), placeholder: t("register_find"),
      on: { input: draw },
    });
    const tabs = names.map((name) => h("button", {
      class: "button", type: "button", role: "radio", "aria-checked": String(name === current), testid: `register-${name}`, text: registerName(name),
      on: { click: (event) => {
        for (const tab of tabs) tab.setAttribute("aria-checked", String(tab === event.currentTarget));
        current = name;
        load();
      } },
    }));

    async function load() {
      if (refuses()) return;
      fault.clear();
      try {
        slots = await getRegister(lane, current);
        draw();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        fault.show(error.words);
      }
    }

    function draw() {
      const wanted = field.value.trim().toLowerCase();
      const found = slots.filter((slot) => wanted === "" || [slot.key, slot.holder, slot.key_name, slot.holder_name].some((one) => one?.toLowerCase().includes(wanted)));
      fill(list,
        h("p", { class: "hint", testid: "register-count", text: t("register_count", { n: found.length }) }),
        found.length === 0 ? h("p", { class: "quiet", testid: "register-none", text: t("register_none") }) : h("ul", {}, found.map(row)));
    }

    function row(slot, at) {
      const same = slot.key === slot.holder;
      const who = slot.holder_name ?? (slot.holder.startsWith("#") ? null : slot.holder);
      const what = slot.key_name ?? (slot.key.startsWith("#") ? null : slot.key);
      const seconds = slot.since ? (Date.now() - Date.parse(slot.since)) / 1000 : null;
      return h("li", { class: "slot", testid: `slot-${at + 1}`, data: { overdue: slot.overdue ? "" : null } },
        h("span", { class: "slot-who" },
          h("b", { text: (same ? who ?? what : [what, who].filter(Boolean).join(" · ")) || t("register_unknown") }),
          h("small", { title: dateTime(slot.since), text: [seconds === null ? null : t("register_since", { age: age(Math.max(seconds, 0)) }), slot.lane, slot.amount ? String(slot.amount) : null, slot.until ? t("register_until", { at: dateTime(slot.until) }) : null].filter(Boolean).join(" · ") })),
        slot.overdue ? h("span", { class: "state", data: { level: "bad" } }, icon("warn"), t("open_overdue")) : null,
        h("button", { class: "button", type: "button", testid: `slot-take-${at + 1}`, on: { click: () => correct(slot, who ?? what) } }, icon("cross"), h("span", { text: t("register_take") })));
    }

    function correct(slot, who) {
      const register = current;
      openDialog("correct", `${t("register_take")} · ${registerName(register)} · ${who ?? t("register_unknown")}`, (shut, wrong) => {
        const reason = reasonChoice("correct", CORRECT_REASONS, noteMax, wrong.clear);
        const submit = async (event) => {
          event.preventDefault();
          if (reason.give() === "") return wrong.show(text("reason_needed"));
          const body = { action: "correct", register, key: slot.key, holder: slot.holder, act: "take", reason: reason.give() };
          if (await act(body, wrong.show)) {
            shut();
            openRegisters(lane, names, act, noteMax, refuses);
          }
        };
        return h("form", { class: "reasons", on: { submit } }, h("p", { text: t("correct_text") }), reason.element,
          h("div", { class: "form-end" },
            h("button", { class: "button danger", type: "submit", testid: "correct-ok" }, icon("cross"), h("span", { text: t("register_take") }))));
      });
    }

    load();
    return [
      names.length > 1 ? radioGroup({ class: "register-tabs", "aria-label": t("registers_title") }, tabs) : h("h3", { text: registerName(current) }),
      field, letterKeys("register", () => field, false), list,
    ];
  });
}
