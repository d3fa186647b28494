// The places of a request over time.

import { WIDTH, barOf, draw, placed } from "./bars.js";
import { KINDS, callOf, partsOf } from "./course.js";
import { h, keyed, put, putIfNew, s, setText } from "./dom.js";
import { count, counted, duration, hasNotBegun, isOpen, steps, within } from "./format.js";
import { isInMemberOf } from "./members.js";
import { chip, updateChip } from "./parts.js";
import { membersInWords } from "./place.js";
import { scaleOf } from "./scale.js";
import { callsOf } from "./steps.js";

/** How many places are shown at first. */
const SHOWN = 200;
/** The items of a for-each with more than so many are not places of their own here. They are in the list of the place that began them. */
const MANY = 20;

/**
 * A list of places, and a function that brings it up to date. The places in `opened` are open, and others are opened by a reader. `insideOf(place)` returns what an
 * opened place shows, and a function that brings that up to date.
 */
export function timeline(opened, choose, insideOf) {
  const rows = h("ol", { class: "timeline" });
  const key = h("p", { class: "quiet key" });
  const more = h("p", { class: "quiet" });
  const element = h("div", {}, rows, key, more);
  const update = (request, calls, isGivenUp) => {
    const now = request.ended_ms ?? Date.now();
    const listed = withoutMany(request.places);
    // Failed ones first if there are too many to show them all.
    const begun = listed.length <= SHOWN ? listed
      : [...listed].sort((one, other) => Number(hasFailed(other)) - Number(hasFailed(one))).slice(0, SHOWN);
    const places = [...begun, ...(request.ahead ?? []).slice(0, SHOWN)];
    const all = new Map(places.map((place) => [place.place, partsOf(place, request, now, calls)]));
    const parts = [...all.values()].flat();
    const from = Math.min(request.started_ms, ...parts.map((part) => part.from));
    const to = Math.max(now, from + 1, ...parts.map((part) => part.to));
    const busy = parts.filter((part) => !["queue", "slot", "idle", "open"].includes(part.kind)).map((part) => [part.from, part.to]);
    // Waiting for another call is part of a delivery, and may be as long as what is executed.
    for (const { given_up: attempts = [], last_began_ms: began, done_ms: done } of places.flatMap((place) => [...(place.earlier ?? []), place])) {
      busy.push(...attempts.filter(({ began_ms: from }) => from !== undefined).map(({ began_ms: from, given_up_ms: end }) => [from, end]));
      if (began !== undefined && done !== undefined) busy.push([began, done]);
    }
    busy.push(...request.places.map((place) => whileMembers(place, request, now)).filter((span) => span !== null));
    const [scale, cuts] = scaleOf(from, to, busy, WIDTH);
    keyed(rows, places, (place) => place.place, (place) => make(place, opened, choose, insideOf), (row, place) => {
      row.bring(place, { parts: all.get(place.place), scale, cuts, request, now, calls, call: callOf(place, calls), isGivenUp: isGivenUp(place) });
    });
    const left = cuts.reduce((sum, cut) => sum + cut.to - cut.from, 0);
    const kinds = Object.keys(KINDS).filter((kind) => parts.some((part) => part.kind === kind));
    putIfNew(key, [kinds, cuts.length > 0 && duration(left)], () => [
      kinds.map((kind) => h("span", { class: "kind" }, s("svg", { class: "bar-of", viewBox: "0 0 24 14", width: 24, "aria-hidden": "true" },
        draw({ kind }, 0, 24)), KINDS[kind])),
      cuts.length > 0 ? h("span", { class: "kind" }, s("svg", { class: "bar-of", viewBox: "0 0 8 14", width: 8, "aria-hidden": "true" },
        s("rect", { class: "cut", x: 2, y: 0, width: 4, height: 14 })), `cut short, because nothing is known to have been executed: ${duration(left)}`) : null,
    ]);
    key.hidden = key.childNodes.length === 0;
    const hidden = listed.length - begun.length;
    setText(more, hidden > 0 ? `${counted(hidden, "more place")} not shown; failed ones come first.` : "");
    more.hidden = hidden === 0;
  };
  return [element, update];
}

const hasFailed = (place) => ["failed", "replied"].includes(place.status);

/** The places without those in items of large for-eaches. The place that began them lists them, those that failed first. */
function withoutMany(places) {
  const large = places.filter((place) => place.members?.all > MANY);
  if (large.length === 0) return places;
  const isOneOfMany = (place) => large.some((fork) => isInMemberOf(place.place, fork.place) && /^item-\d+$/.test(place.path[fork.path.length]));
  return places.filter((place) => !isOneOfMany(place));
}

/** The time in which members of a place were executed that are not listed, because items that have ended are only counted. */
function whileMembers(place, request, now) {
  if (!place.members || place.done_ms === undefined) return null;
  const rest = request.places.slice(request.places.indexOf(place) + 1);
  const depth = place.path.length;
  const listed = new Set(rest.filter(({ path }) => path.length > depth).map(({ path }) => path[depth]));
  if (listed.size >= place.members.all) return null;
  const join = rest.find(({ path }) => path.length <= depth);
  // If all have ended, the last of them did when something was last recorded, at the latest.
  const { running = 0, waiting = 0 } = place.members;
  const ended = running + waiting > 0 ? now : Math.min(now, Math.max(place.done_ms, request.moved_ms));
  return [place.done_ms, join?.queued_ms ?? join?.began_ms ?? ended];
}

const withoutGeneration = (place) => place.split("@")[0];

function make(place, opened, choose, insideOf) {
  const status = chip(place.status);
  const length = h("span", { class: "quiet length" });
  const picture = barOf();
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
  // After a redrive, the place has the number of another generation.
  const before = [...opened].find((one) => one !== place.place && withoutGeneration(one) === withoutGeneration(place.place));
  if (before !== undefined) {
    choose(null, before);
    choose(place.place, place.place);
  }
  details.open = opened.has(place.place) || [...opened].some((one) => isInMemberOf(one, place.place));
  details.addEventListener("toggle", () => {
    choose(details.open ? place.place : null, place.place);
    fill();
  });
  const row = h("li", {}, details);
  row.bring = (of, seen) => {
    latest = { of, seen };
    row.className = hasNotBegun(of) ? "ahead" : "";
    updateChip(status, hasNotBegun(of) ? "Not begun" : seen.isGivenUp ? "given up" : of.status);
    const { parts, scale, cuts, now } = seen;
    const drawn = parts.map((part) => placed(part, scale));
    putIfNew(picture, [drawn, cuts.map((cut) => Math.round((cut.at + cut.end) / 2))], () => [
      drawn.map((one) => draw(...one)),
      cuts.map((cut) => s("rect", { class: "cut", x: (cut.at + cut.end) / 2 - 2, y: 0, width: 4, height: 14 },
        s("title", {}, `nothing is known to have been executed for ${duration(cut.to - cut.from)}`))),
    ]);
    const began = of.last_began_ms ?? of.began_ms;
    setText(length, [
      began !== undefined && of.done_ms !== undefined ? duration(of.done_ms - began) : "",
      began === undefined && isOpen(of) && seen.call?.in_flight ? duration(now - seen.call.accepted_ms) : "",
      of.members ? `${count(of.members.all)}: ${membersInWords(of.members)}` : "",
      of.attempts > 1 ? counted(of.attempts, "attempt") : "",
      callsOf(of),
      of.earlier?.length > 0 ? counted(of.earlier.length + 1, "generation") : "",
    ].filter(Boolean).join(" · "));
    fill();
  };
  return row;
}
