// The staff desk of one lane: session, stream, actions and keys. What the desk shows is only what
// the gateway sent last; an action changes nothing on the page until the gateway has recorded it.
//
// data-testid, beside lang and theme:
//   desk (body; data-view = loading|signin|work, data-lost, data-mode), officer, signout,
//   signin-officer-ID, pin, pin-1 … pin-0, pin-back, pin-ok, signin-error,
//   banner-lost, banner-offline, banner-stale, banner-missing, banner-clock, banner-devices, banner-beside,
//   banner-other, banner-not-taken, banner-pack, banner-closed, banner-more (for which the line has no room), lamp-ID (data-state), step-ID (data-state),
//   barrier (data-state = failed|asked, data-visit), barrier-again, barrier-by-hand,
//   ask (data-kind, data-id = question id or photo role), prompt, wait, error,
//   answer-VALUE (choices; numbers up to 9), answer-input, answer-ok (plate, text, larger numbers),
//   plate-key-X, plate-key-back, approve-yes, approve-no (data-armed), approve-note,
//   seal-first, seal-second, seal-door-VALUE, seal-kind-VALUE, seal-match (data-match), seal-ok,
//   photo-capture (state missing), photo-accept and photo-retake (review), photo-retake (retake,
//   accepted), photo-preview (data-state), photo-ROLE (img), photo-role-ROLE (data-state),
//   photo-reason, check-ID, confirm-ok,
//   banner-uses, uses-open, uses-reason, uses-pin, uses-1 … uses-0, uses-back, uses-ok, uses-error,
//   visit, visit-name, pass, reading-TRY (data-state, data-mdeg),
//   verdict (data-outcome, data-final, data-overridden, data-pending), overridden, earlier,
//   repeat (data-visit, data-first), compare-ID, plate-photo, confirm-photo, confirm-number,
//   last-visit (each row, newest first; data-visit, data-outcome, data-final, data-codes),
//   pick-VISIT, detail (data-visit), detail-override, choose-VISIT, reprint-VISIT, counter-OUTCOME,
//   recheck, override-open, enter-open, search-open, cancel-open, dialog-close,
//   enter-text, enter-ok, enter-plate-keys, enter-error, search-name, search-ok, search-result-ID,
//   search-none, search-error, cancel-back, cancel-ok, cancel-error,
//   override-outcome-OUTCOME, override-reason-ID, override-note, override-pin, override-second,
//   override-second-OFFICER, override-second-pin, override-1 … override-0, override-back,
//   override-ok, override-error,
//   enter-keys, enter-key-X, search-keys, search-key-X, seal-keys, seal-key-X (and -back),
//   home, help-open, help-CODE, sending, no-lane, answered-by, advice-CODE,
//   approve-officer-OFFICER, approve-pin, approve-1 … approve-0, approve-back,
//   form, field-ID, field-fault-ID, input-ID, today-ID, private-ID, ID-VALUE (choices), form-ok, form-keys,
//   seals-count, seal-row-N, seal-N-number, seal-N-match (data-match), seal-N-door-VALUE, seal-N-condition-VALUE, seal-N-remove,
//   seals-more, seals-left, seals-ok, tally-count (data-count), tally-last (data-read), tally-code, tally-add, tally-missing, tally-unknown,
//   tally-again, tally-done (data-armed), party-N, party-count, party-ok, party-progress, party-start, members, member-VISIT,
//   signatures, signature-N (data-state = signed|turn|waits), sign-officer-OFFICER, sign-other, sign-pin, sign-1 … sign-0, sign-back, sign-ok,
//   open-VISIT (data-why, data-overdue), open-pick-VISIT, open-age-VISIT, chosen-back, begin-large, aside, call-next, start-open, start-ROLE, party-open,
//   reader-ROLE, registers-open, register-NAME, register-find, register-count, register-none, slot-N, slot-take-N, correct-reason-ID,
//   correct-note, correct-ok, reprint-reason-ID, reprint-note, reprint-ok,
//   sheet (data-taken, data-officer), sheet-officer, sheet-said, sheet-next, sheet-typed,
//   lock, lock-open, lock-pin, lock-1 … lock-0, lock-back, lock-ok, lock-error, lock-other, slip.

