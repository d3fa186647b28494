// One request: what has become of it, why, and what can be done about it.

import * as api from "../api.js";
import { again as runAgain } from "../again.js";
import { callOf } from "../course.js";
import { curl } from "../curl.js";
import { drawing } from "../drawing.js";
import { h, isSeen, keyed, put, putButtons, putIfNew, setText } from "../dom.js";
import { isAbout, isConnected } from "../events.js";
import { counted, duration, exact, isEnd, isOpen, steps } from "../format.js";
import { headOf, requestHead, SECRET, sendable } from "../heads.js";
import { isOfFlow, letterOf, linkToLetters, readLetters } from "../letters.js";
import { live, repeat, say } from "../live.js";
import { areInSameMember, isInMemberOf } from "../members.js";
import { button, chip, confirm, copyable, flowPage, link, loading, logView, parameters, section, setParameters, updateChip } from "../parts.js";
import { payload, readUpTo } from "../payload.js";
import { insideOf, inWords as reasonInWords } from "../place.js";
import { timeline } from "../timeline.js";
import { whyNot } from "../why.js";
import { zoomable } from "../zoom.js";

/** The largest body that a command contains, in bytes. */
const TYPED = 20_000;
/** How many log lines are shown. */
const LINES = 300;
/** How many calls of the queue are looked at to find those of the request. */
const CALLS = 500;
/** Of how many earlier generations flows tell what became of places. */
const EARLIER = 5;
/** The queue is asked less often than the request, in milliseconds. */
const QUEUE_EVERY = 2000;
/** How long after the end lines may still come, and when they are looked for, in milliseconds. */
const LAST_LINES = 15_000;
const LATE = [1500, 5000];
/** How often the log of a request that has not ended is read without an event, in milliseconds. */
const LINES_EVERY = 5000;
/** How long to wait between two looks at a request that has ended, in milliseconds. Somebody may redrive it. */
const CALM = 10_000;
/** Of a request with more open items than the status lists, the log and the queue are asked for less often, in milliseconds. */
const LARGE_LOG_EVERY = 30_000;
const LARGE_QUEUE_EVERY = 10_000;
/** How many log lines of such a request are shown while it is in progress. */
const LARGE_LINES = 100;
/** When such a request has not moved for this time, the queue may say why, in milliseconds. */
const STILL = 10_000;

const isLarge = (request) => !isEnd(request.status) && request.places.some((place) => place.unlisted?.open > 0);

