// The places of a request over time.

import { h, keyed, put, putIfNew, s, setText } from "./dom.js";
import { count, counted, duration, exact, isOpen, steps, within } from "./format.js";
import { chip, updateChip } from "./parts.js";
import { scaleOf } from "./scale.js";

/** How many places are shown at first. */
const SHOWN = 200;
const WIDTH = 1000;

/** How the parts of a bar look, and what they are called. */
const KINDS = { queue: "in the queue", slot: "waiting for its turn", gave: "given up", idle: "waiting for another attempt" };

/**
 * A list of places, and a function that brings it up to date. A place is opened by the click of a reader. `insideOf(place)` returns what an
 * opened place shows, and a function that brings that up to date.
 */
export function timeline(opened, choose, insideOf) {
  const rows = h("ol", { class: "timeline" });
  const key = h("p", { class: "quiet key" });
  const more = h("p", { class: "quiet" });
  const element = h("div", {}, rows, key, more);
  const update = (request, calls, log) => {
    const now = request.ended_ms ?? Date.now();
    // Failed ones first if there are too many to show them all.
    const places = request.places.length <= SHOWN ? request.places
      : [...request.places].sort((one, other) => Number(hasFailed(other)) - Number(hasFailed(one))).slice(0, SHOWN);
    const all = new Map(places.map((place) => [place.place, partsOf(place, request, now, calls)]));
    const parts = [...all.values()].flat();
    const from = Math.min(request.started_ms, ...parts.map((part) => part.from));
    const to = Math.max(now, from + 1, ...parts.map((part) => part.to));
    const busy = parts.filter((part) => !["queue", "slot", "idle", "open"].includes(part.kind)).map((part) => [part.from, part.to]);
    busy.push(...request.places.map((place) => whileMembers(place, request, now)).filter((span) => span !== null));
    const [scale, cuts] = scaleOf(from, to, busy, WIDTH);
    keyed(rows, places, (place) => place.place, (place) => make(place, opened, choose, insideOf), (row, place) => {
      row.bring(place, { parts: all.get(place.place), scale, cuts, request, now, log, call: callOf(place, calls) });
    });
    const left = cuts.reduce((sum, cut) => sum + cut.to - cut.from, 0);
    const kinds = Object.keys(KINDS).filter((kind) => parts.some((part) => part.kind === kind));
    putIfNew(key, [kinds, cuts.length > 0 && duration(left)], () => [
      kinds.map((kind) => h("span", { class: "kind" }, s("svg", { class: "bar-of", viewBox: "0 0 24 14", width: 24, "aria-hidden": "true" },
        draw({ kind }, 0, 24)), KINDS[kind])),
      cuts.length > 0 ? h("span", { class: "kind" }, s("svg", { class: "bar-of", viewBox: "0 0 8 14", width: 8, "aria-hidden": "true" },
        s("rect", { class: "cut", x: 2, y: 0, width: 4, height: 14 })), `cut short, because nothing was executed: ${duration(left)}`) : null,
    ]);
    key.hidden = key.childNodes.length === 0;
    const hidden = request.places.length - places.length;
    const unlisted = request.places.reduce((sum, place) => sum + unlistedFailures(place, request.places), 0);
    setText(more, [hidden > 0 ? `${counted(hidden, "more place")} not shown; failed ones come first.` : "",
      unlisted > 0 ? `${counted(unlisted, "more failed item")} not listed; \`faasflow requests show\` and the log have all that is known.` : ""].filter(Boolean).join(" "));
    more.hidden = hidden + unlisted === 0;
  };
  return [element, update];
}

const hasFailed = (place) => ["failed", "replied"].includes(place.status);

/** How many members of a place have failed that are not among the places, because the status lists only some of them. */
function unlistedFailures(place, places) {
  const depth = place.path.length;
  const isOf = (other) => other.path.length > depth && place.path.every((name, index) => other.path[index] === name);
  const after = places.slice(places.indexOf(place) + 1);
  const failed = new Set(after.filter((other) => isOf(other) && hasFailed(other)).map((other) => other.path[depth]));
  return Math.max(0, (place.members?.failed ?? 0) - failed.size);
}

/** The call of a place in the queue, if it is known. */
export const callOf = (place, calls) => calls?.find((call) => call.call_id !== "" && call.call_id === place.call_id && !call.callback);

/** When what led to a place ended; `undefined` for the first one. */
function ledAt(place, places) {
  const at = places.indexOf(place);
  const before = places.slice(0, at < 0 ? 0 : at).filter((other) => other.done_ms !== undefined);
  const led = before.filter((other) => place.path.every((name, index) => other.path[index] === name) || other.path.length < place.path.length);
  return led.length > 0 ? Math.max(...led.map((other) => other.done_ms)) : undefined;
}

/** The time in which members of a place were executed that are not listed, because items that have ended are only counted. */
function whileMembers(place, request, now) {
  if (!place.members || place.done_ms === undefined) return null;
  const rest = request.places.slice(request.places.indexOf(place) + 1);
  const depth = place.path.length;
  const listed = new Set(rest.filter(({ path }) => path.length > depth).map(({ path }) => path[depth]));
  if (listed.size >= place.members.all) return null;
  const join = rest.find(({ path }) => path.length <= depth);
  return [place.done_ms, join?.queued_ms ?? join?.began_ms ?? now];
}

