// What an opened place shows: what is known of it, its payloads side by side, and its log lines.

import * as api from "./api.js";
import { callOf, partInWords, partsOf } from "./course.js";
import { h, isSeen, put, putIfNew, setText } from "./dom.js";
import { bytes, count, counted, exact, hasNotBegun, isOpen, nameOf } from "./format.js";
import { answerHead } from "./heads.js";
import { membersOf } from "./members.js";
import { link, loading, logView, requestPage } from "./parts.js";
import { answered } from "./payload.js";
import { stepsOf } from "./steps.js";

/** How many lines of a place are shown. */
const LINES = 100;
/** How often lines are asked for while there may be more, in milliseconds, and how long after the end of a place lines may still come. */
const EVERY = 2000;
const LAST_LINES = 15_000;
/** The shortest time between two looks for the requests that a place has started in other flows, in milliseconds. */
const CALLED_EVERY = 5000;
/** The content type of what is joined. */
const MEMBERS = "application/vnd.faasflow.members+json";

/**
 * The inside of a place of the request at this path, and a function that brings it up to date. `shown` has the places that
 * the URL names (`opened`), and a function that writes them there (`choose`).
 */
export function insideOf(place, path, signal, shown) {
  const reason = h("p", { class: "reason" });
  const facts = h("p", { class: "quiet" });
  const called = h("ul", { class: "called", hidden: true });
  const bringCalled = calledRequests(called, signal);
  const course = h("ol", { class: "course quiet" });
  const [stepList, bringSteps] = stepsOf();
  const sides = h("div", { class: "sides" });
  const answers = h("div", { hidden: true });
  const log = h("div", { class: "lines" });
  const members = h("div", {});
  let bringMembers = null;
  const logged = h("div", {}, h("h3", {}, "Log"), log);
  const element = h("div", {}, reason, facts, called, course, stepList, members, sides, answers, logged);

  const bringLog = placeLog(place.place, log, signal);
  const bring = (of, seen) => {
    const { request } = seen;
    const call = callOf(of, seen.calls);
    const parts = partsOf(of, request, request.ended_ms ?? Date.now(), seen.calls, false);
    reason.hidden = !of.reason;
    setText(reason, of.reason ? inWords(of.reason) : "");
    setText(facts, told(of, request, call, seen.isGivenUp).join(" "));
    bringCalled(of);
    course.hidden = parts.length < 2;
    putIfNew(course, parts.map(partInWords), () => parts.map((part) => h("li", {}, partInWords(part))));
    bringSteps(of);
    if (of.members && bringMembers === null) {
      const inner = (inside) => insideOf(inside, path, signal, shown);
      const [list, bringList] = membersOf(of, path, signal, { ...shown, insideOf: inner });
      put(members, list);
      bringMembers = bringList;
    }
    bringMembers?.(of, seen);
    const isAhead = hasNotBegun(of);
    sides.hidden = isAhead;
    logged.hidden = isAhead;
    if (!isAhead) putIfNew(sides, [of.status, of.done_ms, of.output, of.answer], () => [input(of), outcome(of)]);
    const before = (of.earlier ?? []).filter(({ answer }) => answer);
    answers.hidden = before.length === 0;
    putIfNew(answers, before, () => before.map(answerBefore));
    if (!isAhead) bringLog(of, request);
  };

  /** The answer of a function in an earlier generation. It is asked for when it is unfolded. */
  const answerBefore = ({ place: before, generation, answer: { status } }) => {
    const inside = h("div", {});
    const fold = h("details", {}, h("summary", { class: "quiet" }, `Answer in generation ${generation}, with status ${status}`), inside);
    fold.addEventListener("toggle", () => {
      if (fold.open && inside.childNodes.length === 0) put(inside, answerOf(before, status));
    });
    return fold;
  };
  const queryOf = (name) => `place=${encodeURIComponent(name)}`;
  const answerOf = (name, status) => side(`Answer with status ${status}`, "answer", name, answerHead(path, queryOf(name), signal));

  /** A payload of the place, or of the same place in another generation, under a heading. It is asked for when it is shown. `above` is shown between them. */
  const side = (title, what, name = place.place, ...above) => {
    const heading = h("h3", {}, title);
    const body = h("div", {}, loading());
    const target = `${path}/${what}?${queryOf(name)}`;
    api.ask(target, signal).then(async (answer) => {
      if ((answer.headers.get("Content-Type") ?? "") === MEMBERS) setText(heading, "What is joined");
      put(body, await answered(answer), h("p", {}, h("a", { href: target, download: `${what}-${name.replaceAll("/", "-")}` }, "Download it")));
    }).catch((error) => {
      if (error.name !== "AbortError") put(body, h("p", { class: "quiet" }, api.sentence(error)));
    });
    return h("section", { "aria-label": title }, heading, above, body);
  };
  const empty = (title, text) => h("section", { "aria-label": title }, h("h3", {}, title), h("p", { class: "quiet" }, text));

  const input = () => side("Input", "input");
  const outcome = (of) => {
    const replied = of.status === "replied" ? [side("What the failure handler replied", "output")] : [];
    if (of.answer) return [...replied, answerOf(of.place, of.answer.status)];
    if (replied.length > 0) return replied;
    if (of.status === "failed") return empty("Output", "It has failed, so it has no output.");
    if (of.output === undefined) return empty("Output", of.status === "stopped" ? "It did not end, so it has no output." : "It has not ended.");
    if (of.members && of.output.bytes === 0) return empty("Output", "It was split into items. Each item is the input of a place of its own.");
    return side("Output", "output");
  };
  return [element, bring];
}

