// The sign-in of the desk: pick a name, type a PIN. The PIN field is emptied after each try.

import { ApiError, getOfficers, signIn } from "./api.js";
import { byId, fill, h, mayAutofocus, setText } from "./dom.js";
import { faultBox, pinInput, pinPad } from "./pinpad.js";
import { t, text } from "./strings.js";

/** @param {function({officer, name, role})} onSignedIn */
export function createSignIn(onSignedIn) {
  const root = byId("signin");
  const fault = faultBox("signin-error");
  let officers = null;
  let chosen = null;
  let busy = false;
  let waitTimer = null;
  let pin = pinInput("pin");

  async function load() {
    try {
      officers = await getOfficers();
      fault.clear();
    } catch (error) {
      fault.show(error.words ?? text("err_bad_answer"));
      setTimeout(() => { if (!root.hidden && !officers) load(); }, 3000);
    }
    draw();
  }

  function draw() {
    if (root.hidden) return;
    const typed = pin.value;
    pin = pinInput("pin");
    pin.value = typed;
    const form = h("form", { class: "signin-pin", on: { submit } },
      h("h2", { text: t("signin_pin") }),
      pin,
      pinPad({ prefix: "pin", target: () => pin, okText: t("signin_ok") }));
    fill(root,
      h("div", { class: "signin-who" },
        h("h2", { text: `${t("signin_title")} · ${t("signin_pick")}` }),
        h("div", { class: "officers", role: "radiogroup", "aria-label": t("signin_pick") }, (officers ?? []).map(officerButton)),
        fault.element),
      form);
  }

  function officerButton(officer) {
    return h("button", {
      class: "button officer-choice", type: "button", role: "radio", "aria-checked": String(chosen === officer.id),
      testid: `signin-officer-${officer.id}`, data: { role: officer.role },
      on: { click: () => choose(officer.id) },
    }, h("span", { text: officer.name }), h("small", { text: t(`role_${officer.role}`) }));
  }

  function choose(id) {
    if (id !== chosen) stopWaiting();
    chosen = id;
    for (const button of root.querySelectorAll("[role=radio]")) {
      button.setAttribute("aria-checked", String(button.dataset.testid === `signin-officer-${id}`));
    }
    fault.clear();
    if (mayAutofocus()) pin.focus();
  }

  async function submit(event) {
    event?.preventDefault();
    if (busy || waitTimer) return;
    if (!chosen) return fault.show(text("signin_choose_first"));
    if (!pin.value) return fault.show(text("signin_no_pin"));
    busy = true;
    root.setAttribute("aria-busy", "true");
    const typed = pin.value;
    pin.value = "";
    try {
      const session = await signIn(chosen, typed);
      fault.clear();
      onSignedIn(session);
    } catch (error) {
      refuse(error);
    } finally {
      busy = false;
      root.removeAttribute("aria-busy");
    }
  }

  function refuse(error) {
    if (!(error instanceof ApiError)) throw error;
    fault.show(error.words);
    const seconds = error.status === 429 ? Math.ceil(Number(error.detail)) : 0;
    if (seconds > 0) countDown(error.words, seconds);
    else if (mayAutofocus()) pin.focus();
  }

  function countDown(words, seconds) {
    let left = seconds;
    const ok = () => root.querySelector("[data-testid=pin-ok]");
    waitTimer = setInterval(() => {
      left -= 1;
      if (left > 0) return setText(ok(), `${left} ${t("unit_s")}`);
      clearInterval(waitTimer);
      waitTimer = null;
      fault.clear();
      setText(ok(), t("signin_ok"));
    }, 1000);
    fault.show({ zh: `${words.zh} (${seconds} s)`, en: `${words.en} (${seconds} s)` });
    setText(ok(), `${left} ${t("unit_s")}`);
  }

  /** Waiting is the officer's, not the desk's. */
  function stopWaiting() {
    clearInterval(waitTimer);
    waitTimer = null;
    setText(root.querySelector("[data-testid=pin-ok]"), t("signin_ok"));
  }

  // A digit typed while the focus is elsewhere still belongs to the PIN.
  addEventListener("keydown", (event) => {
    if (root.hidden || event.target === pin || event.ctrlKey || event.altKey || event.metaKey) return;
    if (/^[0-9]$/.test(event.key)) {
      event.preventDefault();
      pin.value += event.key;
      pin.focus();
    }
  });

  return {
    open() {
      root.hidden = false;
      chosen = null;
      pin.value = "";
      draw();
      load();
    },
    close() {
      pin.value = "";
      root.hidden = true;
    },
    draw,
  };
}
