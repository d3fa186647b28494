// Asks again while a page is in front: when something has happened, or again and again.

import { awayWords, isAway } from "./api.js";
import { put } from "./dom.js";
import { hear, isConnected } from "./events.js";

const trouble = document.getElementById("trouble");
const SLOWEST = 10_000;
/** How long a page waits between two looks that events cause, at least. */
const SOONEST = 1000;
/** How often a page looks that hears of events. Some things are in no event, such as requests that another store remembers. */
const CALM = 15_000;

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

/** Waits until the page can be seen, or is left. */
async function shown(signal) {
  if (!document.hidden || signal.aborted) return;
  await new Promise((done) => {
    const ended = new AbortController();
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      ended.abort();
      done();
    };
    document.addEventListener("visibilitychange", look, { signal: ended.signal });
    signal.addEventListener("abort", look, { signal: ended.signal });
  });
}

/** Calls `act` every so many milliseconds until the page is left. */
export function repeat(signal, every, act) {
  const timer = setInterval(() => { if (!document.hidden) act(); }, every);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}

/**
 * Calls `look` now, and then again until the page is left, but only while it is visible: after an event that concerns it, which
 * `concerns(event)` says. Without `concerns`, and while no events come, it is called `every` so many milliseconds instead. If the gateway
 * is away, the page says so and asks less often. `look` returns `false` if there is nothing more to see. The function that is returned
 * makes it look at once.
 */
export function live(signal, every, look, concerns) {
  let begun = -Infinity;
  let took = 0;
  let pause = every;
  let next = 0;
  let isLooking = false;
  let soonest = Infinity;
  let arm = () => {};
  // A gateway that is busy is asked less often.
  const gap = () => begun + Math.max(SOONEST, 4 * took);
  const hurry = (at) => {
    if (isLooking) {
      soonest = Math.min(soonest, at);
    } else if (at < next) {
      next = at;
      arm();
    }
  };
  let finish = () => {};
  let timer;
  signal.addEventListener("abort", () => { clearTimeout(timer); finish(); }, { once: true });
  const until = () => new Promise((done) => {
    finish = done;
    arm = () => {
      clearTimeout(timer);
      timer = setTimeout(done, Math.min(Math.max(0, next - performance.now()), 2 ** 31 - 1));
    };
    arm();
  });
  if (concerns) {
    hear(signal, (event, isSnapshot) => {
      if (isSnapshot || concerns(event)) hurry(isLooking ? 0 : gap());
    }, () => { if (!isConnected()) hurry(begun + pause); });
  }
  (async () => {
    for (;;) {
      await shown(signal);
      if (signal.aborted) return;
      isLooking = true;
      soonest = Infinity;
      begun = performance.now();
      let isOver = false;
      try {
        isOver = (await look()) === false;
        awayFor(null);
        took = performance.now() - begun;
        pause = Math.max(every, 4 * took);
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
      isLooking = false;
      next = isOver ? Infinity : concerns && isConnected() ? begun + Math.max(CALM, pause) : performance.now() + pause;
      if (soonest < Infinity) next = Math.min(next, Math.max(soonest, soonest === -Infinity ? 0 : gap()));
      await until();
    }
  })();
  return () => hurry(-Infinity);
}
