// The table of gateways. Only the rows in sight are in the document, so that thousands cost no more
// than a screenful; the room of the others is held by two empty rows.
//
// The table is one stop of the Tab key: arrows, Page Up/Down, Home and End move the active row,
// Enter opens it.

import { byId, h, setData, setText, show } from "./dom.js";
import { COLUMNS, headOf, headTitle, paint } from "./fleet-cells.js";
import { t } from "./fleet-strings.js";
import { lang } from "./strings.js";

const ROW_PX = 34;
const BEYOND = 8;

/** @param {{onOpen: function(string), onSort: function(string)}} calls */
export function createTable({ onOpen, onSort }) {
  let rows = [];
  let selected = "";
  let active = null;
  const pool = [];
  const above = spacer();
  const below = spacer();
  const body = h("tbody", {}, above, below);
  const heads = COLUMNS.map((column) => headCell(column, onSort));
  const table = h("table", {
    class: "grid", role: "grid", tabindex: 0, testid: "fleet-table", "aria-colcount": COLUMNS.length, on: { keydown: onKey, focus: draw, blur: draw },
  },
  h("colgroup", {}, COLUMNS.map((column) => h("col", { class: `col-${column.id}` }))),
  h("thead", {}, h("tr", { "aria-rowindex": 1 }, heads)), body);
  const scroll = h("div", { class: "grid-scroll" }, table);
  const empty = h("p", { class: "grid-empty", testid: "table-none", hidden: true });
  byId("table").append(scroll, empty);
  body.addEventListener("click", onClick);
  scroll.addEventListener("scroll", draw, { passive: true });
  new ResizeObserver(draw).observe(scroll);

  /** Shows other rows. `all` is how many there are without the filter. */
  function set(next, shown, all) {
    rows = next;
    selected = shown.gw;
    heads.forEach((head, i) => head.setAttribute("aria-sort", sortWord(COLUMNS[i], shown)));
    setData(byId("table"), { count: rows.length });
    setText(empty, all === null ? t("loading") : t(all === 0 ? "table_empty" : "table_none"));
    show(empty, rows.length === 0);
    table.setAttribute("aria-rowcount", String(rows.length + 1));
    draw();
  }

  function draw() {
    const headPx = table.tHead.offsetHeight;
    const first = Math.max(0, Math.floor(scroll.scrollTop / ROW_PX) - BEYOND);
    const fits = Math.ceil((scroll.clientHeight - headPx) / ROW_PX) + 2 * BEYOND;
    const count = Math.max(0, Math.min(rows.length - first, fits));
    poolTo(count);
    setHeight(above, first * ROW_PX);
    setHeight(below, (rows.length - first - count) * ROW_PX);
    for (let i = 0; i < count; i += 1) drawRow(pool[i], rows[first + i], first + i);
    if (active && document.activeElement === table) table.setAttribute("aria-activedescendant", rowId(active));
    else table.removeAttribute("aria-activedescendant");
  }

  function poolTo(count) {
    while (pool.length < count) {
      const row = h("tr", { class: "one" }, COLUMNS.map((column) => h(column.id === "name" ? "th" : "td", { scope: column.id === "name" ? "row" : null, class: `c-${column.id}` }, h("div", { class: "cell" }))));
      pool.push(row);
      below.before(row);
    }
    while (pool.length > count) pool.pop().remove();
  }

  function drawRow(row, gateway, index) {
    const focus = gateway.key === active && document.activeElement === table;
    setData(row, { key: gateway.key, link: gateway.online === true ? "online" : "offline", old: gateway.online === false || gateway.silent ? "true" : null, active: focus ? "true" : null });
    row.id = rowId(gateway.key);
    row.setAttribute("aria-rowindex", String(index + 2));
    row.setAttribute("aria-selected", String(gateway.key === selected));
    COLUMNS.forEach((column, i) => paint(row.cells[i], column.cell(gateway), lang()));
  }

  function onClick(event) {
    const key = event.target.closest("tr.one")?.dataset.key;
    if (!key) return;
    active = key;
    onOpen(key);
  }

  function onKey(event) {
    if (event.target !== table || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Enter" && active) onOpen(active);
    const to = target(event.key);
    if (to === null || rows.length === 0) return;
    event.preventDefault();
    const index = Math.max(0, Math.min(rows.length - 1, to));
    active = rows[index].key;
    bringIntoSight(index);
    draw();
  }

  function target(key) {
    const at = rows.findIndex((one) => one.key === active);
    const page = Math.max(1, Math.floor(scroll.clientHeight / ROW_PX) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    if (key === "Home") return 0;
    if (key === "End") return rows.length - 1;
    if (!(key in steps)) return null;
    return at < 0 ? 0 : at + steps[key];
  }

  function bringIntoSight(index) {
    const top = index * ROW_PX;
    const room = scroll.clientHeight - table.tHead.offsetHeight;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    else if (top + ROW_PX > scroll.scrollTop + room) scroll.scrollTop = top + ROW_PX - room;
  }

  function relabel() {
    COLUMNS.forEach((column, i) => {
      const button = heads[i].firstElementChild;
      button.replaceChildren(...headOf(column), h("span", { class: "arrow", "aria-hidden": "true" }));
      button.title = headTitle(column);
    });
    table.setAttribute("aria-label", t("table"));
  }

  return { set, relabel, focus: () => table.focus({ preventScroll: true }) };
}

function headCell(column, onSort) {
  return h("th", { scope: "col", class: `c-${column.id}` },
    h("button", { class: "sort", type: "button", testid: `sort-${column.id}`, on: { click: () => onSort(column.id) } }));
}

function sortWord(column, shown) {
  if (column.id !== shown.sort) return "none";
  return shown.dir === "asc" ? "ascending" : "descending";
}

function spacer() {
  return h("tr", { class: "spacer", "aria-hidden": "true" }, h("td", { colspan: COLUMNS.length }));
}

function setHeight(row, px) {
  const height = `${Math.max(0, px)}px`;
  if (row.firstElementChild.style.height !== height) row.firstElementChild.style.height = height;
  show(row, px > 0);
}

function rowId(key) {
  return `row-${key}`;
}
