// The requests of all flows or of one, and what can be done with many of them at once.

import * as api from "../api.js";
import { canChange, canChangeAny, changeAll, changeSelected, isChanging as isChangingAny, showGoing } from "../bulk.js";
import { h, keyed, put, putIfNew, setText } from "../dom.js";
import { isAbout } from "../events.js";
import { FILTERS, find, IDLE, looksAtEach, refusalInWords } from "../find.js";
import { counted, duration, isEnd, nameOf } from "../format.js";
import { addLetters, isGivenUp, isPlaceGivenUp, LETTERS, linkToLetters } from "../letters.js";
import { live } from "../live.js";
import { inWords } from "../place.js";
import { button, chip, flowPage, keep, kept, link, loading, parameters, requestPage, setParameters, table, updateChip, updateWhen, when } from "../parts.js";
import { rangeOf } from "../range.js";

const STATUSES = ["running", "paused", "parked", "success", "recovered", "failure", "stopped"];
const PAGE = 100;
const MOST = 1000;
/** How many pages of each flow are read at most, if each page looks at a limited number of requests. */
const DEEPEST = 64;
/** How long to wait for more letters of a search, in milliseconds. */
const TYPING = 250;
/** From when on the list says how long a request has not moved, in milliseconds. */
const STILL = 60_000;
/** A reader who has scrolled further than this is reading further down, in pixels. */
const READ = 150;

export const COLUMNS = [{ name: "Status", class: "status" }, "Request", "Flow", { name: "Began", class: "when" }];
const WHERE = { name: "Now at, or why", class: "where" };

/** Where a request is now; of one that has failed, why. A flow of an older version does not say it. */
function whereIs(item) {
  const { status, at, reason, moved_ms: moved } = item;
  const where = [];
  if (reason) where.push(inWords(reason));
  if (at && !(reason && at.status === "waiting")) {
    const why = at.status === "retrying" && at.reason ? `: ${isPlaceGivenUp(item) ? "given up" : "being retried"}, because ${at.reason.text}` : "";
    const members = at.members !== undefined ? `${counted(at.members, "branch or item", "branches or items")} after ` : "";
    const more = at.more > 0 ? ` (and ${at.partial ? "at least " : ""}${counted(at.more, "more place")})` : "";
    where.push(`${members}${nameOf({ ...at, phase: at.place.match(/(\d+)(@\d+)?$/)?.[1] })}${why}${more}`);
  }
  const still = moved === undefined || isEnd(status) ? 0 : Date.now() - moved;
  // Whole minutes, so that it does not change all the time.
  if (still >= STILL) where.push(`not moved for ${duration(60_000 * Math.floor(still / 60_000))}`);
  return where.join("; ");
}

const toLetters = (flow, text) => link(`/ui/queue${flow ? `?function=${encodeURIComponent(flow)}` : ""}#dead-letters`, text);

const keyOf = ({ flow, id }) => `${flow}/${id}`;

/** What of a request matches a search. */
const foundBy = ({ by, text, place }) => (by === "call" ? `call id of place ${place}` : `${by} ${text}`);

/** A row of a request. With `chosen`, it can be selected, and names its flow. */
export function makeRow({ flow, id }, chosen, changed) {
  const box = chosen && h("input", {
    type: "checkbox", "aria-label": `Select ${id}`,
    on: { change: () => { if (box.checked) chosen.set(`${flow}/${id}`, row.item); else chosen.delete(`${flow}/${id}`); changed(); } },
  });
  const status = chip("");
  const began = when(0);
  const where = h("td", { class: "where" });
  const found = h("small", { class: "quiet" });
  // In a narrow window, there is no column for it.
  const below = h("small", { class: "quiet where-below" });
  const row = h("tr", {},
    box ? h("td", { class: "select" }, box) : null,
    h("td", {}, status),
    h("td", { class: "id" }, link(requestPage(flow, id), id), chosen ? [found, below] : null),
    chosen ? h("td", { "data-label": "Flow" }, link(flowPage(flow), flow)) : null,
    h("td", { class: "when", "data-label": "Began" }, began),
    chosen ? where : null);
  row.bring = (item) => {
    row.item = item;
    row.className = item.isGone ? "gone" : "";
    row.title = item.isGone ? "It does not match any more." : "";
    // Details are missing if there was no time to read them. What was said about the same status is better than nothing.
    if (item.moved_ms !== undefined || row.status !== item.status) {
      row.where = whereIs(item);
      row.status = item.status;
    }
    const { letters = [] } = item;
    where.title = row.where ?? "";
    for (const element of [where, below]) {
      putIfNew(element, [row.where, letters.map((letter) => letter.id)], () => [
        letters.length > 0 ? [linkToLetters(letters), row.where ? ": " : ""] : null, row.where]);
    }
    // Its status does not say that nothing goes on without somebody.
    updateChip(status, isGivenUp(item) ? "given up" : item.status);
    updateWhen(began, item.started_ms);
    setText(found, item.found && item.found.by !== "id" ? foundBy(item.found) : "");
    if (box) {
      box.checked = chosen.has(`${flow}/${id}`);
      if (box.checked) chosen.set(`${flow}/${id}`, item);
    }
  };
  return row;
}

