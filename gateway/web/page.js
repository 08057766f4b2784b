// What every page has: the language and light/dark buttons, and texts marked with data-t.
//
// The choice of light or dark is kept in localStorage; `?theme=dark` or `light` in the address goes before it.

import { h, byId, setText } from "./dom.js";
import { icon } from "./icons.js";
import { lang, onLang, otherLang, setLang, t } from "./strings.js";

const THEME_KEY = "kakou.theme";

let describe = () => "";

/** What the title of the page says beside its kind, such as the lane; asked for at each change of the language. */
export function titlePage(about) {
  describe = about;
  putTitle();
}

let titleOf = "product";

function putTitle() {
  document.title = [t(titleOf), describe(), t("product")].filter(Boolean).join(" · ");
}

/**
 * Prepares the page and fills #tools. `render` runs at each change of the language.
 * `titleKey` names the string for the document's title. A screen for the public has no buttons.
 */
export function startPage(titleKey, render = () => {}, withTools = true) {
  titleOf = titleKey;
  const langButton = h("button", {
    class: "tool", type: "button", testid: "lang", on: { click: () => setLang(otherLang()) },
  });
  const themeButton = h("button", {
    class: "tool", type: "button", testid: "theme", on: { click: flipTheme },
  });
  if (withTools) byId("tools").append(themeButton, langButton);

  function refresh() {
    document.documentElement.lang = lang() === "zh" ? "zh-CN" : "en";
    putTitle();
    setText(langButton, lang() === "zh" ? "EN" : "中文");
    langButton.lang = lang() === "zh" ? "en" : "zh-CN";
    // The name begins with the word that is seen, so that it can be called by it.
    langButton.setAttribute("aria-label", lang() === "zh" ? "EN: English" : "中文：切换到中文");
    themeButton.setAttribute("aria-label", t("theme"));
    themeButton.title = t("theme");
    for (const element of document.querySelectorAll("[data-t]")) setText(element, t(element.dataset.t));
    render();
  }

  function drawTheme() {
    const theme = currentTheme();
    document.documentElement.dataset.theme = theme;
    themeButton.replaceChildren(icon(theme === "light" ? "moon" : "sun"));
  }

  function flipTheme() {
    const address = new URL(location.href);
    address.searchParams.delete("theme");
    history.replaceState(null, "", address);
    localStorage.setItem(THEME_KEY, currentTheme() === "light" ? "dark" : "light");
    drawTheme();
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTheme);
  addEventListener("storage", drawTheme);
  onLang(refresh);
  drawTheme();
  refresh();
}

function currentTheme() {
  const asked = new URLSearchParams(location.search).get("theme");
  if (asked === "light" || asked === "dark") return asked;
  const stored = localStorage.getItem(THEME_KEY);
  if (stored === "light" || stored === "dark") return stored;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}
