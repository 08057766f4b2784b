// The public lane screen: one look per state, readable from the queue.
//
// Invariants: a verdict is shown only while the gateway can be heard and for no longer than
// `shown_for_ms`; an outcome this page does not know is never shown as a pass; the idle look is
// neutral, never green, and so is a code that is shown again; of the person nothing appears but the
// masked name. Passers-by find no buttons: staff set language and light by the address
// (?lang=en&theme=dark), or open it with ?setup, which shows the buttons and one that tries the sounds.
//
// data-testid: screen (body; data-look = connecting|lost|closed|idle|working|other|repeat|ADMIT|REFER|
// HOLD|DENY, data-seq, data-step, data-ready, data-direction), verdict (only while one is shown; data-outcome, data-visit,
// data-overridden) or prompt (otherwise): the same element, the huge words; instruction, name,
// direction (data-direction = in|out), counter-ADMIT|REFER|HOLD|DENY, sound-hint, banner-lost (the hint under the words while the gateway is
// lost); with ?setup also lang, theme, sound-test, home.

import { getLanes, laneOfPage, screenStream, getNotices } from "./api.js";
import { stayAwake } from "./awake.js";
import { byId, h, setData, setPhrase, setText, show } from "./dom.js";
import { icon, setIcon } from "./icons.js";
import { startPage, titlePage } from "./page.js";
import { openStream } from "./sse.js";
import { lang, langTag, otherLang, pick, pickOther, t, text } from "./strings.js";
import { playTone, prepareTones } from "./tone.js";

const OUTCOMES = ["ADMIT", "REFER", "HOLD", "DENY"];
const SHOWN_DEFAULT_MS = 8_000;
const SHOWN_MAX_MS = 60_000;

let screen = null;
let link = "connecting";
let shown = { key: null, until: 0 };
let fallTimer = null;
let otherSince = null;
let notices = [];
let noticeTurn = 0;
/** Notices are asked for anew, and take turns, after so long. */
const NOTICES_MS = 60_000;
const NOTICE_TURN_MS = 10_000;

const SETUP = new URLSearchParams(location.search).has("setup");
/** Between two tones of the trial. */
const TRIAL_MS = 1_200;

const counters = new Map();
for (const outcome of OUTCOMES) {
  const number = h("b", { testid: `counter-${outcome}`, text: "0" });
  const word = h("span");
  counters.set(outcome, { number, word });
  byId("counters").append(h("div", { class: "counter" }, icon(outcome), word, number));
}

function onScreen(message) {
  screen = message;
  link = "live";
  const now = currentVerdict() ?? currentRepeat();
  const key = now ? `${now.visit}/${now.outcome ?? "repeat"}/${now.showing}` : null;
  if (key && key !== shown.key) {
    const forMs = Math.min(now.shown_for_ms > 0 ? now.shown_for_ms : SHOWN_DEFAULT_MS, SHOWN_MAX_MS);
    shown = { key, until: performance.now() + forMs };
    clearTimeout(fallTimer);
    fallTimer = setTimeout(render, forMs + 10);
    runTimeLeft(forMs);
    playTone(now.outcome ?? "REPEAT");
  }
  const since = screen.other?.since ?? null;
  if (since !== null && since !== otherSince) playTone(screen.other.calls ? "REFER" : "OTHER");
  otherSince = since;
  render();
}

function onLost() {
  link = "lost";
  screen = null;
  render();
  // A refused stream looks like a dead one: does the gateway know this lane?
  getLanes().then((lanes) => {
    if (lanes.some((one) => one.id === laneOfPage())) return;
    link = "unknown";
    render();
  }, () => {});
}

function currentVerdict() {
  return screen?.mode === "verdict" && OUTCOMES.includes(screen.verdict?.outcome) ? screen.verdict : null;
}

/** A code that has admitted somebody and is shown again. */
function currentRepeat() {
  return screen?.mode === "repeat" ? screen.repeat ?? null : null;
}

