// What is known of a place over time: when it waited and why, and when it was executed.

import { duration, exact, hasNotBegun, isOpen } from "./format.js";
import { isInMemberOf } from "./members.js";
import { partsOfSteps } from "./steps.js";

/** How the parts of a bar look, and what they are called. */
export const KINDS = { queue: "in the queue", slot: "waiting for its turn", gave: "given up", again: "failed, then called again", idle: "waiting for another attempt" };

/** The call of a place in the queue, if it is known. */
export const callOf = (place, calls) => calls?.find((call) => call.call_id !== "" && call.call_id === place.call_id && !call.callback);

/** Whether members of a place have ended that are not listed as places, because they are only counted. */
function hasCounted(fork, places) {
  const { done = 0, failed = 0 } = fork.members ?? {};
  return done + failed > places.filter((place) => place.done_ms !== undefined && isInMemberOf(place.place, fork.place)).length;
}

/** When what led to a place ended; `undefined` for the first one. */
function ledAt(place, { places, moved_ms: moved }) {
  const at = places.indexOf(place);
  // The status does not list all items of a long list.
  if (at < 0) return places.findLast((fork) => fork.members && isInMemberOf(place.place, fork.place))?.done_ms;
  const before = places.slice(0, at).filter((other) => other.done_ms !== undefined);
  const led = before.filter((other) => place.path.every((name, index) => other.path[index] === name) || other.path.length < place.path.length);
  if (led.length === 0) return undefined;
  const last = Math.max(...led.map((other) => other.done_ms));
  // When members ended that are only counted is not known. The last of them ended when something was last recorded, if this is what follows.
  const isAfterCounted = before.some((fork) => fork.members && fork.path.join("/") === place.path.join("/") && hasCounted(fork, places));
  return isOpen(place) && isAfterCounted ? Math.max(last, moved ?? last) : last;
}

/** Whether an item had to wait until another one had ended. As many as may be in progress at once are put into the queue at the beginning. */
function hasWaitedForTurn(place, request) {
  const fork = request.places.findLast((other) => other.members && isInMemberOf(place.place, other.place));
  return Number(place.path.at(-1).slice("item-".length)) > (fork?.members.at_most ?? Infinity);
}

/**
 * What is known of a place over time, as parts of its bar: when it waited and why, and when it was executed. With `withSteps`, deliveries are
 * divided into their steps if those are known.
 */
export function partsOf(place, request, now, calls, withSteps = true) {
  const parts = [];
  if (hasNotBegun(place)) return parts;
  const { given_up: attempts = [], queued_ms: queued, last_began_ms: last, done_ms: done, status } = place;
  const call = callOf(place, calls);
  const led = ledAt(place, request);
  const add = (kind, from, to, title) => {
    if (from === undefined || to === undefined || to < from) return;
    const last = parts.at(-1);
    if (last && last.kind === kind && last.title === title && last.to === from && kind === "queue") last.to = to;
    else parts.push({ kind, from, to, title });
  };
  // A delivery, as its steps if they are known. `where` says in which generation, if it is an earlier one.
  const executed = (kind, from, to, title, { step_times: steps, unlisted_steps: unlisted }, where = "") => {
    const inside = withSteps ? partsOfSteps(steps, unlisted, kind) : [];
    if (inside.length === 0) add(kind, from, to, title);
    inside.forEach((part) => add(part.kind, part.from, part.to, title && part === inside.at(-1) ? `${part.title}; ${title}` : `${part.title}${where}`));
  };
  // The deliveries that were given up, after what was accepted at this time.
  const triedAgain = (attempts, accepted, where = "") => attempts.forEach((attempt, index) => {
    const before = attempts[index - 1]?.given_up_ms;
    if (attempt.began_ms === undefined) {
      // Its process died, so nobody knows when it began.
      add("open", before ?? accepted ?? attempt.given_up_ms, attempt.given_up_ms, `waiting, then in progress${where}: ${attempt.text}`);
      return;
    }
    add("idle", before, attempt.began_ms, KINDS.idle);
    executed("gave", attempt.began_ms, attempt.given_up_ms, `given up${where}: ${attempt.text}`, attempt, where);
  });
  for (const before of place.earlier ?? []) {
    const { generation, status, began_ms: from, done_ms: to, reason, given_up: attempts = [] } = before;
    const where = ` in generation ${generation}`;
    triedAgain(attempts, from, where);
    // What did not end has nothing after the last delivery that was given up.
    if (to === undefined && attempts.length > 0) continue;
    const ended = to ?? from;
    const began = before.last_began_ms ?? from ?? ended;
    add("idle", attempts.at(-1)?.given_up_ms, began, KINDS.idle);
    executed(status === "stopped" ? "gave" : status, began, ended, `${status}${where}${reason ? `: ${reason.text}` : ""}`, before, where);
  }
  const first = attempts.find(({ began_ms: began }) => began !== undefined)?.began_ms ?? (attempts.length > 0 ? attempts[0].given_up_ms : last);
  const isInItem = /^item-\d+$/.test(place.path.at(-1) ?? "");
  const accepted = queued ?? call?.accepted_ms ?? (attempts.length > 0 || isOpen(place) || status === "stopped" ? led : undefined);
  const until = first ?? (isOpen(place) ? now : undefined);
  if (isInItem && led !== undefined && accepted !== undefined && accepted - led >= 1) {
    const kind = hasWaitedForTurn(place, request) ? "slot" : "queue";
    add(kind, led, accepted, KINDS[kind]);
  }
  const isExecuted = call?.in_flight && attempts.length === 0;
  if (first === undefined && isExecuted) {
    add("running", accepted, now, "in progress");
  } else if (first === undefined && place.status === "waiting" && !call) {
    add("idle", accepted ?? request.moved_ms, now, "waiting");
  } else if (first === undefined && isOpen(place) && !call) {
    // It may be in progress, or in the queue.
    add("open", accepted ?? request.started_ms, now, "in progress or in the queue");
  } else if (accepted !== undefined && until !== undefined && until - accepted >= 1 && (attempts.length === 0 || attempts[0].began_ms !== undefined)) {
    add("queue", accepted, until, KINDS.queue);
  }
  triedAgain(attempts, accepted);
  const before = attempts.at(-1)?.given_up_ms;
  if (done !== undefined) {
    const began = last ?? place.began_ms ?? done;
    add("idle", before, began, KINDS.idle);
    executed(status, began, done, "", place);
  } else if (attempts.length > 0 && isOpen(place)) {
    add(call?.in_flight ? "running" : "idle", before, now, call?.in_flight ? "in progress" : KINDS.idle);
  } else if (place.began_ms !== undefined && attempts.length === 0) {
    // An older flow tells only this.
    add(status, place.began_ms, isOpen(place) ? now : place.began_ms, "");
  }
  return parts;
}

/** What there is to say about a part of a bar in a list. */
export const partInWords = ({ kind, from, to, title }) =>
  `${exact(from)}: ${title || (["failed", "replied"].includes(kind) ? "failed" : "executed")}, ${duration(to - from)}`;
