// Does one thing with many requests: it says how many there are, asks, shows how far it is, and what was refused.

import * as api from "./api.js";
import { h, put, setText } from "./dom.js";
import { count, counted } from "./format.js";
import { findAll, inWords, isAboutOpen } from "./find.js";
import { say } from "./live.js";
import { button, confirm, link, requestPage } from "./parts.js";

/** What can be done with requests, and with which. */
const CHANGES = {
  redrive: {
    verb: "Redrive", doing: "Redriving", done: "redriven", statuses: ["failure", "stopped"],
    effect: "What failed or had not begun is executed again. Results that are recorded are used.",
    only: "only requests that failed or were stopped can be redriven",
  },
  stop: {
    verb: "Stop", doing: "Stopping", done: "stopped", statuses: ["running", "paused", "parked"], isDangerous: true,
    effect: "They end now, as stopped. Calls that are in progress end, but nothing follows them.",
    only: "only requests that have not ended can be stopped",
  },
};
/** How many requests are changed side by side. */
const AT_ONCE = 4;
/** How often a request is tried that the flow cannot change now. */
const ATTEMPTS = 5;
/** How many refused requests are named for each reason. */
const NAMED = 20;
/** How often the page shows how far it is, in milliseconds. */
const SHOWN = 150;

export const canChange = (what, item) => CHANGES[what].statuses.includes(item.status);

/** The statuses of the requests with these filters with which it can be done. */
function statusesOf(what, filters) {
  const { statuses } = CHANGES[what];
  if (filters.status) return statuses.filter((status) => status === filters.status);
  return what === "redrive" && isAboutOpen(filters) ? [] : statuses;
}

export const canChangeAny = (what, filters) => statusesOf(what, filters).length > 0;

/** What goes on, or has ended without being seen, because its page was left. */
let going = null;
let isGoing = false;

/** Whether many requests are being changed. Two changes at once could be about the same requests. */
export const isChanging = () => isGoing;

/** Shows in an element what was begun on this page before, and still goes on. */
export function showGoing(progress) {
  if (going) put(progress, going);
}

const sleep = (ms, signal) => new Promise((done) => {
  const wake = () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", wake);
    done();
  };
  const timer = setTimeout(wake, ms);
  signal.addEventListener("abort", wake);
});

const isBusy = (error) => [429, 502, 503, 504].includes(error.status);

/**
 * Does something again while the gateway is away, and a few times while a flow is busy. `act(attempt)` is told how often it was tried
 * before.
 */
async function patiently(act, signal, waits) {
  let busy = 0;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await act(attempt);
    } catch (error) {
      if (signal.aborted) throw error;
      const isAway = api.isAway(error);
      if (!isAway && !(isBusy(error) && ++busy < ATTEMPTS)) throw error;
      waits?.(api.sentence(error));
      await sleep(Math.min(10_000, 500 * 2 ** Math.min(attempt, 5)), signal);
      if (signal.aborted) throw error;
    }
  }
}

/** Shows what is going on in an element, with a button that ends it. Returns a function that sets the text, and a signal. */
function begin(progress, signal) {
  const ended = new AbortController();
  const line = h("p", { role: "status" });
  put(progress, h("div", { class: "going" }, line, button("Cancel", () => ended.abort())));
  let shown = -Infinity;
  const tell = (text, isLast = false) => {
    if (!isLast && performance.now() - shown < SHOWN) return;
    shown = performance.now();
    setText(line, text);
  };
  return [tell, AbortSignal.any([signal, ended.signal])];
}

/** Collects all requests that match and asks what to do with them. */
export async function changeAll(what, flows, filters, progress, signal) {
  const [tell, cancelled] = begin(progress, signal);
  tell("Looking for the requests that match…", true);
  const ask = (path, signal) => patiently(() => api.get(path, signal), cancelled, (why) => tell(why, true));
  const found = (number) => tell(`Looking for the requests that match: ${count(number)} found so far.`);
  let all;
  try {
    all = await findAll(filters.flow ? [filters.flow] : flows, filters, statusesOf(what, filters), cancelled, ask, found);
  } catch (error) {
    if (!cancelled.aborted) throw error;
  }
  if (signal.aborted) return;
  put(progress);
  if (cancelled.aborted) return put(progress, h("p", {}, "Cancelled. Nothing was changed."));
  const left = all.refused.map(({ flow, error }) => `${flow} could not be asked: ${error.message}.`);
  if (all.requests.length === 0) {
    return put(progress, h("p", {}, `No request that matches can be ${CHANGES[what].done}. `, left.join(" ")));
  }
  const which = `This is about all ${inWords(filters)} that can be ${CHANGES[what].done} now. Requests that match later are not included.`;
  const done = await change(what, all.requests, [which, ...left], progress, signal);
  if (!done && !signal.aborted) put(progress, h("p", {}, `Nothing was changed. ${counted(all.requests.length, "request")} would have been ${CHANGES[what].done}.`));
  return done;
}

