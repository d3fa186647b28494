// What waits in the queue, and what it has given up.

import * as api from "../api.js";
import { h, keyed, put, putIfNew, setText } from "../dom.js";
import { endings } from "../endings.js";
import { hear } from "../events.js";
import { bytes, count, counted, duration, isEnd, look as looks } from "../format.js";
import { losses } from "../letters.js";
import { live, repeat } from "../live.js";
import { button, confirm, link, loading, parameters, requestPage, section, setParameters, table, updateWhen, when } from "../parts.js";
import { bringNumbers } from "./overview.js";

const MOST_CALLS = 200;
const MOST_LETTERS = 1000;
/** What is said before dead letters are discarded that can do nothing any more. */
const DISCARD_ENDED = "They are removed for good. Their requests have ended, so delivering them again would execute nothing. Only dead letters that you have seen are among them.";
/** Why some are not discarded although their requests had ended when the page last asked. */
const NOT_ENDED = "Their requests were redriven since, or their flows do not answer now.";

export function page(main, { signal }) {
  const numbers = h("dl", { class: "numbers" });
  const [calls, callRows] = table(["State", "Call", "To", { name: "Attempt", class: "number" }, "Accepted", { name: "Size", class: "number" }], "Calls in the queue");
  const callNote = h("p", { class: "quiet" });
  const first = loading();
  const letters = deadLetters(signal, () => look());
  const noQueue = h("p", { class: "quiet" });
  const parts = [numbers, section("Waiting and in progress", calls, callNote), letters.element];
  put(main, h("h1", {}, "Queue"), first, noQueue, parts);
  calls.hidden = true;
  let shown = [];
  const look = live(signal, 2000, async () => {
    const [stats, waiting, dead] = await Promise.all([
      api.get("/system/queue", signal).catch(api.orAbsent),
      api.get(`/system/queue/calls?limit=${MOST_CALLS}`, signal).catch(api.orAbsent),
      api.get(`/system/queue/dead-letters?limit=${MOST_LETTERS}`, signal).catch(api.orAbsent),
    ]);
    first.remove();
    const none = [stats, waiting, dead].find(({ absent }) => absent !== undefined);
    for (const part of parts) part.hidden = none !== undefined;
    setText(noQueue, none?.absent ?? "");
    if (none) return;
    bringNumbers(numbers, stats);
    calls.hidden = waiting.length === 0;
    shown = waiting;
    keyed(callRows, waiting, (call) => call.id, makeCall, (row, call) => row.bring(call));
    setText(callNote, waiting.length === 0 ? "The queue is empty."
      : waiting.length < stats.depth ? `The first ${waiting.length} of ${counted(stats.depth, "call")} are listed, in the order in which they were accepted.` : "");
    letters.bring(dead, stats.dead_letters);
  }, (event) => event.queue !== undefined);
  hear(signal, (event) => { if (event.queue) bringNumbers(numbers, event.queue); });
  // How long a call still waits changes without an event.
  repeat(signal, 1000, () => {
    for (const call of shown) callRows.children_?.get(String(call.id))?.bring(call);
    bringNumbers(numbers);
  });
}

function makeCall({ call_id, function: name, callback }) {
  const state = h("td", {});
  const attempt = h("td", { class: "number", "data-label": "Attempt" });
  const accepted = when(0);
  const size = h("td", { class: "number", "data-label": "Size" });
  const row = h("tr", {}, state, h("td", { class: "id" }, call_id || "–"),
    h("td", { "data-label": "To" }, callback ? `callback of ${name}` : name), attempt, h("td", { class: "when", "data-label": "Accepted" }, accepted), size);
  row.bring = (call) => {
    const [kind, text] = stateOf(call);
    putIfNew(state, kind + text, () => h("span", { class: `chip ${kind}` }, text));
    setText(attempt, call.attempt);
    updateWhen(accepted, call.accepted_ms);
    setText(size, bytes(call.bytes));
  };
  return row;
}

const others = (left) => (left > 0 ? [`${counted(left, "other")} ${left === 1 ? "is" : "are"} left. ${NOT_ENDED}`] : []);