/** What is known of a place over time, as parts of its bar: when it waited and why, and when it was executed. */
export function partsOf(place, request, now, calls) {
  const parts = [];
  const { given_up: attempts = [], queued_ms: queued, last_began_ms: last, done_ms: done, status } = place;
  const call = callOf(place, calls);
  const led = ledAt(place, request.places);
  const add = (kind, from, to, title) => {
    if (from !== undefined && to !== undefined && to >= from) parts.push({ kind, from, to, title });
  };
  const first = attempts.find(({ began_ms: began }) => began !== undefined)?.began_ms ?? (attempts.length > 0 ? attempts[0].given_up_ms : last);
  const isInItem = /^item-\d+$/.test(place.path.at(-1) ?? "");
  const accepted = queued ?? call?.accepted_ms ?? (attempts.length > 0 || isOpen(place) || status === "stopped" ? led : undefined);
  const until = first ?? (isOpen(place) ? now : undefined);
  if (isInItem && led !== undefined && accepted !== undefined && accepted - led >= 1) add("slot", led, accepted, KINDS.slot);
  const isExecuted = call?.in_flight && attempts.length === 0;
  if (first === undefined && isExecuted) {
    add("running", accepted, now, "in progress");
  } else if (first === undefined && isOpen(place) && !call) {
    // It may be in progress, or in the queue.
    add("open", accepted ?? request.started_ms, now, "in progress or in the queue");
  } else if (accepted !== undefined && until !== undefined && until - accepted >= 1) {
    add("queue", accepted, until, KINDS.queue);
  }
  attempts.forEach((attempt, index) => {
    const before = attempts[index - 1]?.given_up_ms;
    const began = attempt.began_ms ?? attempt.given_up_ms;
    add("idle", before, began, KINDS.idle);
    add("gave", began, attempt.given_up_ms, `given up: ${attempt.text}`);
  });
  const before = attempts.at(-1)?.given_up_ms;
  if (done !== undefined) {
    const began = last ?? place.began_ms ?? done;
    add("idle", before, began, KINDS.idle);
    add(status, began, done, "");
  } else if (attempts.length > 0 && isOpen(place)) {
    add(call?.in_flight ? "running" : "idle", before, now, call?.in_flight ? "in progress" : KINDS.idle);
  } else if (place.began_ms !== undefined && attempts.length === 0) {
    // An older flow tells only this.
    add(status, place.began_ms, isOpen(place) ? now : place.began_ms, "");
  }
  return parts;
}

function draw({ kind, title }, x, width) {
  const shape = { queue: [5.5, 3], slot: [5.5, 3], idle: [5.5, 3] }[kind] ?? [2, 10];
  return s("rect", { class: `at-${kind}`, x, y: shape[0], width, height: shape[1], rx: shape[1] > 5 ? 2 : 0 }, title ? s("title", {}, title) : null);
}

function make(place, opened, choose, insideOf) {
  const status = chip(place.status);
  const length = h("span", { class: "quiet length" });
  const picture = s("svg", { class: "bar-of", viewBox: `0 0 ${WIDTH} 14`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const path = place.path.length > 0 ? h("span", { class: "path" }, `${within(place.path)} › `) : null;
  const inside = h("div", { class: "inside" });
  const details = h("details", { "data-place": place.place },
    h("summary", {},
      h("span", { class: "what" }, path, steps(place), place.label ? h("span", { class: "quiet" }, ` (${place.label})`) : null),
      status, length, picture),
    inside);
  let latest = null;
  let bringInside = null;
  const fill = () => {
    if (!details.open || latest === null) return;
    if (bringInside === null) {
      const [element, bring] = insideOf(latest.of);
      bringInside = bring;
      put(inside, element);
    }
    bringInside(latest.of, latest.seen);
  };
  details.open = opened === place.place;
  details.addEventListener("toggle", () => {
    choose(details.open ? place.place : null, place.place);
    fill();
  });
  const row = h("li", {}, details);
  row.bring = (of, seen) => {
    latest = { of, seen };
    updateChip(status, of.status);
    const { parts, scale, cuts, now } = seen;
    const drawn = parts.map((part) => {
      const [begin, end] = [scale(part.from), scale(part.to)];
      const width = Math.max(["queue", "slot", "idle"].includes(part.kind) ? 0 : 4, end - begin);
      return [part.kind, part.title, Math.round(Math.max(0, Math.min(begin, WIDTH - width))), Math.round(width)];
    });
    putIfNew(picture, [drawn, cuts.map((cut) => Math.round((cut.at + cut.end) / 2))], () => [
      drawn.map(([kind, title, x, width]) => draw({ kind, title }, x, width)),
      cuts.map((cut) => s("rect", { class: "cut", x: (cut.at + cut.end) / 2 - 2, y: 0, width: 4, height: 14 },
        s("title", {}, `nothing was executed for ${duration(cut.to - cut.from)}`))),
    ]);
    const began = of.last_began_ms ?? of.began_ms;
    setText(length, [
      began !== undefined && of.done_ms !== undefined ? duration(of.done_ms - began) : "",
      began === undefined && isOpen(of) && seen.call?.in_flight ? duration(now - seen.call.accepted_ms) : "",
      of.members ? `${count(of.members.done)} of ${count(of.members.all)} done` : "",
      of.attempts > 1 ? counted(of.attempts, "attempt") : "",
    ].filter(Boolean).join(" · "));
    fill();
  };
  return row;
}

/** What there is to say about a part of a bar in a list. */
export const partInWords = ({ kind, from, to, title }) =>
  `${exact(from)}: ${title || (["failed", "replied"].includes(kind) ? "failed" : "executed")}, ${duration(to - from)}`;
