// The dead letters of flows, and the requests that they belong to.

import * as api from "./api.js";
import { h } from "./dom.js";
import { count, isEnd, isOpen } from "./format.js";
import { link } from "./parts.js";

/** How many dead letters are read at most, the newest first. */
export const LETTERS = 1000;
/** For how long a list is not read again if the queue has the same number of dead letters, in milliseconds. */
const REMEMBERED = 30_000;
/** How many lists are remembered. */
const LISTS = 8;
const read = new Map();

/**
 * The dead letters with these parameters, newest first. They are read again if others were added or some are gone, which the state of the
 * queue says. A gateway whose queue nobody can ask refuses.
 */
export async function readLetters(parameters, signal) {
  const { dead_letters: number, dead, dead_letters_removed: removed } = await api.get("/system/queue", signal);
  if (number === 0) return [];
  const path = `/system/queue/dead-letters?${new URLSearchParams({ limit: LETTERS, ...parameters })}`;
  const state = [number, dead, removed].join();
  const last = read.get(path);
  if (last?.state === state && performance.now() - last.at < REMEMBERED) return last.letters;
  const letters = await api.get(path, signal);
  if (read.size >= LISTS) read.clear();
  read.set(path, { state, at: performance.now(), letters });
  return letters;
}

/** Whether a dead letter is a delivery of a request of this flow. The function may be named with its namespace. */
export const isOfFlow = (letter, flow) =>
  !letter.callback && letter.request !== undefined && (letter.function === flow || letter.function.startsWith(`${flow}.`));

/** Gives requests that have not ended the dead letters that are theirs. Those of one flow are asked for with its name. */
export async function addLetters(requests, flow, signal) {
  const open = requests.filter(({ status, letters }) => !isEnd(status) && letters === undefined);
  if (open.length === 0) return;
  let letters;
  try {
    letters = await readLetters(flow ? { function: flow } : {}, signal);
  } catch (error) {
    if (!(error instanceof api.Refused)) throw error;
    // Without the queue, the list says less.
    return;
  }
  for (const item of open) item.letters = letters.filter((letter) => letter.request === item.id && isOfFlow(letter, item.flow));
}

/**
 * Whether the queue has given up what a request of a list waits for: it is where the dead letter says, or nothing was recorded about it
 * since. When somebody resumes a request, it is queued again.
 */
export const isGivenUp = ({ status, letters = [], at, moved_ms: moved }) => status === "running"
  && letters.some((letter) => letter.died_ms >= (moved ?? Infinity) || (at?.call_id !== undefined && letter.call_id === at.call_id));

/** A link to the newest dead letter of a request, and how many others there are. */
export const linkToLetters = ([letter, ...others]) => [link(`/ui/queue/dead-letters/${letter.id}`, `dead letter ${letter.id}`),
  others.length > 0 ? h("span", {}, ` and ${count(others.length)} more`) : null];

/** The dead letter that an open place of a request has become, if the queue has given it up. */
export function letterOf(place, letters, request) {
  const tried = place.given_up?.at(-1)?.given_up_ms;
  const exact = letters?.find((letter) => letter.call_id !== "" && letter.call_id === place.call_id && !letter.callback);
  // It was delivered again since, because somebody has resumed or recovered the request.
  if (exact) return tried > exact.died_ms ? undefined : exact;
  return isOnlyOpen(place, request) ? unplaced(letters, request)[0] : undefined;
}

/** Dead letters of a request whose place is not known, if several may be meant. */
export const lettersOfSomePlace = (letters, request) => {
  const open = request.places.filter(isOpen);
  return open.length === 1 && isOnlyOpen(open[0], request) ? [] : unplaced(letters, request);
};

const isOnlyOpen = (place, { places }) => isOpen(place) && !places.some((other) => (other !== place && isOpen(other)) || other.unlisted?.open > 0);

/**
 * Dead letters that belong to no place by their call ids, and after which nothing was recorded. The call id of the first place is not
 * recorded, nor are those of places that were queued again after a pause, a redrive or a recovery.
 */
function unplaced(letters, { places, moved_ms: moved }) {
  const known = new Set(places.map((place) => place.call_id));
  return letters?.filter((letter) => !letter.callback && !known.has(letter.call_id) && letter.died_ms >= moved) ?? [];
}