import { ApiError, deskStream, getLanes, getOfficers, getSession, laneOfPage, postAction, signOut } from "./api.js";
import { createAsk } from "./desk-ask.js";
import { begin, closeDialogs, openCancel, openDetail, openEnter, openSearch } from "./desk-dialogs.js";
import { openHelp } from "./desk-help.js";
import { listenKeys } from "./desk-keys.js";
import { createLock } from "./desk-lock.js";
import { chosenVisit, deskOf, drawChosen, drawOpen, drawParty, keepAges } from "./desk-open.js";
import { createPresses, isOfVisit } from "./desk-presses.js";
import { openReprint } from "./desk-reasons.js";
import { openRegisters } from "./desk-registers.js";
import { openOverride } from "./desk-override.js";
import { drawSheet, listenSheet } from "./desk-sheet.js";
import { openRelease } from "./desk-uses.js";
import { countBanners, drawBarrier, drawLast, drawLine, drawSteps, drawVisit, knowOfficers, officerName, takesCodes } from "./desk-view.js";
import { stayAwake } from "./awake.js";
import { byId, byTestid, fill, h, setData, setText, show } from "./dom.js";
import { setZone } from "./format.js";
import { icon } from "./icons.js";
import { startPage, titlePage } from "./page.js";
import { createSignIn } from "./signin.js";
import { openStream } from "./sse.js";
import { openToday } from "./desk-today.js";
import { otherLang, pick, setLang, t } from "./strings.js";
import { playTone, prepareTones } from "./tone.js";

const lane = laneOfPage();
let session = null;
let desk = null;
let lost = false;
let stream = null;
let busy = false;
let laneTitle = null;
let laneUnknown = false;
let drawn = {};
let heard = {};
let pressed = null;
/** The open visit that the officer has chosen; null for the one in front. */
let chosen = null;
/** Acts that this lane has had: their buttons stay where they are. */
const had = new Set();

/** All desks of this browser share its session: each tells the others when somebody comes or goes. */
const SESSION_KEY = "kakou.session";
/** After this long without an answer the page says that it waits for one. */
const SLOW_MS = 700;
/** With more buttons their words stand below the pictures. */
const MANY_BUTTONS = 5;

const BAR = [
  { testid: "recheck", needs: "recheck", picture: "redo", words: "bar_recheck", key: "F2", run: () => act({ action: "recheck" }) },
  { testid: "aside", needs: "aside", picture: "aside", words: "bar_aside", key: "F3", some: true, run: () => act({ action: "aside" }) },
  { testid: "call-next", needs: "call", picture: "sound", words: "bar_call", key: "F6", some: true, run: () => act({ action: "call" }) },
  { testid: "override-open", needs: "override", picture: "pen", words: "bar_override", key: "F4", run: () => openOverride(shown(), session, act) },
  { testid: "start-open", needs: "start", picture: "form", words: "bar_start", key: "F8", some: true, run: startVisit },
  { testid: "party-open", needs: "party", picture: "party", words: "bar_party", some: true, run: () => act({ action: "party", count: 1 }) },
  { testid: "enter-open", needs: "enter", picture: "keyboard", words: "bar_enter", code: true, run: () => openEnter(act, mayHavePlates(), desk?.readers) },
  { testid: "search-open", needs: "search", picture: "search", words: "bar_search", code: true, run: () => openSearch(lane, act, lock.refuses, desk?.readers) },
  { testid: "registers-open", needs: "correct", picture: "register", words: "bar_registers", some: true, run: () => openRegisters(lane, desk?.registers ?? [], act, desk?.note_max, lock.refuses) },
  { testid: "cancel-open", needs: "cancel", picture: "cross", words: "bar_cancel", key: "Esc", run: () => openCancel(act, shown()?.visit?.id) },
  { testid: "uses-open", picture: "pen", words: "bar_uses", rare: () => mayRelease(), run: () => openRelease(session, lock.refuses) },
];