/** Why a call is still in the queue. */
function stateOf(call) {
  if (call.in_flight) return ["busy", "Being delivered"];
  const left = call.due_ms - Date.now();
  if (call.due_ms === 0 || left <= 0) return ["quiet", "Next in turn"];
  return [call.attempt > 1 ? "warn" : "quiet", `${call.attempt > 1 ? "Tried again in" : "Due in"} ${duration(1000 * Math.ceil(left / 1000))}`];
}

function deadLetters(signal, changed) {
  const chosen = new Set();
  let wanted = parameters().get("function") ?? "";
  let all = [];
  let listed = [];
  const which = h("select", { "aria-label": "Function", on: { change: () => {
    wanted = which.value;
    setParameters({ function: wanted });
    chosen.clear();
    draw();
  } } });
  const every = h("input", { type: "checkbox", "aria-label": "Select all that are listed", on: { change: () => {
    for (const letter of listed) {
      if (every.checked) chosen.add(letter.id);
      else chosen.delete(letter.id);
    }
    draw();
  } } });
  const rate = h("input", { type: "number", min: "1", max: "10000", placeholder: "all at once" });
  const redrive = button("Redrive…", () => act("redrive"), { disabled: true });
  const discard = button("Discard…", () => act("discard"), { disabled: true });
  const discardEnded = button("", () => act("discardEnded", endedOnes().map((letter) => letter.id)), { hidden: true });
  const chosenNote = h("span", { class: "quiet" });
  const done = h("div", { "aria-live": "polite" });
  const [element, rows] = table([{ node: every, class: "select" }, "Given up", "To", "Why", { name: "Attempts", class: "number" }], "Dead letters");
  const note = h("p", { class: "quiet" });
  const controls = h("div", { class: "actions" }, which, redrive, discard, discardEnded, chosenNote);
  const own = section("Dead letters", controls, done, element, note);
  own.id = "dead-letters";
  const ends = endings(signal, () => draw());

  /** The dead letters that are listed, have been in view, and belong to requests that had ended then. Before they are discarded, the flows are asked again. */
  const endedOnes = () => listed.filter((letter) => ends.hadEnded(letter));
  /** Asks the flows about the requests of dead letters that may be discarded. It may take some time. */
  async function askAbout(ids) {
    discard.disabled = discardEnded.disabled = true;
    try {
      return await ends.askAbout(all.filter((letter) => ids.includes(letter.id)));
    } finally {
      discardEnded.disabled = false;
      selected();
    }
  }

  function draw() {
    listed = all.filter((letter) => wanted === "" || letter.function === wanted);
    const there = new Set(all.map((letter) => letter.id));
    for (const id of chosen) if (!there.has(id)) chosen.delete(id);
    keyed(rows, listed, (letter) => letter.id, (letter) => makeLetter(letter, chosen, selected, ends), (row, letter) => row.bring(letter));
    const ended = endedOnes().length;
    discardEnded.hidden = ended === 0;
    setText(discardEnded, `Discard ${count(ended)} whose ${ended === 1 ? "request has" : "requests have"} ended…`);
    selected();
  }

  function selected() {
    redrive.disabled = discard.disabled = chosen.size === 0;
    setText(chosenNote, chosen.size > 0 ? `${chosen.size} selected` : "Select dead letters to put them back or to discard them.");
    every.checked = listed.length > 0 && listed.every((letter) => chosen.has(letter.id));
    every.indeterminate = chosen.size > 0 && !every.checked;
  }

  async function act(what, ids = [...chosen]) {
    try {
      const said = await (what === "redrive" ? redriveThese(ids) : what === "discard" ? discardThese(ids) : discardIfEnded(ids));
      if (said === null) return;
      put(done, said.map((sentence) => h("p", {}, sentence)));
    } catch (error) {
      if (signal.aborted) return;
      put(done, h("p", { class: "bad" }, api.sentence(error)));
    }
    changed();
  }

  /** Each of these asks whether it is meant, and returns what was done, in sentences; `null` if it is not meant. */
  async function redriveThese(ids) {
    const more = ids.length > 1 ? h("label", {}, h("span", {}, "How many become due each second"), rate) : null;
    const isMeant = await confirm(`Redrive ${counted(ids.length, "dead letter")}?`, "They go back into the queue, with a full set of attempts.", "Redrive", false, more);
    if (!isMeant) return null;
    const perSecond = Number(rate.value) > 0 && ids.length > 1 ? { per_second: Number(rate.value) } : {};
    const { redriven } = await api.post("/system/queue/redrive", { ids, ...perSecond });
    for (const id of ids) chosen.delete(id);
    return [`${counted(redriven, "dead letter")} put back into the queue.`];
  }

  async function discardThese(ids) {
    const text = ["They are removed for good.", ...losses([...(await askAbout(ids)).values()])];
    if (signal.aborted || !await confirm(`Discard ${counted(ids.length, "dead letter")}?`, text, "Discard", true)) return null;
    return [await remove(ids)];
  }

  async function discardIfEnded(ids) {
    const ended = await thatHaveEnded(ids);
    if (signal.aborted) return null;
    if (ended.length === 0) return ["None was discarded.", NOT_ENDED];
    const text = [DISCARD_ENDED, ...others(ids.length - ended.length)];
    if (!await confirm(`Discard ${counted(ended.length, "dead letter")}?`, text, "Discard", true)) return null;
    // Somebody may have redriven a request while the question was open.
    const still = await thatHaveEnded(ended);
    if (still.length === 0) return ["None was discarded.", NOT_ENDED];
    return [await remove(still), ...others(ended.length - still.length)];
  }

  async function thatHaveEnded(ids) {
    const statuses = await askAbout(ids);
    return ids.filter((id) => isEnd(statuses.get(id)));
  }

  async function remove(ids) {
    const { discarded } = await api.remove("/system/queue/dead-letters", { ids });
    for (const id of ids) chosen.delete(id);
    return `${counted(discarded, "dead letter")} discarded.`;
  }

  function bring(letters, number) {
    all = letters;
    const functions = [...new Set([...letters.map((letter) => letter.function), ...(wanted ? [wanted] : [])])].sort();
    putIfNew(which, functions, () => [h("option", { value: "" }, "Every function"),
      functions.map((name) => h("option", { value: name, selected: name === wanted }, name))]);
    element.hidden = controls.hidden = letters.length === 0;
    setText(note, letters.length === 0 ? "There are none." : letters.length < number ? `The newest ${letters.length} of ${number} are listed.` : "");
    draw();
    ends.ask();
  }

  if (location.hash === "#dead-letters") setTimeout(() => own.scrollIntoView(), 300);
  return { element: own, bring };
}

