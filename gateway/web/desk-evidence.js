// The Asks that make evidence: seal, photo, confirm.

import { h, mayAutofocus, radioGroup, setText } from "./dom.js";
import { laneOfPage, photoUrl } from "./api.js";
import { icon } from "./icons.js";
import { photoImage } from "./desk-view.js";
import { placeOf, signByOther, signatureList } from "./desk-sign.js";
import { letterKeys } from "./letters.js";
import { pick, t, text, textOf } from "./strings.js";

/** A seal number as it is compared: capital letters, no spaces. */
export function tidySeal(value) {
  return value.replace(/\s/g, "").toUpperCase();
}

export function askSeal({ ask, draft, act, fail, clear }) {
  // A number that the scanner read stands for the first time; the officer types it once more.
  if (ask.scanned) draft.first = ask.scanned;
  const match = h("p", { class: "state seal-match", role: "status", testid: "seal-match" });
  const first = sealField("first", t("seal_first"));
  const second = sealField("second", t("seal_second"));
  // The second number is read from the seal again; pasting the first one would compare nothing.
  second.addEventListener("paste", (event) => event.preventDefault());

  function sealField(name, label) {
    const field = h("input", {
      class: "input seal-input", type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "characters",
      maxlength: 40, testid: `seal-${name}`, data: { autofocus: name === (ask.scanned ? "second" : "first") ? "" : null },
      readonly: name === "first" && Boolean(ask.scanned), "aria-label": label, value: draft[name] ?? "",
      on: { input: () => { draft[name] = field.value; clear(); compare(); } },
    });
    return field;
  }

  let typedInto = ask.scanned ? second : first;
  for (const field of [first, second]) field.addEventListener("focus", () => { typedInto = field; });

  function matches() {
    return tidySeal(first.value) !== "" && tidySeal(first.value) === tidySeal(second.value);
  }

  function compare() {
    const a = tidySeal(first.value);
    const b = tidySeal(second.value);
    const [key, level, picture] = matches() ? ["seal_match", "ok", "ok"]
      : a === "" ? ["seal_start", "off", "off"]
      : b === "" || a.startsWith(b) ? ["seal_again", "off", "off"] : ["seal_differ", "bad", "bad"];
    match.dataset.level = level;
    match.dataset.match = String(matches());
    match.replaceChildren(icon(picture), h("span", { text: t(key) }));
    submit.setAttribute("aria-disabled", String(!matches()));
  }

  function send(event) {
    event.preventDefault();
    // A scanner ends the first number with Enter: that leads to the second field.
    if (event.submitter === null || document.activeElement === first) {
      if (tidySeal(first.value) !== "" && second.value === "") return second.focus();
    }
    if (tidySeal(first.value) === "") return fail(text("seal_start"));
    if (!matches()) {
      if (mayAutofocus()) {
        second.focus();
        second.select();
      }
      return fail(text(second.value === "" ? "seal_again" : "seal_differ"));
    }
    // What nobody has chosen is no evidence.
    if (!draft.door || !draft.kind) return fail(text("seal_need_place"));
    act({ action: "seal", first: tidySeal(first.value), second: tidySeal(second.value), kind: draft.kind, door: draft.door });
  }

  const submit = h("button", { class: "button primary", type: "submit", testid: "seal-ok", data: { primary: "" }, text: t("seal_ok") });
  compare();
  return h("form", { class: "seal-form", on: { submit: send } },
    h("label", { class: "field" }, h("span", { text: t("seal_first") }), first),
    h("label", { class: "field" }, h("span", { text: t("seal_second") }), second),
    radios(t("seal_door"), "seal-door", ask.doors, draft, "door", clear),
    radios(t("seal_kind"), "seal-kind", ask.kinds, draft, "kind", clear),
    h("div", { class: "seal-end step-end" }, match, submit),
    h("div", { class: "seal-keys" }, letterKeys("seal", () => typedInto, false)));
}