/** What the page shows now: the look, the huge words, the picture and the lines beneath. */
function scene() {
  if (link === "unknown") {
    return { look: "lost", words: filled("no_lane", laneOfPage()), picture: "closed", instruction: text("no_lane_public") };
  }
  if (link !== "live") {
    const words = text(link === "lost" ? "lane_lost" : "lane_connecting");
    return { look: link, words, picture: "lost", instruction: link === "lost" ? text("lane_lost_hint") : null };
  }
  const verdict = currentVerdict();
  if (verdict && performance.now() < shown.until) {
    const words = text(`say_${verdict.outcome}`);
    return { look: verdict.outcome, words, picture: verdict.outcome, instruction: verdict.instruction, verdict };
  }
  const repeat = currentRepeat();
  if (repeat && performance.now() < shown.until) {
    return { look: "repeat", words: text("lane_repeat"), picture: "redo", instruction: text("lane_repeat_hint"), repeat, name: repeat.name };
  }
  if (verdict || repeat) return { look: "idle", words: text("lane_next"), picture: "scan", instruction: notice() };
  switch (screen.mode) {
    case "idle":
      // A code of the staff's sheet, and nobody has signed on.
      if (screen.other?.calls) return { look: "idle", words: unbroken(screen.other.text), picture: "through", instruction: notice() };
      if (screen.other) return { look: "other", words: unbroken(screen.other.text), picture: "wait", instruction: null };
      return { look: "idle", words: prompt("lane_next"), picture: idlePicture(), instruction: screen.ready === false ? notice() : idleNotice() };
    case "working":
      if (screen.other && !screen.other.calls) return { look: "other", words: unbroken(screen.other.text), picture: "wait", instruction: null };
      return { look: "working", words: prompt("lane_unclear"), picture: screen.step ?? "wait", instruction: notice(), name: screen.person };
    case "closed":
      return { look: "closed", words: text("lane_closed"), picture: "closed", instruction: screen.prompt };
    default:
      return { look: "closed", words: text("lane_unclear"), picture: "wait", instruction: null };
  }
}

/** A masked name stays on one line: a word joiner holds its star. */
function unbroken(words) {
  const joined = (text) => text.replaceAll("*", "\u2060*");
  return { zh: joined(words.zh), en: joined(words.en) };
}

function filled(key, lane) {
  const words = text(key);
  return { zh: words.zh.replace("{lane}", lane), en: words.en.replace("{lane}", lane) };
}

/** Where nobody shows a code, the lane says its name, and no code is painted there. */
function idlePicture() {
  if (screen.ready === false) return "wait";
  return pick(screen.prompt) === pick(screen.title) ? "through" : "scan";
}

/** A message of central ops stands where the instruction would, but never beside a verdict. */
function notice() {
  return screen?.notice ? { zh: screen.notice, en: screen.notice } : null;
}

/** While nobody is there, notices to the public take turns where nothing more urgent stands. */
function idleNotice() {
  return notice() ?? (notices.length > 0 ? notices[noticeTurn % notices.length] : null);
}

async function loadNotices() {
  try {
    notices = await getNotices(laneOfPage());
  } catch (error) {
    if (!error.words) throw error;
    // What was read before is shown on: the stream says whether the gateway is there.
  }
}

function prompt(fallbackKey) {
  return pick(screen.prompt) ? screen.prompt : text(fallbackKey);
}

