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

/** Whether the pointer is a mouse. On a touch screen an automatic focus would open the keyboard. */
export function mayAutofocus() {
  return matchMedia("(pointer: fine)").matches;
}
