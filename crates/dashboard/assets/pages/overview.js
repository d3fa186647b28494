// What needs attention, and then what is there.

import * as api from "../api.js";
import { h, keyed, put, putIfNew, setText } from "../dom.js";
import { count, counted, duration, look } from "../format.js";
import { live } from "../live.js";
import { chip, link, loading, logLines, section, table } from "../parts.js";

const DAY = "24h";
/** How many requests of a kind are counted at most. */
const COUNTED = 100;
/** From which age on a call in the queue needs attention, in seconds. */
const OLD = 60;

export function page(main, { signal }) {
  const attention = h("ul", { class: "attention" });
  const calm = h("p", { class: "calm", hidden: true }, "Nothing needs attention.");
  const flows = h("div", { class: "cards" });
  const numbers = h("dl", { class: "numbers" });
  const noQueue = h("p", { class: "quiet" });
  const [functions, functionRows] = table([{ name: "Function", class: "name" }, { name: "State", class: "status" }, { name: "Calls", class: "number" }, "Log"], "Functions");
  const first = loading();
  put(main, h("h1", {}, "Overview"), first,
    h("section", { "aria-label": "What needs attention", "aria-live": "polite" }, attention, calm),
    section("Flows", flows),
    section("Queue", numbers, noQueue),
    section("Functions", functions));

  live(signal, 2000, async () => {
    const [all, queue, names] = await Promise.all([
      api.get("/system/functions", signal),
      api.get("/system/queue", signal).catch(api.orAbsent),
      api.get("/system/flows", signal),
    ]);
    const states = await Promise.all(names.map((name) => stateOf(name, signal)));
    first.remove();
    const needs = attentionTo(all, queue, states);
    keyed(attention, needs, (need) => need.key, () => h("li", {}), (row, need) => {
      row.className = need.kind;
      putIfNew(row, need, () => [h("strong", {}, need.what), " ", need.why, " ", link(need.href, need.action)]);
    });
    calm.hidden = needs.length > 0;
    numbers.hidden = queue.absent !== undefined;
    setText(noQueue, queue.absent ?? "");
    if (!queue.absent) putIfNew(numbers, queue, () => queueNumbers(queue));
    keyed(flows, states, (state) => state.name, makeFlow, (card, state) => card.bring(state),
      () => h("p", { class: "quiet" }, "No flow is deployed."));
    keyed(functionRows, all, (one) => one.name, (one) => makeFunction(one, signal), (row, one) => row.bring(one, names),
      () => h("tr", {}, h("td", { colspan: "4", class: "quiet" }, "No function is deployed.")));
  });
}

/** How many requests of a flow there are of each kind that matters here. */
async function stateOf(name, signal) {
  const counts = async (status, since) => {
    const query = new URLSearchParams({ status, limit: COUNTED, ...since });
    const list = await api.get(`${api.flowPath(name)}/requests?${query}`, signal);
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

function attentionTo(functions, queue, flows) {
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

export function queueNumbers(queue) {
  const numbers = [
    ["In the queue", count(queue.depth)],
    ["Being delivered", count(queue.in_flight)],
    ["Age of the oldest", queue.depth > 0 ? age(queue.oldest_seconds) : "–"],
    ["Dead letters", count(queue.dead_letters)],
    ["Delivered since the start", count(queue.delivered)],
    ["Repeated since the start", count(queue.retried)],
  ];
  return numbers.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}

function makeFlow({ name }) {
  const path = `/ui/flows/${encodeURIComponent(name)}`;
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
  const calls = h("td", { class: "number" });
  const log = h("div", {});
  const details = h("details", { class: "function-log" }, h("summary", { "aria-label": `Show the log of ${name}` }, "Show"), log);
  const label = h("td", {}, name);
  const row = h("tr", {}, label, h("td", {}, state), calls, h("td", {}, details));
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    put(log, loading());
    try {
      const { lines, dropped } = await api.logs({ name, tail: 50 }, signal);
      put(log, logLines(lines, dropped));
      log.querySelector(".log")?.scrollTo(0, 1e9);
    } catch (error) {
      if (error.name !== "AbortError") put(log, h("p", { class: api.isAbsent(error) ? "quiet" : "bad" }, error.message));
    }
  });
  row.bring = (one, flows) => {
    putIfNew(label, flows.includes(name), (isFlow = flows.includes(name)) =>
      (isFlow ? link(`/ui/flows/${encodeURIComponent(name)}`, name) : name));
    const told = one.replicas === 0 ? ["quiet", "Scaled to zero"] : isReady(one) ? ["good", "Ready"] : ["bad", "Not ready"];
    putIfNew(state, [told, one.replicas, one.availableReplicas], () => {
      const mark = chip("");
      mark.className = `chip ${told[0]}`;
      setText(mark, told[1]);
      return [mark, one.replicas > 1 ? ` ${one.availableReplicas} of ${one.replicas}` : null];
    });
    setText(calls, count(one.invocationCount));
  };
  if (new URLSearchParams(location.search).get("log") === name) details.open = true;
  return row;
}