export const inWords = (reason) =>
  [reason.name?.replaceAll("`", ""), reason.text].filter(Boolean).join(": ") + (reason.code ? ` (${reason.code})` : "");

/** Shows the lines of a place in `element`. The function that is returned asks for them again if there may be more. */
function placeLog(place, element, signal) {
  let askedAt = -Infinity;
  let askedFor = "";
  let isAsking = false;
  const [view, bringLines] = logView();
  const show = ({ absent, lines, leftOut }) => {
    if (absent) return h("p", { class: "quiet" }, absent);
    // A gateway of an older version answers with all lines of the request.
    if (leftOut === null) return h("p", { class: "quiet" }, "This gateway cannot tell which lines belong to a place. The log of the request is below.");
    return [
      h("p", { class: "quiet" }, leftOut > 0 ? `The last ${count(lines.length)} of ${counted(lines.length + leftOut, "line")} are shown. ` : "",
        "Lines of the flow say to which place they belong. A line of a function is shown if it executed only the call from this place at that time."),
      view,
    ];
  };
  put(element, loading());
  return async (of, request) => {
    const state = JSON.stringify([of.status, of.attempts, of.done_ms]);
    const ended = of.done_ms ?? (isOpen(of) ? undefined : request.ended_ms ?? request.moved_ms);
    const isOver = ended !== undefined && Date.now() - ended > LAST_LINES;
    const isDue = state !== askedFor || (!isOver && performance.now() - askedAt > EVERY);
    if (isAsking || !isDue || (askedFor !== "" && !isSeen(element))) return;
    isAsking = true;
    try {
      const found = await api.logs({ request: request.id, place, tail: LINES }, signal).catch(api.orAbsent);
      // The lines have a place of their own, where those that stay are kept.
      putIfNew(element, { ...found, lines: found.lines?.length }, () => show(found));
      if (!found.absent && found.leftOut !== null) bringLines(found.lines, found.dropped);
      [askedAt, askedFor] = [performance.now(), state];
    } catch {
      // The page says that the gateway is away. It is asked again.
      askedAt = performance.now();
    } finally {
      isAsking = false;
    }
  };
}

/**
 * Shows the requests of other flows that a place has called, in `element`. The status of a request names the ids that they have if what is
 * called is a flow that remembers its requests, so each is asked for. The function that is returned asks for those that are missing.
 */
function calledRequests(element, signal) {
  const found = new Set();
  let askedAt = -Infinity;
  /** The state of the place when all of them were asked for; empty if it is not known of some whether they exist. */
  let askedFor = "";
  return async (of) => {
    const missing = (of.called ?? []).filter(({ request }) => !found.has(request));
    const state = JSON.stringify([of.status, of.attempts, of.done_ms]);
    const isDue = (state !== askedFor || isOpen(of)) && performance.now() - askedAt > CALLED_EVERY;
    if (missing.length === 0 || !isDue) return;
    [askedAt, askedFor] = [performance.now(), state];
    try {
      const flows = await api.get("/system/flows", signal);
      await Promise.all(missing.filter((one) => flows.includes(one.function)).map(async ({ function: flow, request }) => {
        try {
          await api.checkSoon(api.requestPath(flow, request), signal);
          found.add(request);
        } catch (error) {
          if (!api.isForGood(error)) askedFor = "";
        }
      }));
    } catch {
      // The page says that the gateway is away. They are asked for again.
      askedFor = "";
    }
    const shown = of.called.filter(({ request }) => found.has(request));
    element.hidden = shown.length === 0;
    putIfNew(element, shown, () => shown.map(({ function: flow, request }) =>
      h("li", {}, `It called the flow ${flow}: request `, link(requestPage(flow, request), h("span", { class: "id" }, request)), ".")));
  };
}

