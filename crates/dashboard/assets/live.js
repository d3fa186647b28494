// Asks again and again while a page is in front.

import { awayWords, isAway } from "./api.js";
import { put } from "./dom.js";

const trouble = document.getElementById("trouble");
const SLOWEST = 10_000;

let saying;

/** Says something for a while, also to screen readers. */
export function say(text) {
  clearTimeout(saying);
  put(document.getElementById("said"), text);
  if (text !== "") saying = setTimeout(() => put(document.getElementById("said")), 6000);
}

function awayFor(error) {
  trouble.hidden = error === null;
  put(trouble, error === null ? "" : `${awayWords(error)} What you see is from before; the page tries again by itself.`);
}

const wait = (ms, signal, now) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
  now.wake = () => { clearTimeout(timer); done(); };
});

const shown = (signal) => new Promise((done) => {
  const look = () => {
    if (!document.hidden || signal.aborted) {
      document.removeEventListener("visibilitychange", look);
      done();
    }
  };
  document.addEventListener("visibilitychange", look);
  signal.addEventListener("abort", look, { once: true });
  look();
});

/**
 * Calls `look` now, and then again `every` so many milliseconds until the page is left, but only while it is visible. If the gateway is
 * away, the page says so and asks less often. `look` returns `false` if there is nothing more to see. The function that is returned
 * makes it look at once.
 */
export function live(signal, every, look) {
  const now = { wake: () => {} };
  let again = false;
  (async () => {
    let pause = every;
    for (;;) {
      await shown(signal);
      if (signal.aborted) return;
      const begun = performance.now();
      again = false;
      let isOver = false;
      try {
        isOver = (await look()) === false;
        awayFor(null);
        // A gateway that is busy is asked less often.
        pause = Math.max(every, 4 * (performance.now() - begun));
      } catch (error) {
        if (signal.aborted) return;
        if (!isAway(error)) {
          awayFor(null);
          say(error.message);
        } else if (error instanceof TypeError && !/fetch|network|load/i.test(error.message)) {
          throw error;
        } else {
          awayFor(error);
        }
        pause = Math.min(SLOWEST, 2 * pause);
      }
      if (signal.aborted) return;
      if (!again) await wait(isOver ? 2 ** 31 - 1 : pause, signal, now);
    }
  })();
  return () => {
    again = true;
    now.wake();
  };
}