/** Does something with those of the selected requests with which it can be done. */
export function changeSelected(what, items, progress, signal) {
  const able = items.filter((item) => canChange(what, item));
  const rest = items.length - able.length;
  const text = rest > 0 ? [`${counted(rest, "selected request")} ${rest === 1 ? "is" : "are"} left out: ${CHANGES[what].only}.`] : [];
  return change(what, able, text, progress, signal);
}

/** Asks whether to do it with exactly these requests, and does it. Resolves to whether it was begun. */
async function change(what, items, text, progress, signal) {
  const { verb, effect, isDangerous } = CHANGES[what];
  if (isGoing) return false;
  const rate = h("input", { type: "number", min: "1", max: "1000", step: "1", placeholder: "as fast as they are answered" });
  const asked = [effect, ...text, "Keep the dashboard open until it is done: it is the page in your browser that asks for one after the other."];
  const more = items.length > 1 ? [h("label", {}, h("span", {}, "How many a second"), rate)] : [];
  if (!await confirm(`${verb} ${counted(items.length, "request")}?`, asked, verb, isDangerous, ...more) || signal.aborted || isGoing) return false;
  const each = rate.value.trim() === "" ? Infinity : Number(rate.value);
  if (!(each > 0) || (rate.value === "" && rate.validity.badInput)) {
    put(progress, h("p", { class: "bad" }, `“${rate.value}” requests a second are not possible: use a number above 0, or leave it empty. Nothing was changed.`));
    return true;
  }
  const warn = (event) => event.preventDefault();
  addEventListener("beforeunload", warn);
  isGoing = true;
  try {
    await perform(what, items, each === Infinity ? 0 : each, progress, signal);
  } finally {
    isGoing = false;
    removeEventListener("beforeunload", warn);
  }
  return true;
}

/** Whether a request was changed, although the answer to the first attempt was lost. */
async function wasDone(what, path, signal) {
  const { status, generation } = await api.get(path, signal);
  return what === "redrive" ? generation > 0 && !CHANGES.redrive.statuses.includes(status) : status === "stopped";
}

async function perform(what, items, rate, progress, signal) {
  const { doing } = CHANGES[what];
  // It goes on if the page is left, and is shown again when the reader comes back.
  const element = h("div", {});
  going = element;
  put(progress, element);
  const [tell, cancelled] = begin(element, new AbortController().signal);
  const left = [...items];
  const refused = [];
  let done = 0;
  let due = performance.now();
  let waits = "";
  const show = (isLast) => tell(`${doing}: ${count(done)} of ${count(items.length)} done, ${count(refused.length)} refused, ${
    count(items.length - done - refused.length)} left.${waits}`, isLast);
  show(true);
  const work = async () => {
    while (left.length > 0 && !cancelled.aborted) {
      if (rate > 0) {
        const at = Math.max(due, performance.now());
        due = at + 1000 / rate;
        await sleep(at - performance.now(), cancelled);
        if (cancelled.aborted) return;
      }
      const item = left.shift();
      if (item === undefined) return;
      const path = api.requestPath(item.flow, item.id);
      try {
        await patiently(async (attempt) => {
          try {
            await api.post(`${path}/${what}`);
          } catch (error) {
            if (attempt === 0 || error.status !== 409 || !await wasDone(what, path, cancelled)) throw error;
          }
        }, cancelled, (why) => { waits = ` ${why}`; show(true); });
        waits = "";
        done += 1;
      } catch (error) {
        if (cancelled.aborted && (api.isAway(error) || error.name === "AbortError")) left.push(item);
        else refused.push({ item, error });
      }
      show(false);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  account(what, done, refused, left.length, element);
  if (signal.aborted) say(`${counted(done, "request")} ${CHANGES[what].done}, ${count(refused.length)} refused.`);
  else if (going === element) going = null;
}

/** Says what was done, and why something was not: each reason once, with the first requests. */
function account(what, done, refused, left, progress) {
  const reasons = new Map();
  for (const { item, error } of refused) {
    // Reasons often name the request.
    const reason = error.message.replaceAll(`\`${item.id}\``, "the request");
    if (!reasons.has(reason)) reasons.set(reason, []);
    reasons.get(reason).push(item);
  }
  const linkTo = ({ flow, id }) => link(requestPage(flow, id), id);
  const named = (items) => [
    items.slice(0, NAMED).flatMap((item, number) => (number > 0 ? [", ", linkTo(item)] : [linkTo(item)])),
    items.length > NAMED ? `, and ${counted(items.length - NAMED, "other")}` : "",
  ];
  put(progress,
    h("p", { role: "status" }, `${counted(done, "request")} ${CHANGES[what].done}${left > 0 ? `, and ${count(left)} not tried, because it was cancelled` : ""}.`),
    refused.length > 0 ? [h("p", { class: "bad" }, `${counted(refused.length, "request")} refused:`),
      h("ul", { class: "refused" }, [...reasons].sort(([, one], [, other]) => other.length - one.length)
        .map(([reason, items]) => h("li", {}, `${counted(items.length, "request")}: ${reason}`, h("br"), named(items))))] : null);
}