function radios(label, prefix, options, draft, name, onChoose) {
  const buttons = options.map((option) => h("button", {
    class: "button", type: "button", role: "radio", testid: `${prefix}-${option.value}`,
    "aria-checked": String(draft[name] === option.value), text: pick(option.text),
    on: { click: (event) => {
      draft[name] = option.value;
      for (const button of buttons) button.setAttribute("aria-checked", String(button === event.currentTarget));
      onChoose();
    } },
  }));
  return radioGroup({ class: "radios", "aria-label": label }, h("span", { class: "radios-label", text: label }), buttons);
}

const PHOTO_LEVEL = { missing: "off", taking: "off", review: "warn", retake: "bad", accepted: "ok" };

/** States in which the officer points the camera. */
const LIVE = new Set(["missing", "taking", "retake"]);
/** Between two pictures of the preview, in milliseconds. */
const LIVE_EVERY = 400;

/** What the camera sees now, as long as it is on the page. It is hidden until the camera has shown something. */
function liveImage(lane) {
  const image = h("img", { class: "preview-img live", alt: t("photo_live"), testid: "photo-live", hidden: true });
  let shown = 0;
  const next = () => setTimeout(() => {
    if (image.isConnected) image.src = `/api/v1/lanes/${encodeURIComponent(lane)}/preview?n=${shown++}`;
  }, shown ? LIVE_EVERY : 0);
  image.addEventListener("load", () => {
    image.hidden = false;
    next();
  });
  image.addEventListener("error", () => {
    image.hidden = true;
    if (image.isConnected) setTimeout(next, 2000);
  });
  next();
  return image;
}

export function askPhoto({ ask, visit, act }) {
  const photos = visit?.photos ?? [];
  const photo = photos.find((one) => one.role === ask.role) ?? { role: ask.role, label: ask.prompt, state: "missing", sha256: null };
  const send = (action) => () => act({ action, role: ask.role });
  const button = (testid, key, picture, action, primary) => h("button", {
    class: primary ? "button primary" : "button", type: "button", testid, data: { primary: primary ? "" : null },
    on: { click: send(action) },
  }, icon(picture), h("span", { text: t(key) }));

  const buttons = {
    missing: () => [button("photo-capture", "photo_do_capture", "photo", "capture", true)],
    taking: () => [h("p", { class: "hint", text: t("photo_taking") })],
    review: () => [
      button("photo-accept", "photo_do_accept", "tick", "accept", true),
      button("photo-retake", "photo_do_retake", "redo", "retake", false),
    ],
    retake: () => [button("photo-retake", "photo_do_retake", "redo", "retake", true)],
    accepted: () => [button("photo-retake", "photo_do_retake", "redo", "retake", false)],
  }[photo.state] ?? (() => []);

  return h("div", { class: "photo-form", data: { state: photo.state } },
    h("div", { class: "preview", testid: "photo-preview", data: { state: photo.state } },
      // A picture that was refused stays in sight, so that the officer sees what is wrong with it.
      photo.sha256 ? photoImage(photo, "preview-img") : icon("photo"),
      LIVE.has(photo.state) ? liveImage(laneOfPage()) : null),
    h("div", { class: "photo-side" },
      h("p", { class: "state", data: { level: PHOTO_LEVEL[photo.state] ?? "off" } }, icon(PHOTO_LEVEL[photo.state] ?? "off"), t(`photo_${photo.state}`)),
      photo.reason ? h("p", { class: "photo-reason", testid: "photo-reason", text: pick(photo.reason) }) : null,
      photo.sha256 ? h("p", { class: "hint", text: quality(photo) }) : null,
      buttons(),
      h("ul", { class: "photo-roles" }, photos.map((one) => h("li", {
        class: "state", testid: `photo-role-${one.role}`, data: { level: PHOTO_LEVEL[one.state] ?? "off", state: one.state },
        "aria-current": one.role === ask.role ? "true" : null,
      }, icon(PHOTO_LEVEL[one.state] ?? "off"), pick(one.label))))));
}

