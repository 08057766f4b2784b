// A server-sent-event stream that knows when it is dead.
//
// The gateway sends `beat` every 5 s. Silence for 12 s, an EventSource error or data that does not
// parse all mean the same to the page: what it shows may be false, so `onLost` runs at once. The
// stream is opened anew after a pause until it is closed for good. A browser allows only six
// connections to one gateway, therefore a page that has been hidden for a while gives its own up.

const SILENCE_MS = 12_000;
const RETRY_MS = 1_500;
const RETRY_MAX_MS = 6_000;
const HIDDEN_MS = 20_000;

/**
 * @param {string} url
 * @param {Object<string, function(object)>} handlers by event name; `beat` needs none
 * @param {function()} onLost runs at each loss, also while the gateway stays away
 * @returns {{close: function()}}
 */
export function openStream(url, handlers, onLost) {
  let source = null;
  let heard = performance.now();
  let retryMs = RETRY_MS;
  let retryTimer = null;
  let hiddenTimer = null;
  let closed = false;

  function connect() {
    retryTimer = null;
    if (closed || source) return;
    heard = performance.now();
    source = new EventSource(url);
    source.onerror = lose;
    for (const name of new Set([...Object.keys(handlers), "beat"])) {
      source.addEventListener(name, (event) => receive(name, event));
    }
  }

  function receive(name, event) {
    heard = performance.now();
    retryMs = RETRY_MS;
    const handler = handlers[name];
    if (!handler) return;
    let data;
    try {
      data = JSON.parse(event.data);
    } catch {
      lose();
      return;
    }
    handler(data);
  }

  function drop() {
    if (source) source.close();
    source = null;
    clearTimeout(retryTimer);
    retryTimer = null;
  }

  function lose() {
    drop();
    if (closed) return;
    onLost();
    retryTimer = setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  }

  function watch() {
    if (source && performance.now() - heard > SILENCE_MS) lose();
  }

  function onVisibility() {
    clearTimeout(hiddenTimer);
    if (document.hidden) {
      hiddenTimer = setTimeout(() => {
        drop();
        onLost();
      }, HIDDEN_MS);
    } else if (!source && !closed) {
      clearTimeout(retryTimer);
      connect();
    }
  }

  const watchTimer = setInterval(watch, 1000);
  document.addEventListener("visibilitychange", onVisibility);
  connect();

  return {
    close() {
      closed = true;
      clearInterval(watchTimer);
      clearTimeout(hiddenTimer);
      document.removeEventListener("visibilitychange", onVisibility);
      drop();
    },
  };
}