/** The desk as the officer works with it: before the visit in front, or before the open one that was chosen. */
function shown() {
  return deskOf(desk, chosenVisit(desk, chosen));
}

function startVisit() {
  return begin(desk, act);
}

const signin = createSignIn((signedIn) => {
  session = signedIn;
  lock.begin();
  tellOthers();
  startWork();
});
const ask = createAsk(act, () => session, startVisit);
const presses = createPresses();
const lock = createLock({
  session: () => session,
  onUnlocked(signedIn) {
    session = signedIn;
    tellOthers();
    draw();
  },
  onOther: leave,
  onChange: () => draw(),
});

function tellOthers() {
  localStorage.setItem(SESSION_KEY, `${session?.officer ?? ""} ${Date.now()}`);
}

/** Posts one action. `onRefused(words, error)` shows a refusal where the officer acted. */
async function act(body, onRefused = ask.fail) {
  if (busy || lost || lock.refuses()) return false;
  busy = true;
  byId("work").setAttribute("aria-busy", "true");
  // The button shows at once that it was pressed, and the page that it still waits.
  const button = pressed;
  pressed = null;
  button?.setAttribute("data-sent", "");
  const slow = setTimeout(() => setText(byId("sending"), t("sending")), SLOW_MS);
  try {
    const of = isOfVisit(body.action) ? chosenVisit(desk, chosen)?.id : undefined;
    await postAction(lane, session.officer, presses.press(of === undefined ? body : { ...body, of }, desk?.visit?.id));
    presses.known();
    ask.clearFault();
    return true;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status !== 0 && error.status !== 503) presses.known();
    if (error.status === 401 && error.code !== "wrong_pin") showSignIn();
    else onRefused(error.words, error);
    if (error.code === "other_officer") await showWho();
    return false;
  } finally {
    busy = false;
    clearTimeout(slow);
    setText(byId("sending"), "");
    button?.removeAttribute("data-sent");
    byId("work").removeAttribute("aria-busy");
  }
}

/** Somebody else has signed in on another page of this browser: what was shown to the one before has ended. */
async function showWho() {
  try {
    const before = session?.officer;
    session = await getSession();
    if (session.officer !== before) startWork();
    else draw();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) showSignIn();
  }
}

function onDesk(message) {
  desk = message;
  if (chosen !== null && !chosenVisit(desk, chosen)) chosen = null;
  for (const action of desk.actions ?? []) had.add(action);
  setZone(message.utc_offset_minutes);
  lost = false;
  sound();
  draw();
}

/** What happens behind the officer's back is heard, each thing once. */
function sound() {
  const now = {
    UNOPENED: desk.barrier?.state === "failed" ? `${desk.barrier.visit}/${desk.barrier.tries}` : null,
    REPEAT: desk.visit?.repeated ? `${desk.visit.id}/${desk.visit.repeated.showing}` : null,
    OTHER: desk.other?.calls ? null : desk.other?.since ?? desk.not_taken?.since ?? null,
    // A code of the sheet that was refused.
    REFUSED: desk.sheet?.said && !desk.sheet.said.taken ? desk.sheet.said.since : null,
  };
  const fresh = Object.keys(now).find((name) => now[name] !== null && now[name] !== heard[name]);
  heard = now;
  if (fresh) playTone(fresh === "REFUSED" ? "OTHER" : fresh);
}

/** A row of the open visits: what it asks comes to the desk. A record is taken up first. */
async function pickOpen(one) {
  if (lock.refuses()) return;
  if (one.id === chosen) return backToLane();
  if (one.actions?.includes("complete") && !(await act({ action: "complete", visit: one.id }))) return;
  chosen = chosenVisit(desk, one.id) ? one.id : null;
  draw();
}

function backToLane() {
  chosen = null;
  draw();
}

