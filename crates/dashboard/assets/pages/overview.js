// What needs attention, and then what is there.

import * as api from "../api.js";
import { chart } from "../charts.js";
import { h, keyed, put, putIfNew, setText } from "../dom.js";
import { hear, isAbout, isConnected } from "../events.js";
import { count, counted, duration, look } from "../format.js";
import { live, repeat } from "../live.js";
import { chip, flowPage, link, loading, logView, section, table } from "../parts.js";

const DAY = "24h";
/** How many requests of a kind are counted at most. */
const COUNTED = 100;
/** From which age on a call in the queue needs attention, in seconds. */
const OLD = 60;
/** After how many milliseconds the state of every flow is read again. */
const ALL_AFTER = 14_000;

export function page(main, { signal }) {
  const attention = h("ul", { class: "attention" });
  const calm = h("p", { class: "calm", hidden: true }, "Nothing needs attention.");
  const flows = h("div", { class: "cards" });
  const numbers = h("dl", { class: "numbers" });
  const noQueue = h("p", { class: "quiet" });
  const [functions, functionRows] = table([{ name: "Function", class: "name" }, { name: "State", class: "status" },
    { name: "Calls", class: "number" }, { name: "p95 (1 h)", class: "number" }, { name: "Failed (1 h)", class: "number" }, "Log"], "Functions");
  const first = loading();
  const begun = chart("Requests per minute");
  const calls = chart("Calls of functions per minute");
  const depth = chart("In the queue", { sum: false });
  const charts = h("div", { class: "charts" }, begun.element, calls.element, depth.element);
  const lastHour = section("Last hour", charts);
  put(main, h("h1", {}, "Overview"), first,
    h("section", { "aria-label": "What needs attention", "aria-live": "polite" }, attention, calm),
    lastHour,
    section("Flows", flows),
    section("Queue", numbers, noQueue),
    section("Functions", functions));

  /** What is known: the functions, the queue, the figures of the last hour, and the state of each flow. */
  const known = { functions: null, queue: null, activity: null, names: [], states: new Map() };
  /** The flows whose requests have changed since their state was read; `null` stands for all. */
  let stale = null;
  let allAt = 0;

  live(signal, 2000, async () => {
    const asked = stale;
    stale = new Set();
    try {
      [known.functions, known.queue, known.names, known.activity] = await Promise.all([
        api.get("/system/functions", signal),
        api.get("/system/queue", signal).catch(api.orAbsent),
        api.get("/system/flows", signal),
        api.get("/system/activity", signal).catch(api.orAbsent),
      ]);
      // Without events, nobody says which flows have changed, and some changes are in no event.
      const isTimeForAll = asked === null || !isConnected() || performance.now() - allAt > ALL_AFTER;
      if (isTimeForAll) allAt = performance.now();
      const wanted = known.names.filter((name) => isTimeForAll || asked.has(name) || !known.states.has(name));
      const states = await Promise.all(wanted.map((name) => stateOf(name, signal)));
      for (const state of states) known.states.set(state.name, state);
    } catch (error) {
      stale = null;
      throw error;
    }
    first.remove();
    draw();
  }, () => true);

  hear(signal, (event, isSnapshot) => {
    if (isSnapshot) stale = null;
    else if (stale !== null) known.names.filter((name) => isAbout(event, name)).forEach((name) => stale.add(name));
    // What the event says is shown before the rest is asked for.
    if (first.isConnected) return;
    if (event.queue) known.queue = event.queue;
    for (const { name, replicas, available } of event.functions ?? []) {
      const one = known.functions.find((one) => one.name === name);
      if (one) Object.assign(one, { replicas, availableReplicas: available });
    }
    if (event.queue || event.functions) draw();
  });
  repeat(signal, 1000, () => bringNumbers(numbers));

  function draw() {
    const { functions: all, queue, activity, names } = known;
    const states = names.map((name) => known.states.get(name)).filter(Boolean);
    const needs = attentionTo(all, queue, states, activity);
    keyed(attention, needs, (need) => need.key, () => h("li", {}), (row, need) => {
      row.className = need.kind;
      putIfNew(row, need, () => [h("strong", {}, need.what), " ", need.why, " ", link(need.href, need.action)]);
    });
    calm.hidden = needs.length > 0;
    lastHour.hidden = activity.absent !== undefined;
    if (!activity.absent) {
      begun.bring(activity.at_ms, activity.begun, activity.failed);
      calls.bring(activity.at_ms, activity.calls, activity.failures);
      depth.bring(activity.at_ms, activity.queue.with(-1, Math.max(activity.queue.at(-1), queue.depth)));
    }
    numbers.hidden = queue.absent !== undefined;
    setText(noQueue, queue.absent ?? "");
    if (!queue.absent) bringNumbers(numbers, queue);
    keyed(flows, states, (state) => state.name, makeFlow, (card, state) => card.bring(state),
      () => h("p", { class: "quiet" }, "No flow is deployed."));
    const measured = new Map((activity.functions ?? []).map((one) => [one.name, one]));
    keyed(functionRows, all, (one) => one.name, (one) => makeFunction(one, signal), (row, one) => row.bring(one, names, measured.get(one.name)),
      () => h("tr", {}, h("td", { colspan: "6", class: "quiet" }, "No function is deployed.")));
  }
}

