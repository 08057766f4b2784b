// What the page shows, kept in the address behind #, so that a link or a reload shows the same:
//
//   q=TEXT  site=SITE  show=all|online|offline|unknown|alarms  alarm=NAME,NAME
//   sort=COLUMN  dir=asc|desc  gw=SITE/GATEWAY  trace=new|ID
//
// Whom a trace is about and its purpose never come here: addresses stay in histories.

const DEFAULTS = { q: "", site: "", show: "all", alarm: "", sort: "worst", dir: "desc", gw: "", trace: "" };

const listeners = new Set();
let current = read();

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, given.get(name) ?? value]));
}

function write(push) {
  const changed = Object.entries(current).filter(([name, value]) => value !== DEFAULTS[name]);
  const hash = new URLSearchParams(changed).toString().replaceAll("%2F", "/").replaceAll("%2C", ",");
  const address = hash ? `#${hash}` : location.pathname + location.search;
  if (push) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

addEventListener("popstate", () => {
  current = read();
  tell();
});

function tell() {
  for (const listener of listeners) listener(current);
}

export function view() {
  return current;
}

/** Changes some entries. With `push`, the browser's "back" undoes the change. */
export function setView(changes, push = false) {
  const next = { ...current, ...changes };
  if (Object.keys(DEFAULTS).every((name) => next[name] === current[name])) return;
  current = next;
  write(push);
  tell();
}

export function onView(listener) {
  listeners.add(listener);
}

/** The alarms of the filter, as a set. */
export function alarmsOf(shown) {
  return new Set(shown.alarm.split(",").filter(Boolean));
}