function quality(photo) {
  const parts = [];
  if (photo.sharpness !== null && photo.sharpness !== undefined) parts.push(`${t("photo_sharpness")} ${Math.round(photo.sharpness)}`);
  if (photo.exposure) parts.push(t(`exposure_${photo.exposure}`));
  return parts.join(" · ");
}

/** The close-up of the seal and the number on record, to be compared with each other. */
function sealBeside(visit) {
  const seals = visit?.seals ?? [];
  if (seals.length === 0) return null;
  const accepted = (visit.photos ?? []).filter((photo) => photo.sha256 && photo.state === "accepted");
  const photo = accepted.find((one) => one.role === "closeup") ?? accepted[accepted.length - 1];
  return h("div", { class: "confirm-seal" },
    photo ? h("img", { class: "confirm-photo", src: photoUrl(photo.sha256), alt: pick(photo.label), testid: "confirm-photo" }) : null,
    h("small", { text: t("seal_recorded") }),
    seals.map((seal) => h("p", { class: "confirm-number", testid: "confirm-number" }, seal.number,
      h("small", { text: `${pick(seal.door_text) || seal.door} · ${pick(seal.kind_text) || seal.kind}` }))));
}

export function askConfirm({ ask, visit, draft, act, fail, clear, fault, officer }) {
  draft.ticked ??= [];
  const signatures = ask.signatures ?? [];
  // With one signature of anybody's, the checks are all there is to see.
  const shared = signatures.length > 1 || signatures.some((one) => one.roles.length > 0);
  const mine = !shared || placeOf(signatures, officer) !== null;
  const left = h("p", { class: "hint" });
  const words = shared ? t(ask.checks.length > 0 ? "sign_all" : "sign_ok") : t("confirm_ok");
  const submit = h("button", {
    class: "button primary", type: "button", testid: "confirm-ok", data: { primary: "" }, text: words, on: { click: () => send() },
  });

  function refresh() {
    const missing = ask.checks.filter((check) => !draft.ticked.includes(check.id)).length;
    submit.setAttribute("aria-disabled", String(missing > 0));
    setText(left, missing > 0 ? t("confirm_left", { n: missing }) : "");
    return missing;
  }

  function toggle(check, button) {
    const at = draft.ticked.indexOf(check.id);
    if (at < 0) draft.ticked.push(check.id);
    else draft.ticked.splice(at, 1);
    button.setAttribute("aria-checked", String(at < 0));
    clear();
    refresh();
  }

  function isTicked() {
    const missing = refresh();
    if (missing > 0) fail(textOf("confirm_left", { n: missing }));
    return missing === 0;
  }

  async function send(by, onRefused) {
    if (!isTicked()) return;
    const checks = ask.checks.map((check) => check.id);
    // Whoever signs next ticks for themselves.
    if (await act(by ? { action: "confirm", checks, by } : { action: "confirm", checks }, onRefused)) draft.ticked = [];
  }

  refresh();
  const beside = sealBeside(visit);
  const checks = h("div", { class: "confirm-checks" },
    shared ? signatureList(signatures, officer) : null,
    h("div", { class: "checks" }, ask.checks.map((check, i) => {
      const button = h("button", {
        class: "button check", type: "button", role: "checkbox", "aria-checked": String(draft.ticked.includes(check.id)),
        testid: `check-${check.id}`, data: { key: i + 1 }, on: { click: () => toggle(check, button) },
      }, h("kbd", { text: i + 1 }), h("span", { class: "box" }, icon("tick")), h("span", { text: pick(check.text) }));
      return button;
    })),
    mine ? h("div", { class: "confirm-end step-end" }, left, submit) : [left, signByOther({ signatures, draft, fault, ready: isTicked, send })]);
  return beside ? h("div", { class: "confirm-form" }, beside, checks) : checks;
}
