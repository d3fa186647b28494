// Finds out which dead letters belong to requests that have ended, for those that a reader sees.

import * as api from "./api.js";
import { isOfFlow } from "./letters.js";

/** How many requests a flow is asked about at once. */
const AT_ONCE = 50;
/** For how long an answer holds, and a flow that refuses is not asked again, in milliseconds. */
const HOLDS = 30_000;
/** How long to wait for other rows that come into view, in milliseconds. */
const SCROLLING = 150;

/**
 * Watches the rows of dead letters. `told()` is called when more is known. `watch(row, letter)` begins with a row, `statusOf(letter)` says
 * the status of its request, and `flowOf(letter)` the flow; both are `undefined` if they are not known. The status is `null` if the flow
 * does not know the request.
 */
export function endings(signal, told) {
  const letters = new WeakMap();
  const inView = new Set();
  const known = new Map();
  const refusing = new Map();
  let flows = [];
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

  const flowOf = (letter) => flows.find((flow) => isOfFlow(letter, flow));
  const keyOf = (flow, id) => `${flow}/${id}`;
  const isOld = (at) => at === undefined || performance.now() - at > HOLDS;

  function ask() {
    clearTimeout(timer);
    timer = setTimeout(() => look().catch((error) => { if (!signal.aborted && !api.isAway(error)) throw error; }), SCROLLING);
  }

  async function look() {
    if (isAsking || signal.aborted) return;
    isAsking = true;
    try {
      if (isOld(flowsAt)) {
        flows = await api.get("/system/flows", signal);
        flowsAt = performance.now();
      }
      for (const row of inView) if (!row.isConnected) inView.delete(row);
      const wanted = new Map();
      for (const letter of [...inView].map((row) => letters.get(row))) {
        const flow = flowOf(letter);
        if (flow === undefined || !isOld(known.get(keyOf(flow, letter.request))?.at) || !isOld(refusing.get(flow))) continue;
        if (!wanted.has(flow)) wanted.set(flow, new Set());
        wanted.get(flow).add(letter.request);
      }
      if (wanted.size === 0) return;
      await Promise.all([...wanted].map(([flow, ids]) => lookAt(flow, [...ids].slice(0, AT_ONCE))));
    } finally {
      isAsking = false;
    }
    if (signal.aborted) return;
    told();
    // Others may have come into view meanwhile, or there were too many.
    ask();
  }

  async function lookAt(flow, ids) {
    try {
      const { requests } = await api.getSoon(`${api.flowPath(flow)}/requests?${new URLSearchParams({ ids: ids.join(), limit: AT_ONCE })}`, signal);
      const at = performance.now();
      for (const id of ids) known.set(keyOf(flow, id), { at, status: requests.find((request) => request.id === id)?.status ?? null });
    } catch (error) {
      if (!(error instanceof api.Refused)) throw error;
      // It does not remember its requests, does not answer, or was built with an older version.
      refusing.set(flow, performance.now());
    }
  }

  return {
    watch: (row, letter) => { letters.set(row, letter); observer.observe(row); },
    flowOf,
    statusOf: (letter) => known.get(keyOf(flowOf(letter), letter.request))?.status,
    ask,
  };
}