function render() {
  const now = scene();
  const verdict = now.verdict ?? null;
  const name = verdict?.name ?? now.name ?? "";
  setData(document.body, { look: now.look, seq: screen?.seq ?? null, step: screen?.step ?? null, ready: screen?.ready ?? null, direction: screen?.direction ?? null });
  setIcon(byId("picture"), now.picture);
  const practised = screen?.training === true;
  document.body.dataset.training = String(practised);
  show(byId("training"), practised);
  setText(byId("training"), practised ? `${pick(text("training"))} · ${pickOther(text("training"))}` : "");
  drawDirection(verdict || now.look === "working" || now.repeat ? screen?.direction : null);
  putText("title", screen?.title ?? null, true);
  titlePage(() => `${pick(screen?.title)} ${laneOfPage()}`.trim());
  putText("big", now.words, true);
  putText("instruction", now.instruction, false);
  setData(byId("big"), {
    testid: verdict ? "verdict" : "prompt",
    outcome: verdict?.outcome,
    visit: verdict?.visit,
    overridden: verdict ? Boolean(verdict.overridden) : null,
  });
  const size = pick(now.words).length * (lang() === "zh" ? 2 : 1);
  byId("big").classList.toggle("mid", size > 10 && size <= 14 && lang() === "zh");
  byId("big").classList.toggle("long", size > (lang() === "zh" ? 14 : 16));
  byId("instruction").dataset.testid = now.look === "lost" ? "banner-lost" : "instruction";
  setText(byId("name"), name);
  show(byId("name"), name !== "");
  show(byId("time-left"), verdict !== null || Boolean(now.repeat));
  for (const [outcome, counter] of counters) {
    setText(counter.number, String(screen?.counters?.[outcome] ?? "–"));
    setText(counter.word, pick(text(`outcome_${outcome}`)));
  }
  fillSoundHint();
  fit();
}

/** At a door with two readers everybody sees which way the result is for. */
function drawDirection(direction) {
  const sign = byId("direction");
  const known = direction === "in" || direction === "out";
  show(sign, known);
  setData(sign, { direction: known ? direction : null });
  if (!known) return;
  if (!sign.firstChild) sign.append(h("span", { class: "direction-arrow" }), h("b"), h("small"));
  setIcon(sign.firstChild, direction);
  setText(sign.children[1], pick(text(`direction_${direction}`)));
  setText(sign.children[2], pickOther(text(`direction_${direction}`)));
}

/** Shrinks the words together until a long instruction fits; a verdict is never cut off. */
function fit() {
  const stage = byId("stage");
  for (let scale = 1; scale >= 0.4; scale -= 0.05) {
    stage.style.setProperty("--fit", scale.toFixed(2));
    if (stage.scrollHeight <= stage.clientHeight && stage.scrollWidth <= stage.clientWidth) return;
  }
}

/** Puts a Text into #id in the chosen language and into #id-other in the other one. */
function putText(id, words, keep) {
  const chosen = byId(id);
  const other = byId(`${id}-other`);
  setPhrase(chosen, pick(words));
  setPhrase(other, pickOther(words));
  chosen.lang = langTag(lang());
  other.lang = langTag(otherLang());
  if (keep) return;
  show(chosen, Boolean(words));
  show(other, Boolean(words));
}

function runTimeLeft(forMs) {
  const bar = byId("time-left");
  for (const running of bar.getAnimations()) running.cancel();
  bar.animate([{ transform: "scaleX(1)" }, { transform: "scaleX(0)" }], { duration: forMs, fill: "forwards" });
}

/** For whoever sets the screen up: the way home, and all four tones. */
function drawSetup() {
  if (!SETUP || byId("tools").querySelector("[data-testid=sound-test]")) return;
  byId("tools").prepend(
    h("a", { class: "tool home", href: "/", testid: "home", "data-t": "home", text: t("home") }),
    h("button", { class: "tool", type: "button", testid: "sound-test", "data-t": "sound_test", text: t("sound_test"), on: { click: trySounds } }));
}

function trySounds() {
  OUTCOMES.forEach((outcome, i) => setTimeout(playTone, i * TRIAL_MS, outcome));
}

function fillSoundHint() {
  const hint = byId("sound-hint");
  if (!hint.firstChild) hint.append(icon("sound"), h("span"));
  setText(hint.lastChild, pick(text("sound_hint")));
}

addEventListener("resize", fit);
drawSetup();
startPage("title_lane", render, SETUP);
stayAwake();
prepareTones((ready) => show(byId("sound-hint"), !ready));
openStream(screenStream(laneOfPage()), { screen: onScreen }, onLost);
loadNotices().then(render);
setInterval(loadNotices, NOTICES_MS);
setInterval(() => {
  noticeTurn += 1;
  if (screen?.mode === "idle" && notices.length > 1) render();
}, NOTICE_TURN_MS);