export function page(main, { words: [flow, id], signal, go }) {
  const path = api.requestPath(flow, id);
  const status = chip("");
  const words = h("p", { class: "words" });
  const why = h("p", { class: "why", hidden: true });
  const now = h("ul", { class: "now", hidden: true });
  const trace = h("p", { class: "quiet", hidden: true });
  const actions = h("div", { class: "actions" });
  const done = h("div", { "aria-live": "polite" });
  const keys = h("p", { class: "quiet", hidden: true });
  const [startAgain, origins] = runAgain(flow, id, done, go, signal);
  const opened = new Set(parameters().getAll("place"));
  const choose = (place, of) => {
    if (place === null) opened.delete(of);
    else opened.add(of);
    setParameters({ place: [...opened] });
  };
  const [places, updatePlaces] = timeline(opened, choose, (place) => insideOf(place, path, signal, { opened, choose }));
  const picture = zoomable(signal);
  const other = h("p", { class: "note", hidden: true }, "This request began with another definition of the flow than the one that is deployed now. "
    + "The picture shows the deployed one, so what has happened is not marked in it; the list of places has it.");
  const result = h("div", {});
  const resultSection = section("Result", result);
  const [log, updateLog] = logView();
  const dropped = h("p", { class: "quiet" });
  const head = h("div", { class: "status-line" }, status, words);
  const unbegun = h("p", { class: "why", hidden: true });
  const rest = h("div", { hidden: true },
    why, now, keys, origins.element, trace, actions, done, requestHead(path, signal), section("Places", places), section("Steps", other, picture.element), resultSection, section("Log", dropped, log));
  put(main, h("p", { class: "above" }, link(flowPage(flow), flow), " › request"),
    h("h1", { class: "id" }, id), head, unbegun, rest);
  resultSection.hidden = true;
  setText(words, "Loading…");

  let colour = () => {};
  let latest = null;
  let logged = null;
  let queue = null;
  let askedQueue = -Infinity;
  let traces = null;
  api.get("/system/info", signal).then((info) => { traces = info.traces ?? null; if (latest) showTrace(latest); }, () => {});
  api.getOnce(`${api.flowPath(flow)}/drawing`, signal).then((of) => {
    const [element, colours] = drawing(of, flow);
    picture.show(element);
    colour = colours;
    if (latest) showPicture(latest);
  }, (error) => { if (error.name !== "AbortError") picture.fail(api.sentence(error)); });

  let calmUntil = 0;
  let askedLog = -Infinity;
  const opening = performance.now();
  let isActing = false;
  let following;
  const look = live(signal, 1000, async () => {
    const calm = calmUntil - performance.now();
    if (calm > 0) {
      following ??= setTimeout(() => { following = undefined; look(); }, calm + 50);
      return;
    }
    let request;
    try {
      request = await api.get(path, signal);
    } catch (error) {
      if (![404, 410].includes(error.status)) throw error;
      rest.hidden = true;
      const unread = (why) => { if (api.isAway(why) || why.name === "AbortError") throw why; return []; };
      // A request that has expired has begun. A callback has its id too, but is no delivery of it.
      const read = error.status === 410 ? [] : await readLetters({ function: flow, request: id }, signal).catch(unread);
      const letters = read.filter((letter) => isOfFlow(letter, flow));
      setText(words, error.message);
      unbegun.hidden = letters.length === 0;
      putIfNew(unbegun, letters.map((letter) => letter.id), () => (letters.length === 0 ? null : [
        "The queue has given up a delivery of it: ", linkToLetters(letters), ". If it has not begun, it begins when that is put back into the queue."]));
      status.hidden = true;
      return;
    }
    status.hidden = false;
    unbegun.hidden = true;
    rest.hidden = false;
    latest = request;
    const large = isLarge(request);
    if (isEnd(request.status) || (large && Date.now() - request.moved_ms < STILL)) queue = null;
    else await lookAtQueue(request);
    updateChip(status, request.status);
    // The sentence above says that somebody stopped it.
    why.hidden = !request.reason || request.status === "stopped";
    if (request.reason) putIfNew(why, request.reason, () => reason(request, showPlace));
    showTimes(request);
    showTrace(request);
    origins.bring(request);
    const searchKeys = request.keys ?? [];
    keys.hidden = searchKeys.length === 0;
    putIfNew(keys, searchKeys, () => [`Search ${searchKeys.length === 1 ? "key" : "keys"}: `, h("span", { class: "id" }, searchKeys.join(", "))]);
    putButtons(actions, [request.status, request.generation, phasesOf(request)], () => buttons(request));
    showPicture(request);
    const key = JSON.stringify([request.status, request.generation]);
    if (isEnd(request.status) && result.shownFor !== key) {
      result.shownFor = key;
      showResult();
      for (const wait of LATE) setTimeout(() => { if (!signal.aborted) lookAtLines(); }, wait);
    }
    if (!isEnd(request.status)) {
      resultSection.hidden = true;
      result.shownFor = null;
    }
    const isOver = isEnd(request.status) && Date.now() - request.ended_ms > LAST_LINES;
    if ((!isOver && !(large && performance.now() - askedLog < LARGE_LOG_EVERY)) || logged === null) await showLog();
    // The longer somebody watches a large request, the less often it is asked for, so that a page that stays open costs little.
    const pause = large ? Math.min(CALM, (performance.now() - opening) / 15) : 0;
    calmUntil = performance.now() + (isOver && !isConnected() ? CALM : pause);
  }, concerns);
  // Times go on although nothing happens.
  repeat(signal, 1000, () => { if (latest && !isEnd(latest.status) && !rest.hidden) showTimes(latest); });
  // A function may write lines long before the next event.
  repeat(signal, LINES_EVERY, () => { if (latest && !isEnd(latest.status) && !isLarge(latest) && isSeen(log)) showLog().catch(() => {}); });

  /** Whether an event is about this request. If some are left out, it may be. */
  function concerns(event) {
    const changed = event.changed?.find((one) => one.flow === flow && one.id === id);
    if (changed && isEnd(changed.status)) calmUntil = 0;
    return Boolean(changed
      || event.ended?.some((call) => call.request === id)
      || (event.left_out > 0 && isAbout(event, flow)));
  }

  /** What depends on the time. */
  function showTimes(request) {
    setText(words, inWords(request));
    showNow(request);
    updatePlaces(request, queue?.calls, (place) => isOpen(place) && letterOf(place, queue?.letters, request) !== undefined);
  }

  /** The last lines come a little after the end. */
  async function lookAtLines() {
    if (latest) showTimes(latest);
    await showLog().catch(() => {});
  }

  const again = () => {
    calmUntil = 0;
    look();
  };

  /** Colours the picture, which is that of the deployed definition. The steps of another one would be marked in the wrong places. */
  function showPicture(request) {
    const isOther = request.is_deployed === false;
    other.hidden = !isOther;
    if (isOther) return;
    colour(request);
    picture.bringIntoView();
  }

  /** Opens a place, or the item that it is in, and goes there. The list of the items is asked for first if it is not open. */
  function showPlace(place) {
    const rows = () => [...places.querySelectorAll("details[data-place]")];
    const found = () => rows().find((row) => row.dataset.place === place)
      ?? rows().find((row) => rows().some((fork) => areInSameMember(row.dataset.place, place, fork.dataset.place)));
    const goThere = () => {
      const row = found();
      if (!row) return false;
      row.open = true;
      row.querySelector("summary").focus();
      row.scrollIntoView({ block: "center" });
      return true;
    };
    if (goThere()) return;
    const fork = rows().findLast((row) => isInMemberOf(place, row.dataset.place));
    if (!fork) return;
    choose(place, place);
    fork.open = true;
    fork.scrollIntoView({ block: "center" });
    // Unless the reader does something else before it is listed.
    const ends = new AbortController();
    const changed = new MutationObserver(() => { if (goThere()) ends.abort(); });
    AbortSignal.any([signal, ends.signal]).addEventListener("abort", () => changed.disconnect());
    for (const event of ["pointerdown", "keydown"]) addEventListener(event, () => ends.abort(), { signal: ends.signal });
    changed.observe(places, { childList: true, subtree: true });
    showTimes(latest);
  }

  /** Where the request is in the queue of this gateway. */
  async function lookAtQueue(request) {
    const rests = askedQueue + (isLarge(request) ? LARGE_QUEUE_EVERY : QUEUE_EVERY) - performance.now();
    if (rests > 0) {
      // What is known of the queue may be older than what is known of the request.
      if (isConnected()) following ??= setTimeout(() => { following = undefined; again(); }, rests + 50);
      return;
    }
    try {
      const calls = await api.get(`/system/queue/calls?limit=${CALLS}`, signal);
      const isMissing = (place) => isOpen(place) && !callOf(place, calls);
      const letters = request.places.some(isMissing) ? await readLetters({ function: flow, request: id }, signal) : [];
      queue = { calls, letters, isWhole: calls.length < CALLS };
    } catch (error) {
      // Without the queue, the page says less.
      if (api.isAway(error) || error.name === "AbortError") throw error;
      queue = null;
    }
    askedQueue = performance.now();
  }

  function showNow(request) {
    const sentences = isEnd(request.status) ? [] : whyNot(request, queue);
    now.hidden = sentences.length === 0;
    now.classList.toggle("stuck", sentences.some((sentence) => sentence.some((part) => part.letter !== undefined)));
    // Each sentence is replaced by itself, so that a link in another one can be clicked while a time is counted down.
    keyed(now, [...sentences.entries()], ([index]) => index, () => h("li", {}), (item, [, sentence]) => {
      putIfNew(item, sentence, () => sentence.map((part) => {
        if (part.letter !== undefined) return link(`/ui/queue/dead-letters/${part.letter}`, part.text);
        return part.code !== undefined ? h("code", {}, part.code) : part;
      }));
    });
  }

  function showTrace(request) {
    trace.hidden = !request.trace_id;
    if (!request.trace_id) return;
    const base = /^https?:\/\//.test(traces ?? "") ? traces.replace(/\/+$/, "") : null;
    putIfNew(trace, [base, request.trace_id], () => (base !== null
      ? h("a", { href: `${base}/trace/${request.trace_id}`, rel: "noreferrer" }, "See its trace in Jaeger")
      : ["Trace: ", h("span", { class: "id" }, request.trace_id)]));
  }

  async function showResult() {
    resultSection.hidden = false;
    put(result, loading());
    // Without the values of secret fields.
    const shown = `${path}/result?masked=true`;
    try {
      put(result, await payload(shown, signal),
        h("p", {}, h("a", { href: shown, download: `${id}-result` }, "Download it")));
    } catch (error) {
      if (error.name !== "AbortError") put(result, h("p", { class: "quiet" }, api.sentence(error)));
    }
  }

  async function showLog() {
    const most = latest && isLarge(latest) ? LARGE_LINES : LINES;
    askedLog = performance.now();
    const found = await api.logs({ request: id, tail: most }, signal).catch(api.orAbsent);
    if (found.absent) {
      setText(dropped, found.absent);
      logged = found.absent;
      return;
    }
    const seen = JSON.stringify([found.lines.length, found.lines.at(-1)]);
    if (seen === logged) return;
    logged = seen;
    setText(dropped, found.lines.length === most ? `The last ${most} lines are shown.` : "");
    updateLog(found.lines, found.dropped);
  }

  const phasesOf = (request) => [...new Set(request.places.map((place) => place.phase))].sort((one, other) => one - other);

  function buttons(request) {
    const all = [];
    if (request.status === "running") all.push(button("Pause", () => act("pause", "Paused. What is in progress ends, and nothing else begins.")));
    if (["paused", "parked"].includes(request.status)) all.push(button("Resume", () => act("resume", "Resumed."), { class: "primary" }));
    if (!isEnd(request.status)) all.push(button("Stop…", stop));
    if (["failure", "stopped"].includes(request.status)) all.push(button("Redrive what failed…", () => redrive("failed"), { class: "primary" }));
    const phases = phasesOf(request);
    if (isEnd(request.status) && phases.length > 0) {
      const from = h("select", { "aria-label": "Phase" }, phases.map((phase) => h("option", { value: phase }, phaseName(request, phase))));
      all.push(h("span", { class: "pair" }, button("Redrive from…", () => redrive(from.value)), from));
    }
    all.push(startAgain);
    all.push(button("Copy as curl", asCurl));
    return all;
  }

  /** Shows the command that sends the same request again, as far as it can be typed. */
  async function asCurl() {
    const target = `${location.origin}/function/${encodeURIComponent(flow)}`;
    try {
      const [answer, head] = await Promise.all([api.ask(`${path}/input`, signal), headOf(path, signal)]);
      const type = answer.headers.get("Content-Type");
      const isMasked = answer.headers.get("X-Faasflow-Masked") === "true";
      const body = await typed(answer);
      const isHidden = isMasked && !body?.includes(SECRET);
      const { query, headers, said } = head !== null ? sendable(head)
        : { query: "", headers: type ? [["content-type", type]] : [], said: ["Query and headers of the original request are not in it."] };
      if (isMasked) said.push(isHidden ? "The body is not shown because it has secret fields." : "Values of secret fields in the body are masked: type them.");
      const sent = body === null || isHidden ? { file: `${id}-input` } : { text: body };
      put(done, copyable(curl({ url: query === "" ? target : `${target}?${query}`, headers, said, ...sent }), "The command"),
        sent.file === undefined ? null : h("p", { class: "quiet" }, isHidden ? `Put the body into the file ${id}-input.`
          : `The body is large or cannot be typed: download the input of the first place as ${id}-input.`));
    } catch (error) {
      if (error.name !== "AbortError") put(done, h("p", { class: "bad" }, api.sentence(error)));
    }
  }

  async function stop() {
    const text = "It ends now, as stopped. Calls that are in progress end, but nothing follows them.";
    if (await confirm("Stop this request?", text, "Stop", true)) await act("stop", "Stopped.");
  }

  async function redrive(from) {
    const text = from === "failed"
      ? "What failed or had not begun is executed again. Results that are recorded are used."
      : `Everything from phase ${from} on is executed again, also what has succeeded. Results before it are used.`;
    if (await confirm("Redrive this request?", text, "Redrive")) await act(`redrive?from=${encodeURIComponent(from)}`, "Redriven.");
  }

  async function act(what, said) {
    if (isActing) return;
    // A button that is disabled loses the focus.
    isActing = true;
    try {
      await api.post(`${path}/${what}`);
      put(done);
      say(said);
    } catch (error) {
      put(done, h("p", { class: "bad" }, api.sentence(error)));
    }
    isActing = false;
    again();
  }
}

