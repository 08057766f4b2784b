// What this lane did today: how many in each hour, and every verdict with a search in what stands there. Nobody is named:
// whose visit it was shows in 最近记录 as long as the desk keeps it.

import { ApiError, getCodes, getToday } from "./api.js";
import { fill, h } from "./dom.js";
import { openDialog } from "./desk-dialogs.js";
import { outcomeBadge } from "./desk-view.js";
import { timeOfDay, zoneName } from "./format.js";
import { hoursLegend, hoursPlot } from "./hours.js";
import { icon } from "./icons.js";
import { letterKeys } from "./letters.js";
import { pick, t } from "./strings.js";

const OUTCOMES = ["ADMIT", "REFER", "HOLD", "DENY"];

export function openToday(lane, refuses) {
  openDialog("today", t("today_title"), (close, fault) => {
    let today = null;
    let only = null;
    let words = new Map();
    /** A code that nobody knows stands as it is. */
    const codeWords = (code) => pick(words.get(code)) || code;
    const top = h("div", { class: "today-top" });
    const own = h("div", { class: "today-own", testid: "today-own", role: "note" });
    const list = h("div", { class: "today-list", tabindex: "0", role: "region", "aria-label": t("today_title") });
    const field = h("input", {
      class: "input", type: "search", autocomplete: "off", maxlength: 40, testid: "today-find", "aria-label": t("today_find"), placeholder: t("today_find"),
      on: { input: drawList },
    });

    async function load() {
      if (refuses()) return;
      try {
        const codes = await getCodes();
        words = new Map(codes.map((one) => [one.code, one.text]));
        today = await getToday(lane);
        drawTop();
        drawOwn(today.own);
        drawList();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        fault.show(error.words);
      }
    }

    function drawTop() {
      const sums = OUTCOMES.map((_, at) => today.counts.reduce((sum, hour) => sum + hour[at], 0));
      fill(top,
        h("div", { class: "today-sums" }, OUTCOMES.map((outcome, at) => h("button", {
          class: "button", type: "button", testid: `today-${outcome}`, "aria-pressed": String(only === outcome), data: { count: sums[at] },
          on: { click: () => {
            only = only === outcome ? null : outcome;
            drawTop();
            drawList();
            top.querySelector(`[data-testid="today-${outcome}"]`)?.focus();
          } },
        }, icon(outcome), h("span", { text: `${t(`outcome_${outcome}`)} ${sums[at]}` })))),
        hoursPlot("today", today.from, today.counts), hoursLegend());
    }

    /** Of whoever is signed in alone. */
    function drawOwn({ since, verdicts, overrides, second, approved, refused }) {
      const sum = (counts) => Object.values(counts).reduce((all, n) => all + n, 0);
      const each = (counts) => OUTCOMES.filter((outcome) => counts[outcome]).map((outcome) => h("span", { class: "today-own-one", data: { outcome } }, icon(outcome), ` ${t(`outcome_${outcome}`)} ${counts[outcome]}`));
      const more = [[second, "own_second"], [approved, "own_approved"], [refused, "own_refused"]].filter(([n]) => n > 0);
      fill(own,
        h("b", { text: t("own_title", { at: timeOfDay(since) }) }),
        h("span", { testid: "own-visits", data: { count: sum(verdicts) }, text: t("own_visits", { n: sum(verdicts) }) }), each(verdicts),
        sum(overrides) === 0 ? null : [h("span", { testid: "own-overrides", data: { count: sum(overrides) }, text: t("own_overrides", { n: sum(overrides) }) }), each(overrides)],
        more.map(([n, words]) => h("span", { text: t(words, { n }) })));
    }

    function drawList() {
      if (!today) return;
      const wanted = field.value.trim().toLowerCase();
      const says = (row) => [`#${row.visit ?? ""}`, timeOfDay(row.at), ...row.codes, ...row.codes.map(codeWords)];
      const found = today.rows.filter((row) => (only === null || row.outcome === only)
        && (wanted === "" || says(row).some((one) => one.toLowerCase().includes(wanted))));
      fill(list,
        h("p", { class: "hint", testid: "today-count", data: { count: found.length }, text: `${t("today_count", { n: found.length })}${today.truncated ? ` ${t("today_more", { n: today.rows.length })}` : ""}` }),
        h("ul", {}, found.map((row) => h("li", { class: "today-row", testid: "today-row", data: { outcome: row.outcome, visit: row.visit } },
          h("span", { class: "today-at", title: zoneName(), text: timeOfDay(row.at) }), outcomeBadge(row.outcome),
          h("span", { text: `${row.visit === null ? "" : `#${row.visit} `}${row.codes.filter((code) => code !== "OK").map(codeWords).join(" · ")}` })))));
    }

    load();
    return [own, top, h("div", { class: "today-search" }, field, letterKeys("today", () => field, false)), list];
  });
}
