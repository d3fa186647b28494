// Where a request is now, and why it does not go on, in sentences.

import { callOf } from "./course.js";
import { count, counted, duration, isOpen, nameOf } from "./format.js";
import { letterOf, lettersOfSomePlace } from "./letters.js";
import { membersInWords } from "./place.js";

/** How many places are told about. The others are counted. */
const TOLD = 3;
/** After this time without anything, a request may be lost, in milliseconds. */
const LONG = 60_000;

/**
 * Sentences about what a request that has not ended is waiting for. `queue` has the calls in the queue, whether they are all that there
 * are, and the dead letters; it is `null` if the queue is not known. Each sentence is a list of texts, of links to
 * dead letters (`letter`), and of commands (`code`).
 */
export function whyNot(request, queue, now = Date.now()) {
  const open = request.places.filter(isOpen);
  // The status lists only some of the items of a large for-each.
  const unlisted = request.places.reduce((sum, place) => sum + (place.unlisted?.open ?? 0), 0);
  const all = open.length + unlisted;
  const sentences = [];
  if (request.status === "parked") {
    sentences.push(["Nothing of it goes on until somebody deploys a definition that is the same ahead of it and resumes it, starts it again from a phase, or stops it."]);
  }
  if (request.status === "paused") {
    const busy = open.filter((place) => callOf(place, queue?.calls)?.in_flight);
    sentences.push([busy.length > 0 ? `${busy.map(nameOf).join(" and ")} had begun before and is brought to its end; nothing else begins.`
      : `${all > 0 ? `${counted(all, "place")} ${all === 1 ? "waits" : "wait"}` : "What is ahead of it waits"} until somebody resumes it.`]);
  }
  if (request.status === "running") {
    // What is retried or was given up is what one has to know first.
    const rank = (place) => (place.status === "retrying" ? 0 : 1);
    const first = [...open].sort((one, other) => rank(one) - rank(other));
    for (const place of first.slice(0, TOLD)) sentences.push(about(place, request, queue, now));
    const more = all - Math.min(TOLD, open.length);
    if (more > 0) sentences.push([`${counted(more, "more place")} ${more === 1 ? "is" : "are"} open.`]);
    for (const letter of lettersOfSomePlace(queue?.letters, request).slice(0, TOLD)) {
      sentences.push(["The queue gave up one of its deliveries, which is now ", { letter: letter.id, text: "a dead letter" }, ". Put it back into the queue to continue."]);
    }
    const isLost = open.length > 0 && now - request.moved_ms > LONG && queue?.isWhole
      && !queue.calls.some((call) => call.function === request.flow || call.function.startsWith(`${request.flow}.`))
      && !sentences.some((sentence) => sentence.some((part) => part.letter));
    if (isLost) {
      sentences.push([`Nothing has happened for ${duration(now - request.moved_ms)}, and nothing of this flow is in the queue of this gateway. If no phase of it takes so long, it is lost; it goes on if you run `,
        { code: `faasflow requests recover ${request.flow}` }, "."]);
    }
  }
  if (["running", "paused", "parked"].includes(request.status)) sentences.push(...joins(request));
  return sentences;
}

function about(place, request, queue, now) {
  const name = nameOf(place);
  const call = callOf(place, queue?.calls);
  const letter = letterOf(place, queue?.letters, request);
  const why = place.reason ? `, because ${place.reason.text}` : "";
  if (call?.in_flight) {
    return [`${name} is being executed${call.attempt > 1 ? `, attempt ${count(call.attempt)}` : ""}${call.attempt > 1 && why ? `; the last attempt was given up${why}` : ""}.`];
  }
  if (call) {
    const left = call.due_ms - now;
    const due = call.due_ms > 0 && left > 0 ? `is due in ${duration(1000 * Math.ceil(left / 1000))}` : "is next in turn";
    return call.attempt > 1
      ? [`${name} waits in the queue: attempt ${count(call.attempt)} ${due}${why ? `. The last one was given up${why}` : ""}.`]
      : [`${name} waits in the queue for its first delivery, which ${due}.`];
  }
  if (letter) {
    return [`${name} does not go on: the queue gave it up after ${counted(letter.attempts, "attempt")}${why}. It is `,
      { letter: letter.id, text: "a dead letter" }, "; put it back into the queue to go on."];
  }
  if (place.status === "retrying" && place.call_id !== undefined && queue?.isWhole) {
    return [`The last delivery of ${name} was given up${why}, and the queue of this gateway no longer has it.`];
  }
  if (place.status === "retrying") return [`${name} will be delivered again. The last delivery was given up${why}.`];
  return [`${name} is in progress, or waits in the queue.`];
}

/** What the joins are waiting for. */
function joins(request) {
  const waiting = request.places.filter(({ members }) => members && members.running + members.waiting > 0);
  return waiting.slice(0, TOLD).map(({ members }) => {
    const left = members.running + members.waiting;
    const slots = request.status === "running" && members.waiting > 0 && members.running > 0
      ? ` Of these, ${count(members.waiting)} ${members.waiting === 1 ? "waits" : "wait"} for others to end.` : "";
    return [`What comes after ${counted(members.all, "branch or item", "branches or items")} waits for ${count(left)} of them (${membersInWords(members)}).${slots}`];
  });
}
