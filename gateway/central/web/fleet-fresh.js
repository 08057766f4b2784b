// How old an answer is. Old data must never look fresh, so every doubt makes it older: the larger
// of two clocks counts (one stands still while a computer sleeps, the other can be set back), and an
// answer with the instant of the one before is no news.

export const STALE_S = 10;

export function createFreshness() {
  let mono = null;
  let wall = 0;
  let last = null;

  return {
    /** An answer came. `at` is the instant it carries, if it carries one. */
    mark(at = null) {
      if (at !== null && at === last) return;
      last = at;
      mono = performance.now();
      wall = Date.now();
    },
    forget() {
      mono = null;
      last = null;
    },
    /** Seconds since the last new answer; null before the first. */
    age() {
      return mono === null ? null : Math.max(0, performance.now() - mono, Date.now() - wall) / 1000;
    },
    stale() {
      const age = this.age();
      return age === null || age > STALE_S;
    },
  };
}