export function page(main, { signal }) {
  // What is selected and how far up the list goes is kept with the entry in the history, as the scroll position is. It is not in the
  // URL: somebody who is sent the list has nothing selected that a button would change.
  const before = { items: kept("chosen") ?? [], newest: kept("newest"), scroll: kept("scroll") ?? 0 };
  const chosen = new Map(before.items.map((item) => [keyOf(item), item]));
  const filters = readFilters();
  let shown = kept("shown") ?? PAGE;
  let items = [];
  const select = (name, options, label) => h("select", { "aria-label": label, on: { change: (event) => filter({ [name]: event.target.value }) } },
    options.map(([value, text]) => h("option", { value, selected: filters[name] === value }, text)));
  const flowOf = select("flow", [["", "All flows"], ...(filters.flow ? [[filters.flow, filters.flow]] : [])], "Flow");
  const statusOf = select("status", [["", "Any status"], ...STATUSES.map((status) => [status, chip(status).textContent])], "Status");
  const [sinceOf, between] = rangeOf(filters, (range) => filter(range));
  const idleOf = select("idle", IDLE.some(([value]) => value === filters.idle) ? IDLE : [...IDLE, [filters.idle, `Not moved for ${filters.idle}`]], "How long it has not moved");
  const text = (name, placeholder, label) => {
    const input = h("input", { type: "search", placeholder, "aria-label": label, maxlength: "128", value: filters[name], spellcheck: "false",
      on: { input: () => filter({ [name]: input.value.trim() }, TYPING) } });
    return input;
  };
  const retrying = h("input", { type: "checkbox", checked: filters.retrying === "true", on: { change: () => filter({ retrying: retrying.checked ? "true" : "" }) } });
  const givenUp = h("input", { type: "checkbox", checked: filters.given_up === "true", on: { change: () => filter({ given_up: givenUp.checked ? "true" : "" }) } });
  const all = h("input", { type: "checkbox", "aria-label": "Select all that are listed", on: { change: () => selectAll() } });
  const [element, rows] = table([{ node: all, class: "select" }, ...COLUMNS, WHERE], "Requests");
  const note = h("p", { class: "quiet" });
  const newer = button("", showNewer, { class: "newer", hidden: true });
  const more = button("Show more", () => { shown = Math.min(MOST, shown + PAGE); keep({ shown }); again(); }, { hidden: true });
  const further = button("Look at older ones", () => { depth = Math.min(DEEPEST, 2 * depth); again(); }, { hidden: true });
  const redrive = button("Redrive…", () => change("redrive"), { disabled: true });
  const stop = button("Stop…", () => change("stop"), { disabled: true });
  const redriveAll = button("Redrive all that match…", () => changeMatching("redrive"), { disabled: true });
  const stopAll = button("Stop all that match…", () => changeMatching("stop"), { disabled: true });
  const chosenNote = h("span", { class: "quiet" });
  const progress = h("div", { class: "progress" });
  const first = loading();
  put(main, h("h1", {}, "Requests"),
    h("div", { class: "filters" }, flowOf, statusOf, sinceOf, idleOf,
      text("at", "Step, branch or label", "Place"), text("reason", "Reason or its code", "Reason"),
      text("search", "Id, search key, label or call id", "Search"), h("label", { class: "check" }, retrying, "Retrying"),
      h("label", { class: "check" }, givenUp, "Given up")),
    between,
    h("div", { class: "actions" }, redrive, stop, redriveAll, stopAll, chosenNote),
    progress, newer, first, element, note, h("div", { class: "actions" }, more, further));
  showGoing(progress);
  element.hidden = true;

  /** Before the first answer, these are the rows that were selected. */
  let listed = before.items;
  let isFirst = true;
  let isMore = false;
  let known = [];
  let depth = 1;
  let isChanging = false;
  let typing;

  function readFilters() {
    const query = parameters();
    return Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  }

  function filter(changed, wait = 0) {
    Object.assign(filters, changed);
    setParameters(changed);
    chosen.clear();
    shown = PAGE;
    keep({ shown });
    depth = 1;
    listed = [];
    isFirst = false;
    clearTimeout(typing);
    typing = setTimeout(again, wait);
    draw();
  }

  function selectAll() {
    for (const item of listed) {
      const key = keyOf(item);
      if (all.checked) chosen.set(key, item);
      else chosen.delete(key);
    }
    draw();
  }

  function keepList() {
    if (signal.aborted) return;
    const selection = [...chosen.values()].map(({ flow, id, status, started_ms }) => ({ flow, id, status, started_ms }));
    const newest = listed[0]?.started_ms;
    if (newest !== kept("newest") || JSON.stringify(selection) !== JSON.stringify(kept("chosen"))) keep({ chosen: selection, newest });
  }

  function selected() {
    keepList();
    const number = chosen.size;
    const able = [...chosen.values()];
    const isBusy = isChanging || isChangingAny();
    redrive.disabled = isBusy || !able.some((item) => canChange("redrive", item));
    stop.disabled = isBusy || !able.some((item) => canChange("stop", item));
    redriveAll.disabled = isBusy || known.length === 0 || !canChangeAny("redrive", filters);
    stopAll.disabled = isBusy || known.length === 0 || !canChangeAny("stop", filters);
    setText(chosenNote, number > 0 ? `${counted(number, "request")} selected` : "Select requests to redrive or stop several at once.");
    all.checked = listed.length > 0 && listed.every((item) => chosen.has(keyOf(item)));
    all.indeterminate = number > 0 && !all.checked;
  }

  function draw() {
    const part = filters.search.toLowerCase();
    // The flows search too, but only after the next answer.
    const wanted = items.filter((item) => item.found || item.id.toLowerCase().includes(part));
    // What is being read or selected does not move: new requests wait above it until somebody asks for them.
    const newest = isFirst ? before.newest : listed[0]?.started_ms;
    const isReading = newest !== undefined && ((isFirst ? before.scroll : scrollY) > READ || chosen.size > 0);
    const listedKeys = new Set(listed.map(keyOf));
    // After a reload, those of the same moment are the ones that were listed.
    const isNew = (item) => !listedKeys.has(keyOf(item)) && (isFirst ? item.started_ms > newest : item.started_ms >= newest);
    const waiting = new Set(isReading ? wanted.filter(isNew) : []);
    // So many requests have begun meanwhile that those that were listed are no longer among the newest.
    if (isFirst && waiting.size === wanted.length) waiting.clear();
    isFirst = false;
    const wantedKeys = new Set(wanted.map(keyOf));
    // New ones push the oldest off the page, and others match no longer. Those that are being read stay.
    const last = wanted.at(-1)?.started_ms ?? -Infinity;
    const left = isReading ? listed.filter((item) => !wantedKeys.has(keyOf(item))) : [];
    for (const item of left) item.isGone = !isMore || item.started_ms > last;
    listed = [...wanted.filter((item) => !waiting.has(item)), ...left].sort((one, other) => other.started_ms - one.started_ms);
    for (const key of chosen.keys()) if (!listed.some((item) => keyOf(item) === key)) chosen.delete(key);
    if (waiting.size > 0) shown = Math.min(MOST, Math.max(shown, listed.length + waiting.size));
    newer.hidden = waiting.size === 0;
    setText(newer, `Show ${counted(waiting.size, "new request")}`);
    keyed(rows, listed, keyOf, (item) => makeRow(item, chosen, selected), (row, item) => row.bring(item));
    selected();
  }

  function showNewer() {
    shown = PAGE;
    listed = [];
    draw();
    scrollTo(0, 0);
  }

  async function changing(work) {
    isChanging = true;
    selected();
    try {
      if (await work()) chosen.clear();
    } catch (error) {
      if (!signal.aborted) put(progress, h("p", { class: "bad" }, api.sentence(error)));
    }
    isChanging = false;
    if (signal.aborted) return;
    draw();
    again();
  }

  const change = (what) => changing(() => changeSelected(what, [...chosen.values()], progress, signal));
  const changeMatching = (what) => changing(() => changeAll(what, known, { ...filters }, progress, signal));

  const again = live(signal, 2000, async () => {
    const flows = await api.get("/system/flows", signal);
    known = flows;
    if (flows.join() !== flowOf.flows) {
      flowOf.flows = flows.join();
      const names = filters.flow && !flows.includes(filters.flow) ? [filters.flow, ...flows] : flows;
      put(flowOf, h("option", { value: "" }, "All flows"), names.map((name) => h("option", { value: name, selected: name === filters.flow }, name)));
    }
    const asked = JSON.stringify(filters);
    const found = await find(filters.flow ? [filters.flow] : flows, filters, { limit: shown, depth: looksAtEach(filters) ? depth : 1 }, signal);
    if (asked !== JSON.stringify(filters)) return;
    // Beyond the oldest that is listed of a flow with more, other flows could be missing some in between.
    const listable = found.isMore ? found.requests.slice(0, shown) : found.requests;
    await addLetters(listable, filters.flow, signal);
    if (asked !== JSON.stringify(filters)) return;
    first.remove();
    isMore = found.isMore;
    items = listable;
    draw();
    element.hidden = listed.length === 0;
    const isLooking = looksAtEach(filters) && !filters.given_up;
    const isOnlySearch = FILTERS.every((name) => (name === "search") === (filters[name] !== ""));
    // A page that looks at each request ends before it is full.
    const isFull = found.requests.length >= shown;
    more.hidden = !isMore || shown >= MOST || (isLooking && !isFull);
    further.hidden = !isMore || !isLooking || isFull || depth >= DEEPEST;
    putIfNew(note, [listed.length, items.length, isMore, found.isCut, found.unknown, shown, isFull, filters, found.refused.map(({ flow }) => flow)], () => [
      listed.length > 0 || found.refused.length > 0 ? "" : isOnlySearch ? `No request has this in its id, a search key or a label${isMore ? ", as far as they were looked at" : ""}. ` : `There ${isMore ? "is no such request among the newest ones" : "are no such requests"}. `,
      isMore && (!isLooking || isFull) ? `The newest ${shown} are listed${shown >= MOST ? "; filters show others" : ""}. ` : "",
      filters.given_up ? [
        listed.length > 0 ? ["These go on when their ", toLetters(filters.flow, "dead letters"), " are put back into the queue. "] : "",
        found.unknown > 0 ? [`${counted(found.unknown, "other request")} with `, toLetters(filters.flow, "dead letters"),
          ` ${found.unknown === 1 ? "has" : "have"} not begun, because ${found.unknown === 1 ? "its" : "their"} first delivery was given up, or ${found.unknown === 1 ? "is" : "are"} no longer remembered. `] : "",
        found.isCut ? `Of each flow, the newest ${LETTERS} dead letters were looked at. ` : "",
        filters.search ? "Among these requests, only ids are searched. " : "",
      ] : filters.search ? "Ids, search keys, labels and whole call ids of places are searched; payloads, headers, reasons and logs are not, nor are call ids of functions. " : "",
      isMore && isLooking && !isFull ? (depth < DEEPEST ? "Older requests may match as well. "
        : ["Older requests may match as well: ", h("code", {}, "faasflow requests --all"), " looks at all of them. "]) : "",
      found.refused.map(refusalInWords),
    ]);
  }, (event) => (filters.flow ? [filters.flow] : known).some((flow) => isAbout(event, flow)));
}
