// The requests of all flows or of one, and what can be done with many of them at once.

import * as api from "../api.js";
import { h, keyed, put, putIfNew, setText } from "../dom.js";
import { isAbout } from "../events.js";
import { counted, isEnd, isOpen, nameOf } from "../format.js";
import { live } from "../live.js";
import { inWords } from "../place.js";
import { button, chip, confirm, each, keep, kept, link, loading, parameters, setParameters, table, updateChip, updateWhen, when } from "../parts.js";

const STATUSES = ["running", "paused", "parked", "success", "recovered", "failure", "stopped"];
const SINCE = [["", "At any time"], ["15m", "In the last 15 minutes"], ["1h", "In the last hour"], ["24h", "In the last 24 hours"], ["168h", "In the last 7 days"]];
const PAGE = 100;
const MOST = 1000;
/** How many of the rows that can be seen are asked at once where they are. */
const ASKED = 10;

export const COLUMNS = [{ name: "Status", class: "status" }, "Request", "Flow", { name: "Began", class: "when" }];
const WHERE = { name: "Now at, or why", class: "where" };

/** Where a request is now; of one that has failed, why. */
function whereIs(request) {
  if (request.reason) return inWords(request.reason);
  const open = request.places.filter(isOpen);
  // What does not go on as it should comes first.
  const [first] = [...open].sort((one, other) => (other.status === "retrying") - (one.status === "retrying"));
  if (!first) return "";
  const why = first.status === "retrying" && first.reason ? `: tried again, because ${first.reason.text}` : "";
  return `${nameOf(first)}${why}${open.length > 1 ? ` (and ${counted(open.length - 1, "more place")})` : ""}`;
}


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
  const row = h("tr", {},
    box ? h("td", { class: "select" }, box) : null,
    h("td", {}, status),
    h("td", { class: "id" }, link(`/ui/flows/${encodeURIComponent(flow)}/requests/${encodeURIComponent(id)}`, id), chosen ? found : null),
    chosen ? h("td", {}, link(`/ui/flows/${encodeURIComponent(flow)}`, flow)) : null,
    h("td", { class: "when" }, began),
    chosen ? where : null);
  row.where = (text) => { setText(where, text); where.title = text; };
  row.bring = (item) => {
    // What was said about another status is no longer true.
    if (row.item && row.item.status !== item.status) { row.where(""); row.toldOf = undefined; row.askedAt = undefined; }
    row.item = item;
    updateChip(status, item.status);
    updateWhen(began, item.started_ms);
    setText(found, item.found && item.found.by !== "id" ? `${item.found.by} ${item.found.text}` : "");
    if (box) {
      box.checked = chosen.has(`${flow}/${id}`);
      if (box.checked) chosen.set(`${flow}/${id}`, item);
    }
  };
  return row;
}

