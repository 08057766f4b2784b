// The keyboard of the desk. A scanner that acts as a keyboard types a whole code within
// milliseconds and ends with Enter; such a burst must not answer a question, so a shortcut acts
// only when it stands alone.

const BURST_MS = 60;
const ALONE_MS = 80;

/**
 * @param {Object<string, function()>} keys handlers: F1, F2, F3, F4, F6, F8, Escape, Enter, l
 * @param {function(number)} onDigit 1 to 9
 */
export function listenKeys(keys, onDigit) {
  let lastAt = -Infinity;
  let pending = null;

  addEventListener("keydown", (event) => {
    const burst = event.timeStamp - lastAt < BURST_MS && !event.repeat;
    // A scanner types characters: Tab, the arrows and the space bar go from one control to the next.
    if (event.key.length === 1 && event.key !== " ") lastAt = event.timeStamp;
    clearTimeout(pending);
    if (event.isComposing || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (document.querySelector("dialog[open]")) return;
    const typing = event.target instanceof Element && event.target.matches("input, textarea, select");
    if (["F1", "F2", "F3", "F4", "F6", "F8", "Escape"].includes(event.key)) {
      event.preventDefault();
      keys[event.key]();
      return;
    }
    if (typing) return;
    if (event.key === "Enter") {
      const ownClick = event.target instanceof Element && event.target.closest("button, a, summary");
      if (burst) event.preventDefault();
      else if (!ownClick) keys.Enter();
      return;
    }
    const act = shortcut(event.key);
    if (act && !burst) pending = setTimeout(act, ALONE_MS);
  }, true);

  function shortcut(key) {
    if (/^[1-9]$/.test(key)) return () => onDigit(Number(key));
    return key.toLowerCase() === "l" ? keys.l : null;
  }
}
