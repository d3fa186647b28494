// What an opened place shows: what is known of it, its payloads side by side, and its log lines.

import * as api from "./api.js";
import { h, put, putIfNew, setText } from "./dom.js";
import { bytes, count, counted, exact } from "./format.js";
import { loading, logLines } from "./parts.js";
import { answered } from "./payload.js";
import { partInWords } from "./timeline.js";

/** How many lines of a place are shown. */
const LINES = 100;
/** The content type of what is joined. */
const MEMBERS = "application/vnd.faasflow.members+json";

/** The inside of a place of the request at this path, and a function that brings it up to date. */
export function insideOf(place, path, signal) {
  const reason = h("p", { class: "reason" });
  const facts = h("p", { class: "quiet" });
  const course = h("ol", { class: "course quiet" });
  const sides = h("div", { class: "sides" });
  const log = h("div", { class: "lines" });
  const query = `place=${encodeURIComponent(place.place)}`;
  const element = h("div", {}, reason, facts, course, sides, h("h3", {}, "Log"), log);

  const bring = (of, { parts, request, log: lines, call }) => {
    reason.hidden = !of.reason;
    setText(reason, of.reason ? inWords(of.reason) : "");
    setText(facts, told(of, request, call).join(" "));
    course.hidden = parts.length < 2;
    putIfNew(course, parts.map(partInWords), () => parts.map((part) => h("li", {}, partInWords(part))));
    putIfNew(sides, [of.status, of.done_ms, of.output, of.answer], () => [input(of), outcome(of)]);
    const own = lines ? linesOf(of, lines.lines, request) : [];
    putIfNew(log, [own.length, own.at(-1), lines === null], () => {
      if (!lines) return loading();
      return [own.length > LINES ? h("p", { class: "quiet" }, `The last ${LINES} of ${count(own.length)} lines.`) : null,
        logLines(own.slice(-LINES))];
    });
  };

  /** A payload under a heading. It is asked for when it is shown. */
  const side = (title, what) => {
    const heading = h("h3", {}, title);
    const body = h("div", {}, loading());
    const target = `${path}/${what}?${query}`;
    api.ask(target, signal).then(async (answer) => {
      if ((answer.headers.get("Content-Type") ?? "") === MEMBERS) setText(heading, "What is joined");
      put(body, await answered(answer), h("p", {}, h("a", { href: target, download: `${what}-${place.place.replaceAll("/", "-")}` }, "Download it")));
    }).catch((error) => {
      if (error.name !== "AbortError") put(body, h("p", { class: "quiet" }, `${api.told(error)}${api.isAway(error) ? "" : "."}`));
    });
    return h("section", { "aria-label": title }, heading, body);
  };
  const empty = (title, text) => h("section", { "aria-label": title }, h("h3", {}, title), h("p", { class: "quiet" }, text));

  const input = () => side("Input", "input");
  const outcome = (of) => {
    if (of.answer) return side(`Answer with status ${of.answer.status}`, "answer");
    if (of.status === "replied") return side("What the failure handler replied", "output");
    if (of.status === "failed") return empty("Output", "It has failed, so it has no output.");
    if (of.output === undefined) return empty("Output", of.status === "stopped" ? "It did not end, so it has no output." : "It has not ended.");
    if (of.members && of.output.bytes === 0) return empty("Output", "It was split into items. Each item is the input of a place of its own.");
    return side("Output", "output");
  };
  return [element, bring];
}

export const inWords = (reason) =>
  [reason.name?.replaceAll("`", ""), reason.text].filter(Boolean).join(": ") + (reason.code ? ` (${reason.code})` : "");

/** The lines that the flow wrote at a place, and those of the functions that it called meanwhile. */
function linesOf(place, lines, request) {
  const from = place.began_ms ?? place.queued_ms ?? request.started_ms;
  const to = place.done_ms ?? Infinity;
  const called = new Set(place.steps.flatMap((name) => [...name.matchAll(/^function `(.+)`$/g)].map(([, called]) => called)));
  return lines.filter(({ name, text, timestamp }) => {
    const at = [...text.matchAll(/\b(?:place|phase)"?[=:]"?([\d./@]+)/g)].at(-1);
    if (at && name === request.flow) return at[1] === place.place;
    const ms = Date.parse(timestamp);
    return called.has(name) && ms >= from - 1 && ms <= to + 50;
  });
}

/** What there is to say about a place, in sentences. */
function told(place, request, call) {
  const sentences = [`Place ${place.place}, phase ${place.phase}.`];
  if (place.began_ms !== undefined) sentences.push(`Began at ${exact(place.began_ms)}.`);
  if (place.done_ms !== undefined) sentences.push(`Ended at ${exact(place.done_ms)}.`);
  if (place.attempts > 0) sentences.push(`Delivered ${place.attempts === 1 ? "once" : `${count(place.attempts)} times`}.`);
  if (place.status === "waiting") {
    sentences.push(request.status === "parked" ? "It waits until the request can go on."
      : "It waits until the request is resumed. What had begun before is still brought to its end.");
  }
  if (place.status === "stopped") {
    sentences.push(request.status === "stopped" ? "It was stopped with the request; it may never have begun."
      : "It is not needed any more, because what came after it was decided; it may never have begun.");
  }
  if (place.status === "replied") sentences.push("A failure handler replied for the request, which ended with this.");
  if (place.status === "retrying") sentences.push("Its last delivery was given up. The queue delivers it again.");
  if (place.status === "running" && !call && place.attempts === 0) sentences.push("It is in progress, or waits in the queue.");
  if (place.chosen !== undefined) sentences.push(`It chose the branch ${place.chosen}.`);
  if (place.members) sentences.push(`It began ${counted(place.members.all, "branch or item", "branches or items")}: ${membersInWords(place.members)}.`);
  if (place.output && !(place.members && place.output.bytes === 0)) {
    sentences.push(`Its output is ${bytes(place.output.bytes)}${place.output.content_type ? ` of ${place.output.content_type}` : ""}.`);
  }
  return sentences;
}

/** What has become of members, in words. */
export function membersInWords({ done, failed = 0, running = 0, waiting = 0, stopped = 0 }) {
  const rest = [[failed, "failed"], [running, "in progress"], [waiting, "waiting"], [stopped, "stopped"]].filter(([number]) => number > 0);
  return [`${count(done)} done`, ...rest.map(([number, word]) => `${count(number)} ${word}`)].join(", ");
}