/** How many requests of a flow there are of each kind that matters here. */
async function stateOf(name, signal) {
  const counts = async (status, since) => {
    const query = new URLSearchParams({ status, limit: COUNTED, ...since });
    const list = await api.getSoon(`${api.flowPath(name)}/requests?${query}`, signal);
    return { number: list.requests.length, isMore: list.cursor !== undefined };
  };
  try {
    const [running, failure, parked, paused] = await Promise.all([
      counts("running"), counts("failure", { since: DAY }), counts("parked"), counts("paused"),
    ]);
    return { name, running, failure, parked, paused };
  } catch (error) {
    if (api.isAway(error) || error.name === "AbortError") throw error;
    return { name, error: error.message, remembers: error.status !== 501 };
  }
}

const some = ({ number, isMore }) => `${count(number)}${isMore ? " or more" : ""}`;
const requests = ({ number, isMore }) => (number === 1 && !isMore ? "request" : "requests");
const isReady = (one) => one.availableReplicas >= Math.min(1, one.replicas);

/** From which share of calls that fail a function needs attention. */
const MANY = 0.1;

function attentionTo(functions, queue, flows, activity) {
  const needs = [];
  for (const one of functions) {
    if (isReady(one)) continue;
    needs.push({
      key: `function ${one.name}`, kind: "bad", what: one.name, why: "is not ready: it does not accept requests.",
      href: `/ui/?log=${encodeURIComponent(one.name)}`, action: "See its log",
    });
  }
  if (queue.dead_letters > 0) {
    needs.push({
      key: "dead", kind: "bad", what: counted(queue.dead_letters, "dead letter"), why: "in the queue: calls that were given up.",
      href: "/ui/queue#dead-letters", action: "See why",
    });
  }
  for (const flow of flows) {
    const of = (status) => `/ui/requests?flow=${encodeURIComponent(flow.name)}&status=${status}`;
    if (flow.failure?.number > 0) {
      needs.push({
        key: `failed ${flow.name}`, kind: "bad", what: flow.name, why: `has ${some(flow.failure)} ${requests(flow.failure)} that failed in the last 24 hours.`,
        href: `${of("failure")}&since=24h`, action: "See them",
      });
    }
    if (flow.parked?.number > 0) {
      needs.push({
        key: `parked ${flow.name}`, kind: "warn", what: flow.name,
        why: `has ${some(flow.parked)} parked ${requests(flow.parked)}, because its definition has changed ahead of them.`, href: of("parked"), action: "See them",
      });
    }
  }
  const isFlow = new Set(flows.map((flow) => flow.name));
  for (const { name, calls, failures } of activity.functions ?? []) {
    // The requests of flows are counted above.
    if (isFlow.has(name) || failures === 0 || failures < MANY * calls) continue;
    needs.push({
      key: `fails ${name}`, kind: "warn", what: name, why: `failed in ${count(failures)} of ${counted(calls, "call")} of the last hour.`,
      href: `/ui/?log=${encodeURIComponent(name)}`, action: "See its log",
    });
  }
  if (queue.oldest_seconds > OLD) {
    needs.push({
      key: "old", kind: "warn", what: "The queue", why: `has a call that was accepted ${age(queue.oldest_seconds)} ago.`,
      href: "/ui/queue", action: "See what waits",
    });
  }
  if (queue.unreadable > 0) {
    needs.push({
      key: "unreadable", kind: "warn", what: "The queue",
      why: `keeps ${counted(queue.unreadable, "record")} that this version cannot read.`, href: "/ui/queue", action: "See the queue",
    });
  }
  return needs;
}

