// One request: what has become of it, why, and what can be done about it.

import * as api from "../api.js";
import { drawing } from "../drawing.js";
import { h, put, putIfNew, setText } from "../dom.js";
import { counted, duration, exact, isEnd, shellWord, steps } from "../format.js";
import { live, say } from "../live.js";
import { button, chip, confirm, copyable, link, loading, logLines, parameters, section, setParameters, updateChip } from "../parts.js";
import { payload } from "../payload.js";
import { timeline } from "../timeline.js";

/** How many log lines are shown. */
const LINES = 300;
/** How long after the end lines may still come, in milliseconds. */
const LAST_LINES = 15_000;

export function page(main, { words: [flow, id], signal }) {
  const path = api.requestPath(flow, id);
  const status = chip("");
  const words = h("p", { class: "words" });
  const why = h("p", { class: "why", hidden: true });
  const actions = h("div", { class: "actions" });
  const done = h("div", { "aria-live": "polite" });
  const opened = parameters().get("place");
  const [places, updatePlaces] = timeline(opened, (place, of) => {
    if (place !== null || parameters().get("place") === of) setParameters({ place });
  });
  const picture = h("div", { class: "picture-of-flow", tabindex: "0", role: "region", "aria-label": "The flow as a picture" }, loading());
  const result = h("div", {});
  const resultSection = section("Result", result);
  const log = h("div", {});
  const dropped = h("p", { class: "quiet" });
  const head = h("div", { class: "status-line" }, status, words);
  const rest = h("div", { hidden: true },
    why, actions, done, section("Places", places), section("Steps", picture), resultSection, section("Log", dropped, log));
  put(main, h("p", { class: "above" }, link(`/ui/flows/${encodeURIComponent(flow)}`, flow), " › request"),
    h("h1", { class: "id" }, id), head, rest);
  resultSection.hidden = true;
  setText(words, "Loading…");

  let colour = () => {};
  let latest = null;
  let logged = null;
  api.getOnce(`${api.flowPath(flow)}/drawing`, signal).then((of) => {
    const [element, colours] = drawing(of, flow);
    put(picture, element);
    colour = colours;
    if (latest) colour(latest);
  }, (error) => { if (error.name !== "AbortError") put(picture, h("p", { class: "quiet" }, error.message)); });

  const again = live(signal, 1000, async () => {
    let request;
    try {
      request = await api.get(path, signal);
    } catch (error) {
      if (![404, 410].includes(error.status)) throw error;
      rest.hidden = true;
      setText(words, error.message);
      status.hidden = true;
      return;
    }
    status.hidden = false;
    rest.hidden = false;
    latest = request;
    updateChip(status, request.status);
    setText(words, inWords(request));
    why.hidden = !request.reason;
    if (request.reason) putIfNew(why, request.reason, () => reason(request));
    putIfNew(actions, [request.status, request.generation, phasesOf(request)], () => buttons(request));
    updatePlaces(request);
    colour(request);
    const key = JSON.stringify([request.status, request.generation]);
    if (isEnd(request.status) && result.shownFor !== key) {
      result.shownFor = key;
      showResult();
    }
    if (!isEnd(request.status)) {
      resultSection.hidden = true;
      result.shownFor = null;
    }
    // The last lines come a little after the end, and then no more.
    const isOver = isEnd(request.status) && Date.now() - request.ended_ms > LAST_LINES;
    if (!isOver || logged === null) await showLog();
  });

  async function showResult() {
    resultSection.hidden = false;
    put(result, loading());
    try {
      put(result, await payload(`${path}/result`, signal),
        h("p", {}, h("a", { href: `${path}/result`, download: `${id}-result` }, "Download it")));
    } catch (error) {
      if (error.name !== "AbortError") put(result, h("p", { class: "quiet" }, error.message));
    }
  }

  async function showLog() {
    const found = await api.logs({ request: id, tail: LINES }, signal).catch(api.orAbsent);
    if (found.absent) {
      setText(dropped, found.absent);
      logged = found.absent;
      return;
    }
    const seen = JSON.stringify([found.lines.length, found.lines.at(-1)]);
    if (seen === logged) return;
    logged = seen;
    setText(dropped, found.lines.length === LINES ? `The last ${LINES} lines are shown.` : "");
    put(log, logLines(found.lines, found.dropped));
    log.querySelector(".log")?.scrollTo(0, 1e9);
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
    all.push(button("Show as curl", () => put(done, copyable(["curl", location.origin + path].map(shellWord).join(" "), "The command"))));
    return all;
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
    for (const element of actions.querySelectorAll("button")) element.disabled = true;
    try {
      await api.post(`${path}/${what}`);
      put(done);
      say(said);
    } catch (error) {
      put(done, h("p", { class: "bad" }, api.isAway(error) ? "The gateway does not answer." : error.message));
    }
    for (const element of actions.querySelectorAll("button")) element.disabled = false;
    again();
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
  const again = request.generation > 0 ? ` It was redriven ${request.generation === 1 ? "once" : counted(request.generation, "time")}.` : "";
  const took = duration((request.ended_ms ?? Date.now()) - request.started_ms);
  const open = request.places.filter((place) => ["running", "retrying"].includes(place.status));
  const where = open.length === 0 ? "" : open.length === 1 ? ` It is at ${steps(open[0])}.`
    : ` It is at ${counted(open.length, "place")}.`;
  const still = open.some((place) => place.status === "retrying") ? " A delivery was given up and will be made again." : "";
  switch (request.status) {
    case "running": return `It has been in progress for ${took}; it ${began}.${where}${still}${again}`;
    case "paused": return `Somebody has paused it; it ${began}. It goes on when it is resumed.${again}`;
    case "parked": return `It waits, because the definition of the flow has changed ahead of it; it ${began}.${again}`;
    case "success": return `It succeeded after ${took}; it ${began}.${again}`;
    case "recovered": return `A step failed, and the failure handler answered, after ${took}; it ${began}.${again}`;
    case "failure": return `It failed after ${took}; it ${began}.${again}`;
    case "stopped": return `Somebody stopped it after ${took}; it ${began}.${again}`;
    default: return `It ${began}.${again}`;
  }
}

function reason({ reason, places }) {
  const isKnown = places.some((place) => place.place === reason.place);
  return [
    reason.name ? h("strong", {}, `${reason.name.replaceAll("`", "")}: `) : null, reason.text,
    reason.code ? h("span", { class: "quiet" }, ` (${reason.code})`) : null,
    isKnown ? [" ", button("Show the place", () => {
      const details = [...document.querySelectorAll("details[data-place]")].find((one) => one.dataset.place === reason.place);
      if (!details) return;
      details.open = true;
      details.querySelector("summary").focus();
      details.scrollIntoView({ block: "center" });
    }, { class: "small" })] : null,
  ];
}