function makeLetter(letter, chosen, changed, ends) {
  const { id, function: name, callback, request, reason, attempts } = letter;
  const box = h("input", { type: "checkbox", "aria-label": `Select dead letter ${id}`, on: { change: () => {
    if (box.checked) chosen.add(id);
    else chosen.delete(id);
    changed();
  } } });
  const died = when(0);
  const of = h("small", { class: "quiet" });
  const row = h("tr", {}, h("td", { class: "select" }, box),
    h("td", { class: "when", "data-label": "Given up" }, link(`/ui/queue/dead-letters/${id}`, died)),
    h("td", { "data-label": "To" }, callback ? `callback of ${name}` : name),
    h("td", { class: "reason-cell" }, reason, of), h("td", { class: "number", "data-label": "Attempts" }, attempts));
  row.bring = (letter) => {
    box.checked = chosen.has(id);
    updateWhen(died, letter.died_ms);
    const status = ends.statusOf(letter);
    const flow = ends.flowOf(letter);
    putIfNew(of, [flow, status], () => (status === undefined ? null : ["Request ", h("span", { class: "id" }, link(requestPage(flow, request), request)),
      status === null ? " has not begun, or is no longer remembered." : isEnd(status)
        ? ` has ended (${looks(status)[1]}): delivering this again executes nothing.` : `: ${looks(status)[1]}.`]));
  };
  ends.watch(row, letter);
  return row;
}