/** An age in whole seconds, so that it does not change all the time. */
const age = (seconds) => duration(1000 * Math.floor(seconds));

/** Shows the numbers of the queue. Without new ones, only the age of the oldest call changes. */
export function bringNumbers(element, queue) {
  if (queue) element.known = { queue, at: performance.now() };
  if (!element.known) return;
  const { queue: last, at } = element.known;
  const oldest = last.depth > 0 ? age(last.oldest_seconds + (performance.now() - at) / 1000) : "–";
  const numbers = [
    ["In the queue", count(last.depth)],
    ["Being delivered", count(last.in_flight)],
    ["Age of the oldest", oldest],
    ["Dead letters", count(last.dead_letters)],
    ["Delivered since the start", count(last.delivered)],
    ["Repeated since the start", count(last.retried)],
  ];
  keyed(element, numbers, ([name]) => name, ([name]) => h("div", {}, h("dt", {}, name), h("dd", {})),
    (child, [, value]) => setText(child.lastElementChild, value));
}

function makeFlow({ name }) {
  const path = flowPage(name);
  const facts = h("ul", { class: "facts" });
  const card = h("article", { class: "card" }, h("h3", {}, link(path, name)), facts);
  card.bring = (state) => putIfNew(facts, state, () => {
    if (state.error !== undefined) return h("li", { class: "quiet" }, state.remembers ? state.error : "It does not remember its requests.");
    const of = (status, more = "") => `/ui/requests?flow=${encodeURIComponent(name)}&status=${status}${more}`;
    const kinds = [
      ["running", state.running, "running", ""], ["paused", state.paused, "paused", ""], ["parked", state.parked, "parked", ""],
      ["failure", state.failure, "failed in 24 h", "&since=24h"],
    ];
    return kinds.filter(([status, { number }]) => number > 0 || ["running", "failure"].includes(status))
      .map(([status, found, word, more]) => h("li", { class: found.number > 0 ? look(status)[0] : "quiet" },
        link(of(status, more), `${some(found)} ${word}`)));
  });
  return card;
}

function makeFunction({ name }, signal) {
  const state = h("span", {});
  const [calls, p95, failed] = ["Calls", "p95 (1 h)", "Failed (1 h)"].map((name) => h("td", { class: "number", "data-label": name }));
  const log = h("div", {});
  const details = h("details", { class: "function-log" }, h("summary", { "aria-label": `Show the log of ${name}` }, "Show"), log);
  const label = h("td", { class: "first" }, name);
  const row = h("tr", {}, label, h("td", {}, state), calls, p95, failed, h("td", { "data-label": "Log" }, details));
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    put(log, loading());
    try {
      const { lines, dropped } = await api.logs({ name, tail: 50 }, signal);
      const [view, bring] = logView();
      put(log, view);
      bring(lines, dropped);
    } catch (error) {
      if (error.name !== "AbortError") put(log, h("p", { class: api.isAbsent(error) ? "quiet" : "bad" }, error.message));
    }
  });
  row.bring = (one, flows, measured) => {
    putIfNew(label, flows.includes(name), (isFlow = flows.includes(name)) =>
      (isFlow ? link(flowPage(name), name) : name));
    const told = one.replicas === 0 ? ["quiet", "Scaled to zero"] : isReady(one) ? ["good", "Ready"] : ["bad", "Not ready"];
    putIfNew(state, [told, one.replicas, one.availableReplicas], () => {
      const mark = chip("");
      mark.className = `chip ${told[0]}`;
      setText(mark, told[1]);
      return [mark, one.replicas > 1 ? ` ${one.availableReplicas} of ${one.replicas}` : null];
    });
    setText(calls, count(one.invocationCount));
    setText(p95, measured?.p95_ms === undefined ? "–" : duration(measured.p95_ms));
    setText(failed, count(measured?.failures ?? 0));
    failed.classList.toggle("bad", measured?.failures > 0);
  };
  if (new URLSearchParams(location.search).get("log") === name) details.open = true;
  return row;
}
