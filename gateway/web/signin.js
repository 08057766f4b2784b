// The sign-in of the desk: pick a name, type a PIN. The PIN field is emptied after each try.

import { ApiError, getOfficers, signIn } from "./api.js";
import { byId, fill, h, mayAutofocus, radioGroup, setText } from "./dom.js";
import { faultBox, pinInput, pinPad, refusePin } from "./pinpad.js";
import { icon } from "./icons.js";
import { t, text } from "./strings.js";

/** @param {function({officer, name, role})} onSignedIn */
export function createSignIn(onSignedIn) {
  const root = byId("signin");
  const fault = faultBox("signin-error");
  let officers = null;
  let chosen = null;
  let busy = false;
  let waiting = false;
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
        officers?.length === 0 ? nobody()
          : radioGroup({ class: "officers", "aria-label": t("signin_pick") }, (officers ?? []).map(officerButton)),
        fault.element),
      form);
  }

  /** Without officers nobody can ever sign in here: that is for whoever set the box up. */
  function nobody() {
    return h("div", { class: "banner warn nobody", testid: "signin-nobody" }, icon("warn"),
      h("div", {}, h("b", { text: t("signin_nobody") }), h("p", { text: t("signin_nobody_do") }),
        h("p", {}, h("code", { text: "kakou officer pin" }))));
  }

  function officerButton(officer) {
    return h("button", {
      class: "button officer-choice", type: "button", role: "radio", "aria-checked": String(chosen === officer.id),
      testid: `signin-officer-${officer.id}`, data: { role: officer.role },
      on: { click: (event) => choose(officer.id, event.detail > 0) },
    }, h("span", { text: officer.name, lang: /\p{Script=Han}/u.test(officer.name) ? "zh-CN" : "en" }), h("small", { text: t(`role_${officer.role}`) }));
  }

  /** Whoever goes through the names by keys stays among them. */
  function choose(id, byPointer) {
    if (id !== chosen) stopWaiting();
    chosen = id;
    for (const button of root.querySelectorAll("[role=radio]")) {
      button.setAttribute("aria-checked", String(button.dataset.testid === `signin-officer-${id}`));
    }
    fault.clear();
    if (byPointer && mayAutofocus()) pin.focus();
  }

  async function submit(event) {
    event?.preventDefault();
    if (busy || waiting) return;
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
    const ok = root.querySelector("[data-testid=pin-ok]");
    if (error.waitS > 0) {
      waiting = true;
      refusePin(fault, error, "", {
        onTick: (left) => setText(root.querySelector("[data-testid=pin-ok]"), `${left} ${t("unit_s")}`),
        onEnd: stopWaiting,
      });
    } else {
      refusePin(fault, error);
      setText(ok, t("signin_ok"));
      if (mayAutofocus()) pin.focus();
    }
  }

  /** Waiting is the officer's, not the desk's. */
  function stopWaiting() {
    waiting = false;
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
    /** `officer` is chosen already: who was here before. */
    open(officer = null) {
      root.hidden = false;
      chosen = officer;
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
