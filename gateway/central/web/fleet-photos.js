// The photographs of one gateway: those of a visit together, with plate, seals, who worked there and when. A click
// enlarges one; arrows go through all of them.
//
// data-testid: pictures-visit, picture-ROLE, photo-large (data-sha256), photo-large-image, photo-large-words,
// photo-before, photo-next, photo-close.

import { fill, h, setData, setText } from "./dom.js";
import { photoUrl } from "./fleet-api.js";
import { t, word } from "./fleet-strings.js";
import { dateTime } from "./format.js";
import { icon } from "./icons.js";

/** A photograph comes behind everything that is more urgent. */
const AGAIN_MS = 10_000;

export function drawPictures(visits) {
  const all = visits.flatMap((visit) => (visit.photos ?? []).map((photo) => ({ visit, photo })));
  let next = 0;
  return visits.map((visit) => {
    const first = next;
    next += visit.photos?.length ?? 0;
    const images = (visit.photos ?? []).map((photo, i) => thumb(photo, visit, () => enlarge(all, first + i)));
    return h("article", { class: "visit", testid: "pictures-visit" }, facts(visit), h("div", { class: "thumbs" }, images));
  });
}

/** What the record says of the visit. */
function facts(visit) {
  const seals = (visit.seals ?? []).map((seal) => seal.number).filter(Boolean).join("、");
  const rows = [
    [t("dv_plate"), visit.plate && h("b", { class: "plate-words", text: visit.plate })],
    [t("dv_seals"), seals && h("b", { text: seals })],
    [t("dv_officers"), (visit.officers ?? []).join("、")],
    [t("dv_by"), visit.by],
    [t("dv_route"), [visit.from, visit.to].filter(Boolean).join(" → ")],
  ].filter(([, value]) => value);
  return [
    h("p", { class: "visit-head" }, h("b", { text: dateTime(visit.at) }), ` · ${t("col_lane")} ${visit.lane ?? "—"}`),
    rows.length > 0 ? h("dl", { class: "pairs" }, rows.map(([name, value]) => [h("dt", { text: name }), h("dd", {}, value)])) : null,
  ];
}

function roleOf(photo) {
  return word("photo_", photo.role);
}

function thumb(photo, visit, onOpen) {
  const caption = h("span", { class: "thumb-words" }, roleOf(photo), photo.at ? h("small", { text: dateTime(photo.at) }) : null);
  const button = h("button", { class: "thumb", type: "button", title: t("d_photo_open"), testid: `picture-${photo.role}`, on: { click: onOpen } },
    image(photo, visit, "thumb-image"), caption);
  return button;
}

/** An image that is asked for again while it is not there. */
function image(photo, visit, kind) {
  const alt = t("d_photo_alt", { what: roleOf(photo), lane: visit.lane ?? "—", at: dateTime(photo.at ?? visit.at) });
  const element = h("img", { class: kind, alt, src: photoUrl(photo.sha256), on: { error: later } });
  const note = h("span", { class: "photo-away", text: t("d_photo_failed") });
  let tries = 0;
  function later() {
    element.replaceWith(note);
    setTimeout(() => {
      if (!note.isConnected) return;
      tries += 1;
      note.replaceWith(element);
      element.src = `${photoUrl(photo.sha256)}?again=${tries}`;
    }, AGAIN_MS);
  }
  return element;
}

function enlarge(all, at) {
  let place = at;
  const room = h("div", { class: "large-image" });
  const words = h("div", { class: "large-words", testid: "photo-large-words" });
  const count = h("span", { class: "large-count" });
  const before = arrow("photo-before", "d_photo_before", "◀", () => move(-1));
  const next = arrow("photo-next", "d_photo_next", "▶", () => move(1));
  const close = h("button", { class: "button", type: "button", "aria-label": t("close"), title: `${t("close")} (Esc)`, testid: "photo-close", on: { click: () => dialog.close() } }, icon("cross"));
  const dialog = h("dialog", { class: "photo-large", testid: "photo-large", on: { close: () => dialog.remove(), keydown: onKey, click: onClick } },
    h("div", { class: "large-head" }, words, before, count, next, close), room);

  function move(step) {
    place = (place + step + all.length) % all.length;
    draw();
  }

  function draw() {
    const { visit, photo } = all[place];
    const picture = image(photo, visit, "large");
    picture.dataset.testid = "photo-large-image";
    fill(room, picture);
    fill(words, h("p", {}, h("b", { text: roleOf(photo) }), ` · ${dateTime(photo.at ?? visit.at)}`), facts(visit),
      h("code", { class: "hash", text: `SHA-256 ${photo.sha256}` }));
    setText(count, t("d_photo_of", { n: place + 1, all: all.length }));
    setData(dialog, { sha256: photo.sha256 });
    before.disabled = all.length < 2;
    next.disabled = all.length < 2;
  }

  function onKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && all.length > 1) move(step);
  }

  /** Beside the picture. */
  function onClick(event) {
    if (event.target === dialog || event.target === room) dialog.close();
  }

  document.body.append(dialog);
  draw();
  dialog.showModal();
}

function arrow(testid, label, sign, onClick) {
  return h("button", { class: "button", type: "button", "aria-label": t(label), title: t(label), testid, text: sign, on: { click: onClick } });
}
