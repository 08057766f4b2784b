// A page that people look at without touching it keeps its screen on, where the browser lets it.

export function stayAwake() {
  const ask = () => {
    // A browser refuses it where the battery is low or the page did not come by TLS; the screen then sleeps as before.
    if (!document.hidden) navigator.wakeLock?.request("screen").catch(() => {});
  };
  // It ends whenever the page is hidden.
  document.addEventListener("visibilitychange", ask);
  ask();
}
