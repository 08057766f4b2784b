// A desk that nobody has touched for a while locks: it goes on showing the lane's state, but no person's data, and
// takes no act until the officer's PIN, or somebody else's, is typed. All desks of one browser lock together, and a
// reload opens nothing.
//
// `?lock=N` in the address sets the minutes, 0 for never; the browser keeps the choice.

import { ApiError, getOfficers, signIn } from "./api.js";
import { byId, fill, h, mayAutofocus, show } from "./dom.js";
import { openDialog } from "./desk-dialogs.js";
import { icon } from "./icons.js";
import { pinInput, pinPad, refusePin } from "./pinpad.js";
import { t } from "./strings.js";

const MINUTES_KEY = "kakou.lock_min";
const TOUCHED_KEY = "kakou.touched";
/** Whom the desk is locked against, and after which unlocking. */
const LOCKED_KEY = "kakou.locked";
/** How often it was unlocked: a tab that had not heard of the last time, and locks, locks nothing. */
const UNLOCKED_KEY = "kakou.unlocked";
const MINUTES = 15;
const LOOK_EVERY_MS = 1_000;
/** A touch is told to the other desks of the browser at most this often. */
const TELL_EVERY_MS = 1_000;

function minutes() {
  const asked = new URLSearchParams(location.search).get("lock");
  if (asked !== null && asked.trim() !== "" && Number(asked) >= 0) localStorage.setItem(MINUTES_KEY, String(Number(asked)));
  const kept = localStorage.getItem(MINUTES_KEY);
  return kept === null || !(Number(kept) >= 0) ? MINUTES : Number(kept);
}

export function createLock({ session, onUnlocked, onOther, onChange }) {
  const idleMs = minutes() * 60_000;
  let told = -Infinity;
  // Since when nobody has touched any desk of the browser, by a clock that nobody sets. It stands still while the
  // machine sleeps, and the other one may be set back: the desk is open as long as both say so.
  let touchedAt = performance.now();
  let seen = null;
  let drawn = "";

  const mark = () => `${session().officer} ${localStorage.getItem(UNLOCKED_KEY) ?? ""}`.trim();

  function locked() {
    return session() !== null && localStorage.getItem(LOCKED_KEY) === mark();
  }

  function touched() {
    if (locked()) return;
    touchedAt = performance.now();
    if (touchedAt - told >= TELL_EVERY_MS) tell();
  }

  function tell() {
    told = touchedAt;
    seen = String(Date.now());
    localStorage.setItem(TOUCHED_KEY, seen);
  }

  function look() {
    if (idleMs === 0 || !session() || locked()) return;
    const last = localStorage.getItem(TOUCHED_KEY);
    if (last === null) return touched();
    // Somebody has touched another desk of the browser.
    if (last !== seen) touchedAt = performance.now();
    seen = last;
    if (performance.now() - touchedAt < idleMs && Date.now() - Number(last) < idleMs) return;
    localStorage.setItem(LOCKED_KEY, mark());
    onChange();
  }

  /** In this order: a tab that sees the desk open sees that it was touched. */
  function unlock() {
    touchedAt = performance.now();
    tell();
    localStorage.setItem(UNLOCKED_KEY, String((Number(localStorage.getItem(UNLOCKED_KEY)) || 0) + 1));
    localStorage.removeItem(LOCKED_KEY);
  }

  function ask() {
    openDialog("lock", `${t("lock_title")} · ${session().name}`, (close, fault) => {
      const pin = pinInput("lock-pin");
      const officer = session().officer;
      const submit = async (event) => {
        event.preventDefault();
        if (pin.value === "") return;
        const typed = pin.value;
        pin.value = "";
        try {
          const signedIn = await signIn(officer, typed);
          close();
          unlock();
          onUnlocked(signedIn);
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          refusePin(fault, error);
        }
      };
      if (mayAutofocus()) setTimeout(() => pin.focus());
      return h("form", { class: "signin-pin", on: { submit } }, pin,
        pinPad({ prefix: "lock", target: () => pin, okText: t("lock_open") }),
        h("button", {
          class: "button", type: "button", testid: "lock-other", text: t("lock_other"),
          on: { click: () => { close(); onOther(); } },
        }));
    });
  }

  for (const name of ["pointerdown", "keydown"]) addEventListener(name, touched, { capture: true, passive: true });
  addEventListener("storage", (event) => {
    if (event.key === LOCKED_KEY || event.key === UNLOCKED_KEY) onChange();
  });
  setInterval(look, LOOK_EVERY_MS);

  return {
    locked,
    /** Whether an act must wait for the PIN, which is then asked for. */
    refuses() {
      if (!locked()) return false;
      ask();
      return true;
    },
    /** A new session begins open. */
    begin: unlock,
    draw(lost) {
      const bar = byId("lock");
      show(bar, locked() && !lost);
      // Drawn anew under a finger, the button would not be the one that was pressed.
      const shows = bar.hidden ? "" : JSON.stringify([session().name, t("lock_open")]);
      if (shows === drawn) return;
      drawn = shows;
      fill(bar, icon("seal"), h("span", { text: t("lock_is", { name: session().name }) }),
        h("button", { class: "button primary", type: "button", testid: "lock-open", text: t("lock_open"), on: { click: ask } }));
    },
  };
}
