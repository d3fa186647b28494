// The places of a request over time.

import { h, keyed, s, setText } from "./dom.js";
import { bytes, count, counted, duration, exact, steps, within } from "./format.js";
import { chip, updateChip } from "./parts.js";

/** How many places are shown at first. */
const SHOWN = 200;

/** A list of places, and a function that brings it up to date. A place is opened by the click of a reader. */
export function timeline(opened, choose) {
  const rows = h("ol", { class: "timeline" });
  const more = h("p", { class: "quiet" });
  const element = h("div", {}, rows, more);
  const update = (request, log) => {
    const now = request.ended_ms ?? Date.now();
    const begins = request.places.map((place) => place.began_ms).filter((ms) => ms !== undefined);
    const from = Math.min(request.started_ms, ...begins);
    const to = Math.max(now, ...request.places.map((place) => place.done_ms ?? 0), from + 1);
    // Failed ones first if there are too many to show them all.
    const places = request.places.length <= SHOWN ? request.places
      : [...request.places].sort((one, other) => Number(other.status === "failed") - Number(one.status === "failed")).slice(0, SHOWN);
    keyed(rows, places, (place) => place.place, (place) => make(place, opened, choose), (row, place) => {
      row.bring(place, { from, to, now, log, request });
    });
    const hidden = request.places.length - places.length;
    setText(more, hidden > 0 ? `${counted(hidden, "more place")} not shown; failed ones come first.` : "");
  };
  return [element, update];
}

/** When a place can have begun at the earliest, if that is not recorded: when what led to it ended. */
function earliest(place, places, from) {
  const before = places.slice(0, places.indexOf(place)).filter((other) => other.done_ms !== undefined);
  const led = before.filter((other) => place.path.length === 0 || place.path.every((name, index) => other.path[index] === name)
    || other.path.length < place.path.length);
  return Math.max(from, ...led.map((other) => other.done_ms));
}

function make(place, opened, choose) {
  const status = chip(place.status);
  const length = h("span", { class: "quiet length" });
  const bar = s("rect", { y: 3, height: 8, rx: 2 });
  const picture = s("svg", { class: "bar-of", viewBox: "0 0 1000 14", preserveAspectRatio: "none", "aria-hidden": "true" }, bar);
  const path = place.path.length > 0 ? h("span", { class: "path" }, `${within(place.path)} › `) : null;
  const reason = h("p", { class: "reason" });
  const facts = h("p", { class: "quiet" });
  const details = h("details", { "data-place": place.place },
    h("summary", {},
      h("span", { class: "what" }, path, steps(place)),
      status, length, picture),
    h("div", { class: "inside" }, reason, facts));
  details.open = opened === place.place;
  details.addEventListener("toggle", () => choose(details.open ? place.place : null, place.place));
  const row = h("li", {}, details);
  row.bring = (of, { from, to, now, request }) => {
    updateChip(status, of.status);
    const isKnown = of.began_ms !== undefined || of.done_ms !== undefined;
    const begun = of.began_ms ?? of.done_ms ?? earliest(of, request.places, from);
    const ended = of.done_ms ?? now;
    const scale = 1000 / (to - from);
    const width = Math.max(4, (ended - begun) * scale);
    bar.setAttribute("x", Math.min((begun - from) * scale, 1000 - width));
    bar.setAttribute("width", width);
    bar.setAttribute("class", `at-${of.status}${isKnown ? "" : " open"}`);
    setText(length, [
      isKnown ? duration(ended - begun) : "",
      of.members ? `${count(of.members.done)} of ${count(of.members.all)} done` : "",
      of.attempts > 1 ? counted(of.attempts, "attempt") : "",
    ].filter(Boolean).join(" · "));
    reason.hidden = !of.reason;
    setText(reason, of.reason ? [of.reason.name?.replaceAll("`", ""), of.reason.text].filter(Boolean).join(": ") + (of.reason.code ? ` (${of.reason.code})` : "") : "");
    setText(facts, told(of, request).join(" "));
  };
  return row;
}

/** What there is to say about a place, in sentences. */
function told(place, request) {
  const sentences = [`Place ${place.place}, phase ${place.phase}.`];
  if (place.began_ms !== undefined) sentences.push(`Began at ${exact(place.began_ms)}.`);
  if (place.done_ms !== undefined) sentences.push(`Ended at ${exact(place.done_ms)}.`);
  if (place.attempts > 0) sentences.push(`Delivered ${place.attempts === 1 ? "once" : `${count(place.attempts)} times`}.`);
  if (place.status === "retrying") sentences.push("Its last delivery was given up. The queue delivers it again; see the page Queue.");
  if (place.status === "running") {
    sentences.push(request.status === "paused" ? "It goes on when the request is resumed."
      : place.attempts === 0 ? "It waits in the queue for its first delivery." : "It is in progress, or waits in the queue.");
  }
  if (place.chosen !== undefined) sentences.push(`It chose the branch ${place.chosen}.`);
  if (place.members) {
    const { all, running, done, failed } = place.members;
    sentences.push(`It began ${counted(all, "branch or item", "branches or items")}: ${count(done)} done, ${count(failed)} failed, ${count(running)} in progress.`);
  }
  if (place.output) sentences.push(`Its output is ${bytes(place.output.bytes)}${place.output.content_type ? ` of ${place.output.content_type}` : ""}.`);
  return sentences;
}