/** A refused stream looks like a dead one to the browser, so the session is asked for as well. */
async function onLost() {
  lost = true;
  desk = null;
  closeDialogs();
  draw();
  if (session) await showWho();
}

function startWork() {
  signin.close();
  lost = false;
  stream?.close();
  stream = openStream(deskStream(lane), { desk: onDesk }, onLost);
  // Without the names the ids are shown.
  getOfficers().then((officers) => { knowOfficers(officers); draw(); }, () => {});
  draw();
}

function showSignIn() {
  stream?.close();
  stream = null;
  session = null;
  desk = null;
  chosen = null;
  lost = false;
  closeDialogs();
  signin.open();
  draw();
}

async function leave() {
  try {
    await signOut();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status !== 401) return ask.fail(error.words);
  }
  session = null;
  tellOthers();
  ask.forget();
  showSignIn();
}

function draw() {
  const view = laneUnknown ? "nolane" : session ? "work" : byId("signin").hidden ? "loading" : "signin";
  const locked = view === "work" && lock.locked();
  // What is open shows persons, and would let the next one go on where the officer was.
  if (locked && document.body.dataset.locked !== "true") closeDialogs();
  setData(document.body, { view, lost, mode: desk?.mode, locked });
  show(byId("work"), view === "work");
  show(byId("signout"), view === "work");
  show(byId("help"), view === "work");
  show(byId("nolane"), view === "nolane");
  if (view === "nolane") return drawNoLane();
  setText(byId("officer"), session ? `${session.name} · ${t(`role_${session.role}`)}` : "");
  setText(byId("title"), pick(desk?.title ?? laneTitle) || lane);
  part("line", [lost, desk?.training, desk?.mode, desk?.lists_stale, desk?.uses_wait_for, desk?.upstream, desk?.notice?.text, desk?.lamps, desk?.other?.since, desk?.not_taken?.since, desk?.pack?.from, desk?.pack?.title, view], () => drawLine({ lost, desk: view === "work" ? desk : null }));
  if (view !== "work") return;
  byId("work").inert = lost;
  byId("side").setAttribute("aria-label", t("desk_side"));
  lock.draw(lost);
  for (const id of ["visit", "last"]) show(byId(id), desk !== null);
  if (!desk) for (const id of ["open", "party", "chosen"]) show(byId(id), false);
  const now = shown();
  const one = chosenVisit(desk, chosen);
  setData(document.body, { chosen: one?.id ?? null });
  part("steps", now?.steps, () => drawSteps(now?.steps ?? []));
  part("barrier", desk?.barrier, () => drawBarrier(desk?.barrier ?? null, act));
  part("chosen", [one && { ...one, detail: null }, desk?.mode, desk?.visit?.id, desk?.visit?.name], () => drawChosen(desk ?? {}, one, backToLane));
  part("visit", now?.visit, () => drawVisit(now?.visit ?? null));
  part("sheet", desk?.sheet, () => drawSheet(desk?.sheet ?? null, officerName));
  part("party", [now?.visit?.id, now?.visit?.parent, now?.visit?.party, desk?.open], () => drawParty(now));
  part("open", [desk?.open, chosen], () => drawOpen(desk, one, pickOpen));
  part("last", [desk?.last_visits, desk?.counters, desk?.actions?.includes("reprint")], () =>
    drawLast(desk, (row) => openReprint(row, act, desk?.note_max), (row) =>
      openDetail(row, desk?.override_reasons, (one) => openOverride(desk, session, act, one)), () => {
      if (!lock.refuses()) openToday(lane, lock.refuses);
    }));
  part("bar", [now?.actions, now?.ask?.kind, mayRelease(), had.size], drawBar);
  ask.update(now, lost ? "lost" : desk ? "live" : "connecting");
}

function drawNoLane() {
  fill(byId("nolane"), h("h2", { text: t("no_lane", { lane }) }), h("p", { text: t("no_lane_do") }),
    h("a", { class: "button primary", href: "/", testid: "no-lane-home", text: t("home") }));
}

