// The items of a for-each or the branches of a graph: a list that is asked for when it is opened, a page at a time.

import * as api from "./api.js";
import { h, keyed, put, setText } from "./dom.js";
import { count, counted, duration, within } from "./format.js";
import { button, chip, loading, parameters, setParameters, updateChip } from "./parts.js";

/** How many are listed at first, and how many more with each click. */
const PAGE = 50;
/** The most that one answer has. */
const AT_ONCE = 100;
/** The most that are listed because the URL says so. */
const MOST_FROM_URL = 1000;
/** How many places in the URL are looked for at the same time. */
const PLACES_AT_ONCE = 4;
/** The longest text that the API searches for. */
const LONGEST = 128;
/** A list that changes is asked for again after this time for each answer, in milliseconds. */
const AGAIN = 4000;
/** How long to wait for more letters of a search, in milliseconds. */
const TYPING = 250;

const STATUSES = [["failed", "Failed"], ["retrying", "Retrying"], ["running", "Running"], ["waiting", "Not begun"], ["done", "Done"], ["stopped", "Stopped"]];

/** Whether one of these places is in a member that the other one began. */
export function isInMemberOf(inner, fork) {
  const [place, generation = ""] = inner.split("@");
  const [began, of = ""] = fork.split("@");
  return generation === of && place.startsWith(`${began}.`);
}

/** The number of the member that a place is in. */
const numberOf = (inner, fork) => Number(inner.slice(fork.split("@")[0].length + 1).match(/^\d+/)?.[0]) + 1;

/** Whether two places are in the same member of those that a place began. */
export const areInSameMember = (one, other, fork) =>
  isInMemberOf(one, fork) && isInMemberOf(other, fork) && numberOf(one, fork) === numberOf(other, fork);

/**
 * What the URL says about the list of the members of a place: which ones, and how many. Several lists can be open, so the names of
 * these parameters end with the place.
 */
function readList(place) {
  const query = parameters();
  const [status, search, shown] = ["status", "search", "listed"].map((name) => query.get(`${name}.${place}`) ?? "");
  const pages = Math.ceil(Math.min(MOST_FROM_URL, Number(shown) || PAGE) / PAGE);
  return [{ status: STATUSES.some(([value]) => value === status) ? status : "", search: search.slice(0, LONGEST) }, PAGE * Math.max(1, pages)];
}

function writeList(place, { status, search }, shown) {
  setParameters({ [`status.${place}`]: status, [`search.${place}`]: search, [`listed.${place}`]: shown > PAGE ? String(shown) : "" });
}

/**
 * The members of a place of the request at this path, and a function that brings them up to date. `opened` has the places that the
 * URL names, `choose` writes them there, and `insideOf(place)` returns the inside of a place and a function that brings that up to date.
 */
