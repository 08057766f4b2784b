// Every picture on the screens, drawn from const tables. Each outcome and each state has its own
// outline, so that the shape alone tells it apart. Parts: "shape" is filled with the text colour,
// "mark" is a line in the --mark colour on top of a shape, "line" is a line in the text colour.

const SVG = "http://www.w3.org/2000/svg";

const PICTURES = {
  // Outcomes: circle, arrow sign, rounded square, octagon.
  ADMIT: [["shape", "M50 4a46 46 0 1 0 0 92a46 46 0 1 0 0-92z"], ["mark", "M27 52l16 17l31-36"]],
  REFER: [["shape", "M4 12h50l42 38l-42 38h-50z"], ["mark", "M18 50h48M46 30l21 20l-21 20"]],
  HOLD: [["shape", "M18 6h64a12 12 0 0 1 12 12v64a12 12 0 0 1-12 12h-64a12 12 0 0 1-12-12v-64a12 12 0 0 1 12-12z"],
    ["mark", "M37 30v40M63 30v40"]],
  DENY: [["shape", "M30 4h40l26 26v40l-26 26h-40l-26-26v-40z"], ["mark", "M33 33l34 34M67 33l-34 34"]],

  // States of machines: disc, triangle, square, ring.
  ok: [["shape", "M50 10a40 40 0 1 0 0 80a40 40 0 1 0 0-80z"]],
  warn: [["shape", "M50 8l46 82h-92z"], ["mark", "M50 38v24M50 76v1"]],
  bad: [["shape", "M10 10h80v80h-80z"], ["mark", "M32 32l36 36M68 32l-36 36"]],
  off: [["line", "M50 14a36 36 0 1 0 0 72a36 36 0 1 0 0-72z"]],

  // Steps.
  scan: [["line", "M8 30v-22h22M70 8h22v22M92 70v22h-22M30 92h-22v-22M28 28h14v14h-14zM58 28h14v14h-14zM28 58h14v14h-14zM58 58h6v6M72 72v-6"]],
  temperature: [["line", "M40 58v-40a11 11 0 0 1 22 0v40a21 21 0 1 1-22 0zM51 74v-42"]],
  question: [["line", "M10 14h80v56h-46l-18 18v-18h-16zM40 34a10 10 0 1 1 11 12v4M51 59v1"]],
  approve: [["line", "M28 92h44M36 78h28l-4-22a16 16 0 1 0-20 0zM22 92v-14h56v14"]],
  seal: [["line", "M22 46h56v44h-56zM32 46v-16a18 18 0 0 1 36 0v16M50 62v12"]],
  photo: [["line", "M8 26h22l8-12h24l8 12h22v58h-84zM50 38a16 16 0 1 0 0 32a16 16 0 1 0 0-32z"]],
  confirm: [["line", "M12 14h16v16h-16zM12 44h16v16h-16zM12 74h16v16h-16zM42 22h46M42 52h46M42 82h46"]],
  weigh: [["line", "M20 60h60l8 32h-76zM30 60a20 20 0 0 1 40 0M50 60v-12M22 24h56M50 24v16"]],
  form: [["line", "M16 8h50l18 18v66h-68zM30 40h40M30 56h40M30 72h24"]],
  tally: [["line", "M16 18v64M34 18v64M52 18v64M70 18v64M6 66l76-32"]],
  "seal-check": [["line", "M14 46h48v44h-48zM24 46v-16a14 14 0 0 1 28 0v16M66 30l10 12l18-24"]],
  party: [["line", "M34 14a14 14 0 1 0 0 28a14 14 0 1 0 0-28zM8 88v-12a22 22 0 0 1 44-6M70 30a11 11 0 1 0 0 22a11 11 0 1 0 0-22zM46 90v-8a24 24 0 0 1 48 0v8z"]],
  register: [["line", "M14 12h72v76h-72zM14 36h72M14 62h72M40 12v76"]],
  later: [["line", "M50 10a40 40 0 1 0 0 80a40 40 0 1 0 0-80zM50 26v26l18 12"]],
  aside: [["line", "M12 50h44M40 32l18 18l-18 18M74 16v68"]],
  in: [["line", "M50 8v56M28 44l22 22l22-22M12 90h76"]],
  out: [["line", "M50 70v-58M28 34l22-22l22 22M12 90h76"]],
  through: [["line", "M8 50h80M66 28l22 22l-22 22"]],
  begin: [["shape", "M50 4a46 46 0 1 0 0 92a46 46 0 1 0 0-92z"], ["mark", "M50 24v52M24 50h52"]],
  wait: [["line", "M24 8h52M24 92h52M30 8c0 26 40 28 40 42s-40 16-40 42M70 8c0 26-40 28-40 42s40 16 40 42"]],

  // Other.
  closed: [["line", "M8 34h84v26h-84zM22 60v30M78 60v30M28 34l-14 26M54 34l-14 26M80 34l-14 26"]],
  lost: [["line", "M10 38a58 58 0 0 1 80 0M26 56a36 36 0 0 1 48 0M42 73a14 14 0 0 1 16 0M50 88v1M12 10l76 80"]],
  sound: [["line", "M12 38v24h16l24 20v-64l-24 20zM66 36a20 20 0 0 1 0 28M78 24a36 36 0 0 1 0 52"]],
  sun: [["line", "M50 32a18 18 0 1 0 0 36a18 18 0 1 0 0-36zM50 6v12M50 82v12M6 50h12M82 50h12M19 19l8 8M73 73l8 8M81 19l-8 8M27 73l-8 8"]],
  moon: [["line", "M62 10a42 42 0 1 0 28 58a36 36 0 0 1-28-58z"]],
  redo: [["line", "M84 50a34 34 0 1 1-12-26M74 6v20h-20"]],
  pen: [["line", "M14 86l6-24l48-48l18 18l-48 48zM58 24l18 18"]],
  keyboard: [["line", "M6 24h88v52h-88zM20 40h2M36 40h2M52 40h2M68 40h2M80 40h2M28 60h44"]],
  search: [["line", "M42 10a32 32 0 1 0 0 64a32 32 0 1 0 0-64zM65 66l26 26"]],
  cross: [["line", "M18 18l64 64M82 18l-64 64"]],
  tick: [["line", "M14 54l24 26l48-58"]],
  print: [["line", "M26 36v-26h48v26M26 70h-16v-34h80v34h-16M26 56h48v34h-48z"]],
  back: [["line", "M30 20h62v60h-62l-24-30zM48 38l24 24M72 38l-24 24"]],
  cloud: [["line", "M28 80a20 20 0 0 1-2-40a26 26 0 0 1 50-4a22 22 0 0 1 0 44z"]],
};

/** An inline SVG; decorative, the words beside it carry the meaning. */
export function icon(name, className = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("class", `icon ${className}`.trim());
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("focusable", "false");
  svg.dataset.icon = name;
  for (const [kind, d] of PICTURES[name] ?? PICTURES.wait) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", `i-${kind}`);
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/** Replaces the picture in `holder` only when the name changes. */
export function setIcon(holder, name) {
  if (holder.firstElementChild?.dataset.icon !== name) holder.replaceChildren(icon(name));
}