/** Draws one part of the page, only when what it shows or the language has changed. */
function part(name, shown, drawPart) {
  const key = JSON.stringify([t("product"), shown ?? null]);
  if (drawn[name] === key) return;
  drawn[name] = key;
  // Whoever goes by keys stays where they are.
  const focused = document.activeElement?.dataset.testid;
  drawPart();
  if (focused && document.activeElement === document.body) byTestid(focused)?.focus();
}

function drawBar() {
  const items = BAR.filter((item) => (item.rare ? item.rare() : !item.some || had.has(item.needs)));
  byId("bar").style.setProperty("--buttons", items.length);
  setData(byId("bar"), { many: items.length > MANY_BUTTONS ? "" : null });
  fill(byId("bar"), items.map((item) => {
    const main = item.needs === "recheck" && shown()?.ask?.kind === "temperature";
    return h("button", {
      class: main ? "button primary" : "button", type: "button", testid: item.testid,
      disabled: !allowed(item), on: { click: () => runItem(item) },
    }, icon(item.picture), h("span", { text: t(item.words) }), item.key ? h("kbd", { text: item.key }) : null);
  }));
}

/** A box that has taken the place of another waits for its neighbours; a supervisor need not. */
function mayRelease() {
  return desk?.uses_wait_for?.length > 0 && session?.role === "supervisor";
}

function allowed(item) {
  if (item.rare) return item.rare();
  return Boolean(shown()?.actions?.includes(item.needs)) && (!item.code || takesCodes(desk));
}

function runItem(item) {
  if (!lock.refuses()) item.run();
}

function runBar(testid) {
  const item = BAR.find((one) => one.testid === testid);
  if (session && allowed(item)) runItem(item);
}

function mayHavePlates() {
  return /truck|vehicle|car|seal|transit/.test(desk?.profile ?? "");
}

listenKeys({
  F1: showHelp,
  F2: () => runBar("recheck"),
  F3: () => runBar("aside"),
  F4: () => runBar("override-open"),
  F6: () => runBar("call-next"),
  F8: () => runBar("start-open"),
  Escape: () => runBar("cancel-open"),
  Enter: () => {
    if (shown()?.ask?.kind === "temperature") runBar("recheck");
    else if (session) ask.primary();
  },
  l: () => setLang(otherLang()),
}, (n) => { if (session) ask.digit(n); });

listenSheet((code) => { if (session) act({ action: "code", code }); });

function showHelp() {
  if (session) openHelp(shown()?.visit?.verdict?.codes ?? []);
}

byId("signout").addEventListener("click", leave);
prepareTones(() => {});
stayAwake();
keepAges(() => desk?.open ?? [], () => {
  delete drawn.open;
  draw();
});
addEventListener("resize", countBanners);
byId("help").addEventListener("click", showHelp);
addEventListener("click", (event) => { pressed = event.target.closest?.("button") ?? null; }, true);
addEventListener("storage", (event) => {
  if (event.key !== SESSION_KEY || laneUnknown) return;
  if (session) showWho();
  else if (!event.newValue.startsWith(" ")) open();
});
startPage("title_desk", () => {
  drawn = {};
  fill(byId("help"), "? ", h("kbd", { text: "F1" }));
  byId("help").setAttribute("aria-label", `? F1 ${t("help_title")}`);
  signin.draw();
  draw();
});

titlePage(() => `${pick(desk?.title ?? laneTitle)} ${lane}`.trim());

getLanes().then((lanes) => {
  laneTitle = lanes.find((one) => one.id === lane)?.title ?? null;
  laneUnknown = laneTitle === null;
  titlePage(() => `${pick(desk?.title ?? laneTitle)} ${lane}`.trim());
  if (laneUnknown) {
    stream?.close();
    signin.close();
  }
  draw();
}, () => {});

async function open() {
  if (laneUnknown) return;
  try {
    session = await getSession();
    startWork();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) return showSignIn();
    lost = true;
    draw();
    setTimeout(open, 2000);
  }
}

open();
