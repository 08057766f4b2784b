// Each press of a button has an id, under which the gateway does it once. Where no answer came, nobody knows whether
// it was done: the same press, made again soon, has the same id.

/** After this long a press is meant anew. */
const AGAIN_MS = 30_000;
/** What is asked of the visit that runs, and not of one that it names. */
const OF_VISIT = ["recheck", "answer", "approve", "seal", "capture", "retake", "accept", "confirm", "form", "seal_check", "tally", "tally_done", "party", "aside"];

/** Whether an act is for the visit whose step waits, so that another one than that in front can be meant. */
export const isOfVisit = (action) => OF_VISIT.includes(action);

/** A random id, also where the page did not come by TLS. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function createPresses() {
  let last = null;

  return {
    /** The act with its id. */
    press(body, visit) {
      // A PIN is typed anew each time.
      const key = JSON.stringify([OF_VISIT.includes(body.action) ? visit : null, body], (name, value) => (name === "pin" ? undefined : value));
      const again = last?.key === key && performance.now() - last.at < AGAIN_MS;
      last = { key, id: again ? last.id : newId(), at: performance.now() };
      return { ...body, id: last.id };
    },
    /** An answer has come: the next press is another one. */
    known() {
      last = null;
    },
  };
}
