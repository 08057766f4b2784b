// What every page has: the language and light/dark buttons, and texts marked with data-t.

import { h, byId, setText } from "./dom.js";
import { icon } from "./icons.js";
import { lang, onLang, otherLang, setLang, t } from "./strings.js";

const THEME_KEY = "kakou.theme";

/**
 * Prepares the page and fills #tools. `render` runs at each change of the language.
 * `titleKey` names the string for the document's title.
 */
export function startPage(titleKey, render = () => {}) {
  const langButton = h("button", {
    class: "tool", type: "button", testid: "lang", on: { click: () => setLang(otherLang()) },
  });
  const themeButton = h("button", {
    class: "tool", type: "button", testid: "theme", on: { click: flipTheme },
  });
  byId("tools").append(themeButton, langButton);

  function refresh() {
    document.documentElement.lang = lang() === "zh" ? "zh-CN" : "en";
    document.title = `${t(titleKey)} · ${t("product")}`;
    setText(langButton, lang() === "zh" ? "EN" : "中文");
    langButton.lang = lang() === "zh" ? "en" : "zh-CN";
    langButton.setAttribute("aria-label", lang() === "zh" ? "English" : "切换到中文");
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
  const stored = localStorage.getItem(THEME_KEY);
  if (stored === "light" || stored === "dark") return stored;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}