export function page(main, { signal }) {
  const chosen = new Map();
  const filters = readFilters();
  let shown = kept("shown") ?? PAGE;
  let items = [];
  const select = (name, options, label) => h("select", { "aria-label": label, on: { change: (event) => filter(name, event.target.value) } },
    options.map(([value, text]) => h("option", { value, selected: filters[name] === value }, text)));
  const flowOf = select("flow", [["", "All flows"], ...(filters.flow ? [[filters.flow, filters.flow]] : [])], "Flow");
  const statusOf = select("status", [["", "Any status"], ...STATUSES.map((status) => [status, chip(status).textContent])], "Status");
  const sinceOf = select("since", SINCE, "When it began");
  const part = h("input", { type: "search", placeholder: "Id, search key or label", "aria-label": "Search", maxlength: "128", value: filters.search, spellcheck: "false",
    on: { input: () => filter("search", part.value.trim()) } });
  const all = h("input", { type: "checkbox", "aria-label": "Select all that are listed", on: { change: () => selectAll() } });
  const [element, rows] = table([{ node: all, class: "select" }, ...COLUMNS, WHERE], "Requests");
  const note = h("p", { class: "quiet" });
  const newer = button("", showNewer, { class: "newer", hidden: true });
  const more = button("Show more", () => { shown = Math.min(MOST, shown + PAGE); keep({ shown }); again(); }, { hidden: true });
  const redrive = button("Redrive…", () => change("redrive"), { disabled: true });
  const stop = button("Stop…", () => change("stop"), { disabled: true });
  const chosenNote = h("span", { class: "quiet" });
  const progress = h("div", { "aria-live": "polite" });
  const first = loading();
  put(main, h("h1", {}, "Requests"),
    h("div", { class: "filters" }, flowOf, statusOf, sinceOf, part),
    h("div", { class: "actions" }, redrive, stop, chosenNote), progress, newer, first, element, note, h("div", { class: "actions" }, more));
  element.hidden = true;

  let listed = [];
  let isMore = false;
  let known = [];

  function readFilters() {
    const query = parameters();
    return Object.fromEntries(["flow", "status", "since", "search"].map((name) => [name, query.get(name) ?? ""]));
  }

  function filter(name, value) {
    filters[name] = value;
    setParameters({ [name]: value });
    chosen.clear();
    shown = PAGE;
    keep({ shown });
    listed = [];
    again();
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

  const keyOf = (item) => `${item.flow}/${item.id}`;

  function selected() {
    const number = chosen.size;
    const able = [...chosen.values()];
    redrive.disabled = !able.some((item) => ["failure", "stopped"].includes(item.status));
    stop.disabled = !able.some((item) => !isEnd(item.status));
    setText(chosenNote, number > 0 ? `${counted(number, "request")} selected` : "Select requests to redrive or stop several at once.");
    all.checked = listed.length > 0 && listed.every((item) => chosen.has(keyOf(item)));
    all.indeterminate = number > 0 && !all.checked;
  }

  function draw() {
    const text = filters.search.toLowerCase();
    // The flows search too, but only after the next answer.
    const wanted = items.filter((item) => item.found || item.id.toLowerCase().includes(text));
    // What is being read or selected does not move: new requests wait above it until somebody asks for them.
    const isReading = listed.length > 0 && (scrollY > 150 || chosen.size > 0);
    const known = new Set(listed.map(keyOf));
    const isNew = (item) => !known.has(keyOf(item)) && item.started_ms >= listed[0].started_ms;
    const waiting = new Set(isReading ? wanted.filter(isNew) : []);
    const kept = new Set(wanted.map(keyOf));
    // New ones push the oldest off the page. Those that are being read stay, until more is asked for.
    const last = wanted.at(-1)?.started_ms ?? -Infinity;
    const pushed = isReading && isMore ? listed.filter((item) => !kept.has(keyOf(item)) && item.started_ms <= last) : [];
    listed = [...wanted.filter((item) => !waiting.has(item)), ...pushed];
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

  async function change(what) {
    const able = [...chosen.values()].filter((item) => (what === "redrive" ? ["failure", "stopped"].includes(item.status) : !isEnd(item.status)));
    const rest = chosen.size - able.length;
    const isRedrive = what === "redrive";
    const title = `${isRedrive ? "Redrive" : "Stop"} ${counted(able.length, "request")}?`;
    const text = [isRedrive
      ? "What failed or had not begun is executed again. Results that are recorded are used."
      : "They end now, as stopped. Calls that are in progress end, but nothing follows them."];
    if (rest > 0) {
      text.push(`${counted(rest, "selected request")} ${rest === 1 ? "is" : "are"} left out: ${isRedrive
        ? "only requests that failed or were stopped can be redriven" : "only requests that have not ended can be stopped"}.`);
    }
    if (!await confirm(title, text, isRedrive ? "Redrive" : "Stop", !isRedrive) || signal.aborted) return;
    redrive.disabled = stop.disabled = true;
    const refused = await each(able, isRedrive ? "Redriving" : "Stopping",
      ({ flow, id }) => api.post(`${api.requestPath(flow, id)}/${what}`), progress);
    put(progress, h("p", {}, `${counted(able.length - refused.length, "request")} ${isRedrive ? "redriven" : "stopped"}.`),
      refused.length > 0 ? [h("p", { class: "bad" }, `${counted(refused.length, "request")} refused:`),
        h("ul", {}, refused.slice(0, 20).map(({ item, error }) => h("li", {}, `${item.id}: ${error.message}`)))] : null);
    chosen.clear();
    again();
  }

  /** Asks some of the requests that can be seen where they are: each that has ended once, and the others in turn. */
  async function askWhere() {
    const isSeen = (row) => { const { top, bottom } = row.getBoundingClientRect(); return bottom > 0 && top < innerHeight; };
    const isDone = ({ item, toldOf }) => item.status === "success" || (isEnd(item.status) && toldOf === item.status);
    const asked = [...rows.children].filter((row) => row.item && isSeen(row) && !isDone(row));
    asked.sort((one, other) => (one.askedAt ?? 0) - (other.askedAt ?? 0));
    await Promise.all(asked.slice(0, ASKED).map(async (row) => {
      const { flow, id, status } = row.item;
      row.askedAt = performance.now();
      try {
        const where = whereIs(await api.getSoon(api.requestPath(flow, id), signal));
        // It may have changed meanwhile.
        if (row.item.status !== status) return;
        row.where(where);
        row.toldOf = status;
      } catch (error) {
        // It may have expired meanwhile.
        if (api.isAway(error) || error.name === "AbortError") throw error;
        row.toldOf = status;
      }
    }));
  }

  const again = live(signal, 2000, async () => {
    const flows = await api.get("/system/flows", signal);
    known = flows;
    if (flows.join() !== flowOf.flows) {
      flowOf.flows = flows.join();
      const names = filters.flow && !flows.includes(filters.flow) ? [filters.flow, ...flows] : flows;
      put(flowOf, h("option", { value: "" }, "All flows"), names.map((name) => h("option", { value: name, selected: name === filters.flow }, name)));
    }
    const query = { limit: shown };
    if (filters.status) query.status = filters.status;
    if (filters.since) query.since = filters.since;
    if (filters.search) query.search = filters.search;
    const asked = JSON.stringify(filters);
    const found = await api.requestsOf(filters.flow ? [filters.flow] : flows, query, signal);
    if (asked !== JSON.stringify(filters)) return;
    first.remove();
    // Beyond the oldest that is listed of a flow with more, other flows could be missing some in between.
    isMore = Object.keys(found.cursors).length > 0;
    items = isMore ? found.requests.slice(0, shown) : found.requests;
    draw();
    element.hidden = listed.length === 0;
    more.hidden = !isMore || shown >= MOST;
    putIfNew(note, [listed.length, items.length, isMore, shown, filters.search, found.refused.map(({ flow }) => flow)], () => [
      listed.length === 0 ? (filters.search ? "No request has this in its id, a search key or a label. " : "There are no such requests. ") : "",
      isMore && !filters.search ? `The newest ${shown} are listed${shown >= MOST ? "; filters show others" : ""}. ` : "",
      filters.search ? "Ids, search keys and labels are searched; payloads and logs are not. " : "",
      isMore && filters.search ? ["Older requests may match as well: ", h("code", {}, "faasflow requests --search TEXT --all"), " searches all of them."] : "",
      found.refused.map(({ flow, error }) => `${flow}: ${error.status === 501 ? "it does not remember its requests" : error.message}. `),
    ]);
    await askWhere();
  }, (event) => (filters.flow ? [filters.flow] : known).some((flow) => isAbout(event, flow)));
}
