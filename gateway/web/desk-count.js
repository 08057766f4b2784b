// The Asks that count: codes one after another, people who come together.

import { h, setData } from "./dom.js";
import { icon } from "./icons.js";
import { outcomeBadge } from "./desk-view.js";
import { letterKeys } from "./letters.js";
import { t, text } from "./strings.js";

const LAST_LEVEL = { counted: "ok", again: "warn", unknown: "bad", full: "bad" };
/** Codes that are named; the others are counted. */
const CODES_SHOWN = 24;
const ARMED_MS = 5_000;
const DEAD_MS = 500;
/** So many people are chosen by a button. */
const PEOPLE_SHOWN = 12;

export function askTally({ ask, draft, act, fail, clear }) {
  const field = h("input", {
    class: "input", type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "characters", maxlength: 80,
    testid: "tally-code", "aria-label": t("tally_code"), placeholder: t("tally_code"), value: draft.code ?? "", data: { autofocus: "" },
    on: { input: () => { draft.code = field.value; clear(); } },
  });
  const missing = ask.missing ?? [];
  const unknown = ask.unknown ?? [];
  const [code, read] = ask.last ?? [];

  async function count(event) {
    event.preventDefault();
    const typed = field.value.trim();
    // Enter in an empty field ends the count, as it does outside of it.
    if (typed === "") return end.click();
    if (await act({ action: "tally", code: typed })) {
      draft.code = "";
      field.value = "";
    }
  }

  const end = sureButton({
    testid: "tally-done", words: t("tally_done"), sure: missing.length > 0 ? t("tally_done_missing", { n: missing.length }) : null,
    primary: true, run: () => act({ action: "tally_done" }),
  });

  return h("form", { class: "tally-form", on: { submit: count } },
    h("div", { class: "tally-now" },
      h("p", { class: "tally-count", testid: "tally-count", "aria-live": "polite", data: { count: ask.count } },
        h("b", { text: ask.count }), ask.expected === null || ask.expected === undefined ? null : h("span", { text: ` / ${ask.expected}` })),
      h("p", { class: "state tally-last", role: "status", testid: "tally-last", data: { level: LAST_LEVEL[read] ?? "off", read: read ?? null } },
        code ? [icon(LAST_LEVEL[read] ?? "off"), h("span", { text: `${code} · ${t(`tally_${read}`)}` })] : h("span", { text: t("tally_begin") }))),
    h("div", { class: "typed-row" }, field,
      h("button", { class: "button", type: "submit", testid: "tally-add", text: t("tally_add") })),
    codes("tally-missing", "tally_missing", missing, "warn"),
    codes("tally-unknown", "tally_unlisted", unknown, "bad"),
    ask.again > 0 ? h("p", { class: "hint", testid: "tally-again", text: t("tally_again_n", { n: ask.again }) }) : null,
    h("div", { class: "form-end step-end" }, h("p", { class: "hint", text: t("tally_hint") }), end),
    h("div", { class: "form-keys" }, letterKeys("tally", () => field)));
}

function codes(testid, key, list, level) {
  if (list.length === 0) return null;
  return h("div", { class: "tally-codes", testid },
    h("p", { class: "state", data: { level } }, icon(level), h("span", { text: `${t(key)} ${list.length}` })),
    h("ul", {}, list.slice(0, CODES_SHOWN).map((code) => h("li", { text: code })),
      list.length > CODES_SHOWN ? h("li", { text: t("banner_more", { n: list.length - CODES_SHOWN }) }) : null));
}

/** A button that takes a second tap, and not that of a double one, where something is amiss. */
export function sureButton({ testid, words, sure, primary, run }) {
  let armedAt = null;
  const label = h("span", { text: words });
  const button = h("button", {
    class: primary ? "button primary" : "button danger", type: "button", testid, data: { primary: primary ? "" : null },
    on: { click: () => {
      if (!sure) return run();
      if (armedAt === null) {
        armedAt = performance.now();
        label.textContent = sure;
        setData(button, { armed: "" });
        setTimeout(() => {
          armedAt = null;
          label.textContent = words;
          setData(button, { armed: null });
        }, ARMED_MS);
      } else if (performance.now() - armedAt >= DEAD_MS) run();
    } },
  }, label);
  return button;
}

/** How many there are; then who of them has come. */
export function askParty({ ask, desk, draft, act, fail, clear, begin }) {
  const { min = 1, max = 9, count = null, members = [] } = ask;
  if (count === null) {
    if (max - min < PEOPLE_SHOWN) {
      return h("div", { class: "choices numbers" }, Array.from({ length: max - min + 1 }, (_, i) => min + i).map((n) => h("button", {
        class: "button choice", type: "button", testid: `party-${n}`, data: { key: n }, on: { click: () => act({ action: "party", count: n }) },
      }, h("span", { text: n }))));
    }
    const field = h("input", {
      class: "input", type: "text", inputmode: "numeric", autocomplete: "off", maxlength: 3, testid: "party-count", "aria-label": t("party_count"),
      data: { autofocus: "" }, value: draft.count ?? "", on: { input: () => { draft.count = field.value; clear(); } },
    });
    const submit = (event) => {
      event.preventDefault();
      const n = Number(field.value.trim());
      if (!/^\d+$/.test(field.value.trim()) || n < min || n > max) return fail(text("field_bad_count"));
      act({ action: "party", count: n });
    };
    return h("form", { class: "typed", on: { submit } }, h("div", { class: "typed-row" }, field,
      h("button", { class: "button primary", type: "submit", testid: "party-ok", data: { primary: "" }, text: t("ask_ok") })),
      letterKeys("party", () => field, undefined, ["1234567890"], "digit_keys"));
  }
  return [
    h("p", { class: "hint", testid: "party-progress", text: t("party_progress", { n: members.length, m: count }) }),
    memberList(members, count),
    desk?.actions?.includes("start") ? h("button", {
      class: "button", type: "button", testid: "party-start", on: { click: begin },
    }, icon("pen"), h("span", { text: t("bar_start") })) : null,
  ];
}

/** Each who comes along, with what was said of them; those who have not come yet as empty places. */
export function memberList(members, count = members.length) {
  const empty = Math.max((count ?? 0) - members.length, 0);
  return h("ol", { class: "members", testid: "members" },
    members.map((one) => h("li", { class: "member", testid: `member-${one.id}`, data: { outcome: one.outcome ?? null, running: one.running ? "" : null } },
      one.outcome ? outcomeBadge(one.outcome) : h("span", { class: "state", data: { level: "off" } }, icon("wait"), h("span", { text: t("party_running") })),
      h("b", { text: one.who ?? `#${one.id}` }))),
    Array.from({ length: empty }, () => h("li", { class: "member empty" }, icon("off"), h("span", { text: t("party_to_come") }))));
}

