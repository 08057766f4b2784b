// Visits that are open beside the one in front: who stands aside, who waits for an approval, a party, records that are
// finished when there is time. A tap on a row brings it to the desk; the lane goes on meanwhile.

import { byId, fill, h, setData, setText, show } from "./dom.js";
import { memberList } from "./desk-count.js";
import { age, timeOfDay } from "./format.js";
import { icon } from "./icons.js";
import { pick, t } from "./strings.js";

const PICTURES = { aside: "temperature", staff: "question", device: "wait", party: "party", later: "pen" };
const AGE_EVERY_MS = 5_000;

/** The open visit that was chosen, as long as it is open. */
export function chosenVisit(desk, id) {
  return desk?.open?.find((one) => one.id === id) ?? null;
}

/** The desk as it stands before an open visit: what it asks, and what can be done with it. */
export function deskOf(desk, one) {
  if (!one) return desk;
  const shared = (desk.actions ?? []).filter((action) => ["enter", "search", "start", "reprint", "correct"].includes(action));
  return { ...desk, visit: one.detail ?? null, ask: one.ask ?? null, actions: [...(one.actions ?? []), ...shared], steps: [], mode: "working" };
}

const minutes = (instant) => (instant ? (Date.now() - Date.parse(instant)) / 1000 : null);

/** A browser's clock may be wrong: an age that cannot be is not told. */
function ageWords(one) {
  const seconds = minutes(one.at);
  return seconds === null || seconds < -60 ? timeOfDay(one.at) : age(seconds);
}

function isOverdue(one) {
  return one.overdue || Boolean(one.due && minutes(one.due) > 0);
}

export function openName(one) {
  return one.who ?? `#${one.id}`;
}

/** The rows beside the visit in front. */
export function drawOpen(desk, chosen, onPick) {
  const root = byId("open");
  const all = desk?.open ?? [];
  show(root, all.length > 0);
  if (all.length === 0) return fill(root);
  const late = all.filter(isOverdue).length;
  fill(root,
    h("h2", { id: "open-title" }, `${t("open_title")} ${all.length} `, late > 0 ? h("span", { class: "state", data: { level: "bad" } }, icon("warn"), t("open_late", { n: late })) : null),
    h("ul", { "aria-labelledby": "open-title" }, all.map((one) => row(one, chosen, onPick))));
}

function row(one, chosen, onPick) {
  const late = isOverdue(one);
  return h("li", { class: "open-visit", testid: `open-${one.id}`, data: { why: one.why, overdue: String(Boolean(late)), visit: one.id } },
    h("button", {
      class: "button open-pick", type: "button", testid: `open-pick-${one.id}`, "aria-pressed": String(one.id === chosen?.id), on: { click: () => onPick(one) },
    },
    icon(PICTURES[one.why] ?? "wait"),
    h("span", { class: "open-who" },
      h("b", { text: openName(one) }),
      h("span", { class: "open-why", text: `${t(`open_${one.why}`)}${one.ask?.prompt && one.why === "staff" ? `: ${pick(one.ask.prompt)}` : ""}` })),
    h("span", { class: "open-age", testid: `open-age-${one.id}`, data: { overdue: late ? "" : null } }, late ? icon("warn") : null,
      h("span", { data: { at: one.at ?? "" }, text: ageWords(one) }), late ? h("span", { class: "sr", text: t("open_overdue") }) : null)));
}

/** Ages run on between two messages of the gateway; rows are drawn anew only when one is overdue. */
export function keepAges(openOnes, draw) {
  let late = "";
  setInterval(() => {
    for (const span of document.querySelectorAll("#open [data-at], #chosen [data-at]")) setText(span, ageWords({ at: span.dataset.at }));
    const now = openOnes().filter(isOverdue).map((one) => one.id).join();
    if (now !== late) draw();
    late = now;
  }, AGE_EVERY_MS);
}

/** The band over what an open visit asks: whose it is, and the way back to the lane. */
export function drawChosen(desk, one, onBack) {
  const root = byId("chosen");
  show(root, Boolean(one));
  setData(root, { visit: one?.id ?? null });
  if (!one) return fill(root);
  const front = desk.visit && desk.mode === "working" ? desk.visit : null;
  fill(root,
    icon(PICTURES[one.why] ?? "wait"),
    h("p", {}, h("b", { text: t("chosen_is", { who: openName(one) }) }), h("span", { text: `${one.who ? ` #${one.id}` : ""} · ${t(`open_${one.why}`)} · ` }), h("span", { "aria-live": "off", data: { at: one.at ?? "" }, text: ageWords(one) })),
    h("button", { class: front ? "button primary" : "button", type: "button", testid: "chosen-back", on: { click: onBack } },
      icon("back"), h("span", { text: front ? t("chosen_back_busy", { who: front.name ?? `#${front.id}` }) : t("chosen_back") })));
}

/** Of a visit in front that belongs to a party: which of how many it is; before the next one comes, how many are to come. */
export function drawParty(desk) {
  const root = byId("party");
  const visit = desk?.visit;
  const of = visit ? (one) => one.id === visit.parent : (one) => one.why === "party" && Boolean(one.detail?.party?.asked);
  const parent = desk?.open?.find(of) ?? null;
  const party = visit?.party ?? parent?.detail?.party ?? null;
  show(root, Boolean(party));
  setData(root, { count: party?.asked ?? null });
  if (!party) return fill(root);
  const members = party.members ?? [];
  const at = members.findIndex((one) => one.id === visit?.id) + 1;
  fill(root,
    h("h2", { text: at > 0 && party.asked ? t("party_at", { n: at, m: party.asked }) : t("party_title") }),
    parent ? h("p", { class: "hint", text: t("party_of", { who: openName(parent) }) }) : null,
    memberList(members, party.asked ?? members.length));
}