/** A body as text, if somebody could type it into a shell; otherwise `null`. No more is read than is needed to know that. */
async function typed(answer) {
  const { content, isCut } = await readUpTo(TYPED, answer);
  if (isCut) return null;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
    return /[\u0000-\u0008\u000b-\u001f\u007f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

const phaseName = (request, phase) => {
  const place = request.places.find((place) => place.phase === phase);
  const names = steps(place);
  return place.steps.length === 0 ? names : `phase ${phase}: ${names.length > 60 ? `${names.slice(0, 59)}…` : names}`;
};

/** What has become of a request, in a sentence. */
function inWords(request) {
  const began = `began at ${exact(request.started_ms)}`;
  const before = request.generation > EARLIER ? ` Of what it did before, the last ${EARLIER} generations are shown.` : "";
  const again = request.generation > 0 ? ` It was redriven ${request.generation === 1 ? "once" : counted(request.generation, "time")}.${before}` : "";
  const took = duration((request.ended_ms ?? Date.now()) - request.started_ms);
  switch (request.status) {
    case "running": return `It has been in progress for ${took}; it ${began}.${again}`;
    case "paused": return `Somebody has paused it; it ${began}. It goes on when it is resumed.${again}`;
    case "parked": return `It waits, because the definition of the flow has changed ahead of it; it ${began}.${again}`;
    case "success": return `It succeeded after ${took}; it ${began}.${again}`;
    case "recovered": return `A step failed, and the failure handler answered, after ${took}; it ${began}.${again}`;
    case "failure": return `It failed after ${took}; it ${began}.${again}`;
    case "stopped": return `Somebody stopped it after ${took}; it ${began}.${again}`;
    default: return `It ${began}.${again}`;
  }
}

/** Why a request failed, with a button that calls `open(place)`. */
function reason({ reason, places }, open) {
  const isKnown = places.some((place) => place.place === reason.place);
  return [
    reasonInWords(reason),
    isKnown ? [" ", button("Show the place", () => open(reason.place), { class: "small" })] : null,
  ];
}