export function membersOf(fork, path, signal, { opened, choose, insideOf }) {
  let [query, shown] = readList(fork.place);
  let items = [];
  let pinned = [];
  /** The places in the URL of which it is known whether they exist. */
  const pinnedFor = new Set();
  /** The items that were opened since the list was last filtered. */
  const openedHere = new Set();
  let isMore = false;
  let latest = null;
  /** What was known of the members when they were last asked for. */
  let known = null;
  let asked = null;
  let askedAt = -Infinity;
  let timer;
  let typing;

  const status = h("select", { "aria-label": "Status of the items", on: { change: () => ask({ status: status.value }) } },
    h("option", { value: "" }, "Any status"), STATUSES.map(([value, text]) => h("option", { value, selected: value === query.status }, text)));
  const search = h("input", {
    type: "search", placeholder: "Number, label or branch", "aria-label": "Search the items", maxlength: LONGEST, value: query.search, spellcheck: "false",
    on: { input: () => { clearTimeout(typing); typing = setTimeout(() => ask({ search: search.value.trim() }), TYPING); } },
  });
  const note = h("p", { class: "quiet", "aria-live": "polite" }, "Loading…");
  const rows = h("ol", { class: "timeline members" });
  const more = button("Show more", () => { shown += PAGE; writeList(fork.place, query, shown); read(); }, { hidden: true });
  const element = h("section", { "aria-label": "Items and branches" }, h("h3", {}, "Items and branches"),
    h("div", { class: "filters" }, status, search), note, rows, h("div", { class: "actions" }, more));
  rows.hidden = true;
  signal.addEventListener("abort", () => { clearTimeout(timer); clearTimeout(typing); }, { once: true });

  function ask(changed) {
    query = { ...query, ...changed };
    shown = PAGE;
    openedHere.clear();
    writeList(fork.place, query, shown);
    read();
  }

  async function read() {
    clearTimeout(timer);
    timer = undefined;
    askedAt = performance.now();
    const mine = asked = {};
    const found = [];
    let beside;
    let cursor;
    try {
      do {
        const parameters = new URLSearchParams({ place: fork.place, limit: Math.min(AT_ONCE, shown - found.length) });
        for (const [name, value] of Object.entries({ ...query, cursor: cursor ?? "" })) if (value !== "") parameters.set(name, value);
        const answer = await api.get(`${path}/items?${parameters}`, signal);
        if (asked !== mine) return;
        found.push(...answer.items);
        cursor = answer.cursor;
      } while (cursor !== undefined && found.length < shown);
      beside = await pins(found);
    } catch (error) {
      if (error.name === "AbortError" || asked !== mine) return;
      setText(note, api.sentence(error));
      // Unless it is refused for good, it is asked for again with the next look at the request.
      if (!api.isForGood(error)) known = null;
      return;
    }
    if (asked !== mine) return;
    pinned = beside;
    // An item may have changed its status between two pages.
    items = [...new Map(found.map((item) => [item.number, item])).values()];
    isMore = cursor !== undefined;
    draw();
  }

  /** An item with these places in the URL, as the first of them that exists. `null` if there is none, or if they cannot be asked for now. */
  async function itemAt(number, places) {
    for (const place of places) {
      try {
        const { place: of } = await api.get(`${path}/place?place=${encodeURIComponent(place)}`, signal);
        for (const one of places) pinnedFor.add(one);
        return { number, label: of.label, status: of.status, place, attempts: of.attempts, began_ms: of.began_ms, done_ms: of.done_ms, reason: of.reason?.text };
      } catch (error) {
        if (error.name === "AbortError") throw error;
        if (!api.isForGood(error)) return null;
        pinnedFor.add(place);
      }
    }
    return null;
  }

  /**
   * The items of the places in the URL that are not listed. Those that cannot be asked for now are looked for again with the next look
   * at the request.
   */
  async function pins(found) {
    const listed = new Set(found.map((item) => item.number));
    const places = [...opened].filter((place) => isInMemberOf(place, fork.place) && Number.isInteger(numberOf(place, fork.place)));
    const wanted = new Map();
    for (const place of places) {
      const number = numberOf(place, fork.place);
      if (listed.has(number)) pinnedFor.add(place);
      else wanted.set(number, [...(wanted.get(number) ?? []), place]);
    }
    const items = new Map();
    const left = [...wanted];
    const work = async () => {
      while (left.length > 0) {
        const [number, places] = left.shift();
        const item = await itemAt(number, places);
        if (item !== null) items.set(number, item);
      }
    };
    await Promise.all(Array.from({ length: PLACES_AT_ONCE }, work));
    return [...wanted.keys()].filter((number) => items.has(number)).map((number) => items.get(number));
  }

  function draw() {
    const isPlain = query.status === "" && query.search === "";
    // What was opened in this list stays, also if it does not match any more.
    const apart = pinned.filter(({ number }) => (isPlain || openedHere.has(number)) && !items.some((item) => item.number === number));
    const listed = [...apart, ...items];
    rows.hidden = listed.length === 0;
    more.hidden = !isMore;
    const all = latest?.of.members?.all;
    setText(note, listed.length === 0 ? "None." : isMore ? `The first ${count(listed.length)}${isPlain && all ? ` of ${count(all)}` : ""}.`
      : isPlain ? "" : `${counted(items.length, "item or branch", "items or branches")}${apart.length > 0 ? `, and ${count(apart.length)} that ${apart.length === 1 ? "is" : "are"} open` : ""}.`);
    keyed(rows, listed, (item) => item.number, make, (row, item) => row.bring(item));
  }

  function make({ number, branch }) {
    const state = chip("");
    const name = h("span", { class: "what" });
    const length = h("span", { class: "quiet length" });
    const why = h("span", { class: "quiet why-not" });
    const inside = h("div", { class: "inside" });
    const details = h("details", {}, h("summary", {}, name, state, length, why), inside);
    let item = null;
    let seen = null;
    const fill = async () => {
      const key = JSON.stringify(item);
      if (!details.open || seen === key) return;
      const isOther = inside.of !== item.place;
      seen = key;
      if (isOther) put(inside, loading());
      try {
        const { place: of } = await api.get(`${path}/place?place=${encodeURIComponent(item.place)}`, signal);
        if (seen !== key) return;
        if (isOther) {
          const [shown, bring] = insideOf(of);
          Object.assign(inside, { of: of.place, bring });
          put(inside, shown);
        }
        inside.told = of;
        inside.bring(of, latest.seen);
      } catch (error) {
        if (error.name === "AbortError" || seen !== key) return;
        put(inside, h("p", { class: "quiet" }, api.sentence(error)));
        seen = null;
        inside.of = undefined;
      }
    };
    const isHere = (one) => isInMemberOf(one, fork.place) && numberOf(one, fork.place) === number;
    details.open = [...opened].some(isHere);
    details.addEventListener("toggle", () => {
      if (details.open) openedHere.add(number);
      // The URL may name a place where the item was before.
      if (!details.open) for (const one of [...opened].filter(isHere)) choose(null, one);
      else if (![...opened].some(isHere)) choose(item.place, item.place);
      fill();
    });
    const row = h("li", {}, details);
    row.bring = (of) => {
      item = of;
      details.dataset.place = of.place;
      setText(name, [branch !== undefined ? `branch ${branch}` : within([`item-${number}`]), of.label ? ` (${of.label})` : ""].join(""));
      updateChip(state, of.status === "waiting" && of.began_ms === undefined && latest?.request.status === "running" ? "Not begun" : of.status);
      setText(length, [
        of.began_ms !== undefined && of.done_ms !== undefined ? duration(of.done_ms - of.began_ms) : "",
        of.attempts > 1 ? counted(of.attempts, "attempt") : "",
      ].filter(Boolean).join(" · "));
      setText(why, of.reason ? `${of.reason}${of.code ? ` (${of.code})` : ""}` : "");
      fill();
    };
    // What is known of the queue and of the log has changed.
    row.again = () => { if (inside.told && details.open) inside.bring(inside.told, latest.seen); };
    return row;
  }

  const bring = (of, seen) => {
    latest = { of, seen, request: seen.request };
    const now = JSON.stringify([of.members, seen.request.status, seen.request.moved_ms]);
    const isListed = (place) => items.some(({ number }) => number === numberOf(place, fork.place));
    const isMissing = (place) => isInMemberOf(place, fork.place) && !pinnedFor.has(place) && !isListed(place);
    if ((now !== known || [...opened].some(isMissing)) && timer === undefined) {
      // What somebody looks at is not asked for all the time.
      timer = setTimeout(read, Math.max(0, askedAt + AGAIN * Math.ceil(shown / AT_ONCE) - performance.now()));
      known = now;
    }
    for (const row of rows.children) row.again?.();
  };
  return [element, bring];
}
