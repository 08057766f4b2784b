// Building and updating elements. Text always goes in through textContent, so that nothing a
// server, a card or a person typed is ever read as markup.

/**
 * Creates an element. `props` may hold `class`, `text`, `testid`, `data` (dataset entries),
 * `on` (listeners) and any attribute; null, undefined and false leave an attribute out.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "text") element.textContent = value;
    else if (key === "class") element.className = value;
    else if (key === "testid") element.dataset.testid = value;
    else if (key === "data") setData(element, value);
    else if (key === "on") for (const [name, fn] of Object.entries(value)) element.addEventListener(name, fn);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

/** Appends children; arrays are flattened, strings become text nodes, null and false are skipped. */
export function add(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child);
  }
}

export function fill(parent, ...children) {
  parent.replaceChildren();
  add(parent, children);
}

/** Changes the text only when it differs: a live region then speaks once per change. */
export function setText(element, text) {
  const wanted = text ?? "";
  if (element.textContent !== wanted) element.textContent = wanted;
}

const words = "Segmenter" in Intl ? new Intl.Segmenter("zh", { granularity: "word" }) : null;

/** Chinese has no blanks: large words break where a word ends, and not before a single character or a point. */
export function setPhrase(element, text) {
  const wanted = text ?? "";
  if (element.textContent === wanted) return;
  if (!words || !/\p{Script=Han}/u.test(wanted)) {
    element.textContent = wanted;
    return;
  }
  const pieces = [];
  let singles = 0;
  for (const { segment } of words.segment(wanted)) {
    const single = [...segment].length === 1;
    const point = single && !/[\p{L}\p{N}]/u.test(segment);
    singles = single && !point ? singles + 1 : 0;
    // One character belongs to the word before it; two or more in a row are a word of their own.
    if (pieces.length > 0 && (point || singles > 2)) pieces[pieces.length - 1] += segment;
    else if (pieces.length > 0 && singles === 1) pieces[pieces.length - 1] += segment;
    else if (singles === 2) {
      const last = pieces.pop();
      const [kept, moved] = [last.slice(0, -1), last.slice(-1)];
      if (kept) pieces.push(kept);
      pieces.push(moved + segment);
    } else pieces.push(segment);
  }
  element.replaceChildren(...pieces.flatMap((piece, i) => (i === 0 ? [piece] : [document.createElement("wbr"), piece])));
}

export function setData(element, entries) {
  for (const [key, value] of Object.entries(entries)) {
    if (value === null || value === undefined) delete element.dataset[key];
    else element.dataset[key] = String(value);
  }
}

export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page lacks #${id}`);
  return element;
}

export function byTestid(id, root = document) {
  return root.querySelector(`[data-testid="${CSS.escape(id)}"]`);
}

/**
 * A group of `role=radio` buttons: one Tab stop, and the arrow keys choose. The buttons keep their own listeners and
 * set aria-checked; an arrow presses the next one.
 */
export function radioGroup(props, ...children) {
  const group = h("div", { role: "radiogroup", ...props }, children);
  const radios = () => [...group.querySelectorAll("[role=radio]")];
  const settle = () => {
    const all = radios();
    const stop = all.find((radio) => radio.getAttribute("aria-checked") === "true") ?? all[0];
    for (const radio of all) radio.tabIndex = radio === stop ? 0 : -1;
  };
  group.addEventListener("click", settle);
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const all = radios();
    const at = all.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    const next = all[(at + step + all.length) % all.length];
    next.focus();
    next.click();
  });
  settle();
  return group;
}

/** Whether the pointer is a mouse. On a touch screen an automatic focus would open the keyboard. */
export function mayAutofocus() {
  return matchMedia("(pointer: fine)").matches;
}
