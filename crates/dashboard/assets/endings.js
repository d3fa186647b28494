// Finds out which dead letters belong to requests that have ended, for those that a reader sees.

import * as api from "./api.js";
import { isEnd } from "./format.js";
import { inParts, isOfFlow } from "./letters.js";

/** How many requests a flow is asked about at once, at most. */
const AT_ONCE = 50;
/** For how long an answer holds, and a flow that refuses is not asked again, in milliseconds. */
const HOLDS = 30_000;
/** After this time, a row that is in view is asked about again, so that an answer is there before the last one holds no more. */
const FRESH = 10_000;
/** How long to wait for other rows that come into view, in milliseconds. */
const SCROLLING = 150;

/**
 * Watches the rows of dead letters. `told()` is called when more is known. `watch(row, letter)` begins with a row. `statusOf(letter)` says
 * the status of its request, and `flowOf(letter)` the flow; both are `undefined` if they are not known. The status is `null` if the flow
 * does not know the request. `hadEnded(letter)` says whether the request had ended when its flow was last asked, however long ago, and
 * `askAbout(letters)` asks about these now, in view or not.
 */
export function endings(signal, told) {
  const letters = new WeakMap();
  const inView = new Set();
  const known = new Map();
  const refusing = new Map();
  /** `null` if the gateway does not say which functions are flows. */
  let flows = null;
  let flowsAt = -Infinity;
  let timer;
  let isAsking = false;
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) inView.add(target);
      else inView.delete(target);
    }
    ask();
  });
  signal.addEventListener("abort", () => { clearTimeout(timer); observer.disconnect(); }, { once: true });

  const flowOf = (letter) => flows?.find((flow) => isOfFlow(letter, flow));
  const keyOf = (flow, id) => `${flow}/${id}`;
  const isOld = (at, holds = HOLDS) => at === undefined || performance.now() - at > holds;
  const entryOf = (letter) => known.get(keyOf(flowOf(letter), letter.request));

  /** The ids of the requests of dead letters, by their flows. */
  function byFlow(asked) {
    const wanted = new Map();
    for (const letter of asked) {
      const flow = flowOf(letter);
      if (flow === undefined) continue;
      if (!wanted.has(flow)) wanted.set(flow, new Set());
      wanted.get(flow).add(letter.request);
    }
    return wanted;
  }

  function ask() {
    clearTimeout(timer);
    timer = setTimeout(() => look().catch((error) => { if (!signal.aborted && !api.isAway(error)) throw error; }), SCROLLING);
  }

  async function look() {
    if (isAsking || signal.aborted) return;
    isAsking = true;
    try {
      if (isOld(flowsAt)) await lookAtFlows();
      for (const row of inView) if (!row.isConnected) inView.delete(row);
      const isWanted = (letter) => isOld(entryOf(letter)?.at, FRESH) && isOld(refusing.get(flowOf(letter)));
      const wanted = byFlow([...inView].map((row) => letters.get(row)).filter(isWanted));
      if (wanted.size === 0) return;
      await Promise.all([...wanted].map(([flow, ids]) => lookAt(flow, inParts(ids, AT_ONCE)[0])));
    } finally {
      isAsking = false;
    }
    if (signal.aborted) return;
    told();
    // Others may have come into view meanwhile, or there were too many.
    ask();
  }

  async function lookAtFlows() {
    try {
      flows = await api.get("/system/flows", signal);
    } catch (error) {
      if (!(error instanceof api.Refused)) throw error;
      flows = null;
    }
    flowsAt = performance.now();
  }

  /** Asks a flow about these requests, and returns their statuses by their ids; `null` if it refuses. */
  async function lookAt(flow, ids) {
    try {
      const { requests } = await api.getSoon(`${api.flowPath(flow)}/requests?${new URLSearchParams({ ids: ids.join(), limit: AT_ONCE })}`, signal);
      const at = performance.now();
      const statuses = new Map(ids.map((id) => [id, requests.find((request) => request.id === id)?.status ?? null]));
      for (const [id, status] of statuses) known.set(keyOf(flow, id), { at, status });
      return statuses;
    } catch (error) {
      if (!(error instanceof api.Refused)) throw error;
      // It does not remember its requests, does not answer, or was built with an older version.
      refusing.set(flow, performance.now());
      return null;
    }
  }

  /**
   * Asks about these dead letters now, and returns the statuses of their requests, by the ids of the dead letters: `undefined` if it is
   * not known. Left out are those that belong to no request of a flow: callbacks, and calls of other functions.
   */
  async function askAbout(asked) {
    await lookAtFlows();
    const answered = new Map();
    await Promise.all([...byFlow(asked)].map(async ([flow, ids]) => {
      for (const part of inParts(ids, AT_ONCE)) {
        const statuses = await lookAt(flow, part);
        if (statuses === null) break;
        for (const [id, status] of statuses) answered.set(keyOf(flow, id), status);
      }
    }));
    const isOfRequest = (letter) => (flows === null ? !letter.callback && letter.request !== undefined : flowOf(letter) !== undefined);
    return new Map(asked.filter(isOfRequest).map((letter) => [letter.id, answered.get(keyOf(flowOf(letter), letter.request))]));
  }

  return {
    watch: (row, letter) => { letters.set(row, letter); observer.observe(row); },
    flowOf,
    statusOf: (letter) => (isOld(entryOf(letter)?.at) ? undefined : entryOf(letter).status),
    hadEnded: (letter) => isEnd(entryOf(letter)?.status),
    ask,
    askAbout,
  };
}
