// Asks flows for the requests that a page wants, and says in words which ones these are.

import * as api from "./api.js";
import { isEnd, look, time } from "./format.js";
import { inParts, isOfFlow, LETTERS, readLetters } from "./letters.js";
import { fromInWords, timeOf, untilInWords } from "./range.js";

/** The filters of the list, as they are in the URL. */
export const FILTERS = ["flow", "status", "since", "until", "at", "retrying", "given_up", "idle", "reason", "search"];
/** Those that look at each request. A page of them may have few requests although others follow. */
const LOOKING = ["at", "retrying", "idle", "reason", "search"];
/** Those that find only requests that have not ended. */
const OPEN = ["at", "retrying", "given_up", "idle"];

export const IDLE = [["", "Moved at any time"], ["1m", "Not moved for 1 minute"], ["5m", "Not moved for 5 minutes"], ["1h", "Not moved for 1 hour"], ["24h", "Not moved for 24 hours"]];

/** For how long a flow that was built with an older version is not asked for details, in milliseconds. */
const REMEMBERED = 60_000;
const older = new Map();

export const looksAtEach = (filters) => LOOKING.some((name) => filters[name]);
export const isAboutOpen = (filters) => OPEN.some((name) => filters[name]);

/** The parameters of a query with these filters. The queue, and not the flow, says which requests it has given up. */
function queryOf(filters) {
  return Object.fromEntries(FILTERS.filter((name) => !["flow", "given_up"].includes(name) && filters[name]).map((name) => [name, filters[name]]));
}

/** When requests with these filters began, in words: two times together, and any other bounds one by one. */
function began({ since, until }) {
  const [from, to] = [timeOf(since), timeOf(until)];
  if (from !== null && to !== null) return [`began between ${time(from)} and ${time(to)}`];
  return [since && `began ${fromInWords(since)}`, until && `began ${untilInWords(until)}`];
}

const named = ([, name]) => name[0].toLowerCase() + name.slice(1);

/** The requests of these filters in words, such as "requests of orders that have failed and began in the last hour". */
export function inWords(filters) {
  const text = (name) => `“${filters[name]}”`;
  const of = (options, name) => named(options.find(([value]) => value === filters[name]) ?? [null, filters[name]]);
  const words = [
    filters.status && `have the status “${look(filters.status)[1]}”`,
    ...began(filters),
    filters.at && `are at a place with ${text("at")}`,
    filters.retrying && "are being retried",
    filters.given_up && "have a dead letter",
    filters.idle && `have ${of(IDLE, "idle")}`,
    filters.reason && `have ${text("reason")} in their reason`,
    filters.search && `have ${text("search")} in their id, a search key, a label or a call id`,
  ].filter(Boolean);
  const all = words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : words.join("");
  return `requests of ${filters.flow || "all flows"}${all ? ` that ${all}` : ""}`;
}

/** What to say about a flow that refuses to be asked. */
export function refusalInWords({ flow, error }) {
  if (error.status === 501) return `${flow}: it does not remember its requests. `;
  if (/unknown field/.test(error.message)) return `${flow}: it was built with an older version of Faasflow, which does not have this filter. `;
  return `${flow}: ${api.sentence(error)} `;
}

/** One page of the requests of a flow. A flow of an older version says no details. */
async function page(flow, query, signal, ask) {
  const isOlder = older.get(flow) > performance.now();
  const parameters = new URLSearchParams(isOlder ? query : { details: "true", ...query });
  try {
    return await ask(`${api.flowPath(flow)}/requests?${parameters}`, signal);
  } catch (error) {
    if (isOlder || error.status !== 400 || !error.message.includes("unknown field `details`")) throw error;
    older.set(flow, performance.now() + REMEMBERED);
    return page(flow, query, signal, ask);
  }
}

/** How many ids a flow is asked about at once, at most. */
const IDS = 100;

/**
 * The requests of a flow that have not ended and of which the queue has given up a delivery, each with its dead letters. Whether older
 * dead letters were left out is `isCut`. Of how many requests the flow knows nothing is `unknown`: those that have not begun, because
 * their first delivery was given up, and those that have expired.
 */
