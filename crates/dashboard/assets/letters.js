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

/** By how much the clocks of the gateway and of a flow may differ, in milliseconds. The queue has the one, and requests have the other. */
const SKEW = 5000;

/** Whether a function of the queue, which may be named with its namespace, has this name. */
export const hasName = (called, name) => called === name || called.startsWith(`${name}.`);

/** Whether a dead letter is a delivery of a request of this flow. */
export const isOfFlow = (letter, flow) => !letter.callback && letter.request !== undefined && hasName(letter.function, flow);

/** How long the ids in one question may be together, in characters of a URL. Many servers and proxies take URLs of up to 8 KiB. */
const URL_PART = 4000;

/** Divides ids into lists that a flow can be asked about at once: `most` ids at most, and no more than a URL can have. */
export function inParts(ids, most) {
  const parts = [];
  let length = Infinity;
  for (const id of ids) {
    const own = encodeURIComponent(id).length + 3;
    if (length + own > URL_PART || parts.at(-1).length >= most) {
      parts.push([]);
      length = 0;
    }
    parts.at(-1).push(id);
    length += own;
  }
  return parts;
}

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

/** Whether a flow has refused a call, for example because another request had its id. That says nothing about the request. */
const isRefused = ({ status }) => status >= 400 && status < 500;

/** Whether nothing was recorded about a request since a delivery of it was given up. When somebody resumes it, it is queued again. */
const isSince = (letter, moved) => !isRefused(letter) && letter.died_ms + SKEW >= (moved ?? Infinity);

/** Whether a place is the only one of a request of a list at which it can go on. */
const isAlone = (at) => !(at?.more > 0 || at?.members > 0 || at?.partial);

const isAtLetter = ({ at }, letter) => at?.call_id !== undefined && letter.call_id === at.call_id;

/** Whether the queue has given up the place that a list shows of a request. If others are open, only its call id can say that it is this one. */
export const isPlaceGivenUp = (item) => item.status === "running" && (item.letters ?? []).some((letter) =>
  isAtLetter(item, letter) || (isAlone(item.at) && isSince(letter, item.moved_ms)));

/** Whether the queue has given up all that a request of a list waits for. While another place of it is open, it may go on there. */
export const isGivenUp = (item) => isAlone(item.at) && isPlaceGivenUp(item);

/**
 * What is lost if dead letters are discarded whose requests have these statuses, in sentences. A status is `null` if the flow does not know
 * the request, and `undefined` if the flow could not be asked.
 */
export function losses(statuses) {
  const going = statuses.filter((status) => typeof status === "string" && !isEnd(status)).length;
  const unbegun = statuses.filter((status) => status === null).length;
  const unknown = statuses.filter((status) => status === undefined).length;
  return [
    going > 0 && `${count(going)} of them ${going === 1 ? "belongs to a request that has" : "belong to requests that have"} not ended. A request without its dead letter goes on only if it is recovered.`,
    unbegun > 0 && `${count(unbegun)} may not have begun: the flow does not know ${unbegun === 1 ? "its request" : "their requests"}. Without ${unbegun === 1 ? "its dead letter, it is" : "their dead letters, they are"} lost.`,
    unknown > 0 && `Of ${count(unknown)}, it is not known whether ${unknown === 1 ? "the request has" : "the requests have"} ended. A request that has not begun is lost without its dead letter.`,
  ].filter(Boolean);
}

/** A link to the newest dead letter of a request, and how many others there are. */
export const linkToLetters = ([letter, ...others]) => [link(`/ui/queue/dead-letters/${letter.id}`, `dead letter ${letter.id}`),
  others.length > 0 ? h("span", {}, ` and ${count(others.length)} more`) : null];

/** The dead letter that an open place of a request has become, if the queue has given it up. */
export function letterOf(place, letters, request) {
  const tried = place.given_up?.at(-1)?.given_up_ms;
  const exact = letters?.find((letter) => letter.call_id !== "" && letter.call_id === place.call_id && !letter.callback);
  // Otherwise it was delivered again since, because somebody has resumed or recovered the request.
  if (exact && !(tried > exact.died_ms + SKEW)) return exact;
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
  return letters?.filter((letter) => !letter.callback && !known.has(letter.call_id) && isSince(letter, moved)) ?? [];
}