/** What there is to say about a place, in sentences. */
function told(place, request, call, isGivenUp) {
  const sentences = [`Place ${place.place}, phase ${place.phase}.`];
  if (place.began_ms !== undefined) sentences.push(`Began at ${exact(place.began_ms)}.`);
  if (place.done_ms !== undefined) sentences.push(`Ended at ${exact(place.done_ms)}.`);
  if (place.attempts > 0) sentences.push(`Delivered ${place.attempts === 1 ? "once" : `${count(place.attempts)} times`}.`);
  if (hasNotBegun(place)) {
    sentences.push(waiting(place, request));
  } else if (place.status === "waiting") {
    sentences.push(request.status === "parked" ? "It waits until the request can go on."
      : "It waits until the request is resumed. What had begun before is still brought to its end.");
  }
  if (place.status === "stopped") {
    sentences.push(request.status === "stopped" ? "It was stopped with the request; it may never have begun."
      : "It is not needed any more, because what came after it was decided; it may never have begun.");
  }
  if (place.status === "replied") sentences.push("A failure handler replied for the request, which ended with this.");
  if (place.status === "retrying") sentences.push(`Its last delivery was given up. The queue ${isGivenUp ? "has given it up too; it is a dead letter" : "delivers it again"}.`);
  if (place.status === "running" && !call && place.attempts === 0) sentences.push("It is in progress, or waits in the queue.");
  for (const { generation, status, done_ms: ended, reason, details_left_out: isCut } of place.earlier ?? []) {
    sentences.push(`${generation === 0 ? "Before the request was redriven" : `In generation ${generation}`}, it ${status === "stopped" ? "did not end" : status === "failed" ? "failed" : `ended as ${status}`}${ended !== undefined ? ` at ${exact(ended)}` : ""}${reason ? `: ${reason.text}` : ""}.`);
    if (isCut) sentences.push("Its deliveries, steps and answer there are not listed, because the answer has reached its limit of details.");
  }
  if (place.chosen !== undefined) sentences.push(`It chose the branch ${place.chosen}.`);
  if (place.members) sentences.push(`It began ${counted(place.members.all, "branch or item", "branches or items")}: ${membersInWords(place.members)}.`);
  if (place.output && !(place.members && place.output.bytes === 0)) {
    sentences.push(`Its output is ${bytes(place.output.bytes)}${place.output.content_type ? ` of ${place.output.content_type}` : ""}.`);
  }
  return sentences;
}

/** What a place waits for that has not begun. */
function waiting({ waits_for: { what, places = [] } }, request) {
  const known = [...request.places, ...(request.ahead ?? [])];
  const names = places.map((name) => known.find((place) => place.place === name)).map((place, index) => (place ? nameOf(place) : `place ${places[index]}`));
  const list = names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  const halted = { paused: " The request is paused.", parked: " The request waits for another definition of the flow." }[request.status] ?? "";
  switch (what) {
    case "places": return `It has not begun: it waits for ${names.length > 1 ? `one of ${list}` : list}.${halted}`;
    case "branches": return `It has not begun: it waits for the ends of the branches that begin with ${list}.${halted}`;
    case "members": {
      const members = known.find((place) => place.place === places[0])?.members;
      return `It has not begun: it waits for ${members ? `${counted(members.all, "branch or item", "branches or items")} (${membersInWords(members)})` : `the branches or items that come after ${list}`}.${halted}`;
    }
    case "slot": return `It has not begun: only so many items are in progress at once, so it waits until another one has ended.${halted}`;
    default: return `It has not begun.${halted}`;
  }
}

/** What has become of members, in words. */
export function membersInWords({ done, failed = 0, running = 0, waiting = 0, stopped = 0 }) {
  const rest = [[failed, "failed"], [running, "in progress"], [waiting, "waiting"], [stopped, "stopped"]].filter(([number]) => number > 0);
  return [`${count(done)} done`, ...rest.map(([number, word]) => `${count(number)} ${word}`)].join(", ");
}