async function givenUp(flow, filters, signal, ask) {
  const letters = await readLetters({ function: flow }, signal);
  const own = letters.filter((letter) => isOfFlow(letter, flow));
  // A flow searches all of its requests or none.
  const search = filters.search.toLowerCase();
  const ids = [...new Set(own.map((letter) => letter.request))].filter((id) => id.toLowerCase().includes(search));
  const { search: _, ...others } = queryOf(filters);
  const requests = new Map();
  const unknown = new Set(ids);
  for (const part of inParts(ids, IDS)) {
    let cursor;
    do {
      const query = { ...others, ids: part.join(), limit: IDS, ...(cursor ? { cursor } : {}) };
      const answer = await page(flow, query, signal, ask);
      for (const request of answer.requests) {
        unknown.delete(request.id);
        if (!isEnd(request.status)) requests.set(request.id, { flow, ...request, letters: own.filter((letter) => letter.request === request.id) });
      }
      cursor = answer.cursor;
    } while (cursor && !signal.aborted);
  }
  // A flow does not name requests that it knows and that other filters exclude.
  const isAll = Object.keys(others).length === 0;
  return { flow, requests: [...requests.values()], isMore: false, isCut: letters.length >= LETTERS, unknown: isAll ? unknown.size : 0 };
}

/**
 * The newest requests of each flow, together, newest first: at most `limit` of each. If pages look at each request, `depth` says how many
 * pages are read. Flows that refuse are named.
 */
export async function find(flows, filters, { limit, depth }, signal) {
  const answers = await Promise.all(flows.map(async (flow) => {
    const requests = [];
    let cursor;
    try {
      if (filters.given_up) return await givenUp(flow, filters, signal, api.getSoon);
      for (let number = 0; number < depth && requests.length < limit; number += 1) {
        const query = { ...queryOf(filters), limit: limit - requests.length, ...(cursor ? { cursor } : {}) };
        const answer = await page(flow, query, signal, api.getSoon);
        requests.push(...answer.requests.map((request) => ({ flow, ...request })));
        cursor = answer.cursor;
        if (!cursor) break;
      }
      return { flow, requests, isMore: cursor !== undefined };
    } catch (error) {
      if (!(error instanceof api.Refused)) throw error;
      return { flow, requests, isMore: false, error };
    }
  }));
  const requests = answers.flatMap((answer) => answer.requests).sort((one, other) => other.started_ms - one.started_ms);
  return {
    requests,
    isMore: answers.some((answer) => answer.isMore),
    isCut: answers.some((answer) => answer.isCut),
    unknown: answers.reduce((sum, answer) => sum + (answer.unknown ?? 0), 0),
    refused: answers.filter((answer) => answer.error),
  };
}

/**
 * All requests that match, of these statuses, however many there are. `ask(path, signal)` returns the JSON at a path, and `found(number)`
 * is told how many there are so far. A flow that refuses is in `refused`.
 */
export async function findAll(flows, filters, statuses, signal, ask, found) {
  const requests = new Map();
  const refused = [];
  for (const flow of flows) {
    try {
      if (filters.given_up) {
        const { requests: all } = await givenUp(flow, filters, signal, ask);
        for (const request of all.filter(({ status }) => statuses.includes(status))) requests.set(`${flow}/${request.id}`, request);
        found(requests.size);
        continue;
      }
      for (const status of statuses) {
        let cursor;
        do {
          const query = { ...queryOf(filters), status, limit: 1000, ...(cursor ? { cursor } : {}) };
          const answer = await ask(`${api.flowPath(flow)}/requests?${new URLSearchParams(query)}`, signal);
          for (const request of answer.requests) requests.set(`${flow}/${request.id}`, { flow, ...request });
          cursor = answer.cursor;
          found(requests.size);
        } while (cursor && !signal.aborted);
      }
    } catch (error) {
      if (!(error instanceof api.Refused)) throw error;
      // Such flows are usual beside others.
      if (error.status !== 501) refused.push({ flow, error });
    }
  }
  return { requests: [...requests.values()], refused };
}
