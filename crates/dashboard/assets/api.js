// Asks the admin API of the gateway that serves this page. Nothing else is asked.

/** Why an answer is not what was asked for. */
export class Refused extends Error {
  constructor(status, text, code) {
    super(text);
    this.status = status;
    this.code = code;
  }
}

/** Why `faasflow ui` cannot ask its gateway. */
export class Away extends Error {}

/** Whether the gateway did not answer at all. */
export const isAway = (error) => !(error instanceof Refused) && error.name !== "AbortError";

/** What to say if the gateway did not answer. */
export const awayWords = (error) => (error instanceof Away ? `${error.message[0].toUpperCase()}${error.message.slice(1)}.` : "The gateway does not answer.");

/** What to say about an error. */
export const told = (error) => (isAway(error) ? awayWords(error) : error.message);

/** The same as a sentence. Some refusals end with a full stop, and others do not. */
export function sentence(error) {
  const text = told(error);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Whether the answer would be the same if it were asked for again soon. */
export const isForGood = (error) => error instanceof Refused && error.status < 500 && error.status !== 429;

// `faasflow ui` answers 502 with one of these codes if no gateway answers, or none that it can use.
const NOT_REACHED = ["FF0901", "FF0902", "FF0903", "FF0904"];
// It answers with this code if the gateway does not have what a page asks for.
const NOT_THERE = "FF0933";

/** Whether the gateway does not have what was asked for. The message is a sentence that says so. */
export const isAbsent = (error) => error.code === NOT_THERE;

/** Makes what the gateway does not have an answer: `{ absent }` with a sentence. */
export function orAbsent(error) {
  if (isAbsent(error)) return { absent: error.message };
  throw error;
}

export const flowPath = (flow) => `/system/flows/${encodeURIComponent(flow)}`;
export const requestPath = (flow, id) => `${flowPath(flow)}/requests/${encodeURIComponent(id)}`;

async function refusal(answer) {
  const text = (await answer.text()).trim();
  let reason = text;
  try {
    reason = JSON.parse(text).reason ?? text;
  } catch {
    // A refusal of the gateway is a line of text.
  }
  const code = answer.headers.get("X-Faasflow-Error-Code");
  if (answer.status === 502 && NOT_REACHED.includes(code)) return new Away(reason);
  return new Refused(answer.status, reason || `the answer was ${answer.status}`, code);
}

/** The whole URL of a path. The URL of the page may have a user and a password, with which browsers refuse to send requests. */
const whole = (path) => location.origin + path;

async function send(path, options) {
  const answer = await open(path, options);
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

/** The JSON at a path. */
export async function get(path, signal) {
  return (await send(path, { signal })).json();
}

/** The same for what a page asks for only once: if the gateway does not answer, it is asked again. */
export async function getOnce(path, signal) {
  for (;;) {
    try {
      return await get(path, signal);
    } catch (error) {
      if (!isAway(error) || signal.aborted) throw error;
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
}

// How long one of several flows may take to answer, and for how long one that did not is not asked again, in milliseconds.
const PATIENCE = 3000;
const LEFT_ALONE = 20_000;
/** When flows that did not answer are asked again, by the beginning of their paths. */
const silent = new Map();

/**
 * The JSON at a path of one of several flows. If the flow does not answer soon, that is a refusal of this flow, so that what the others
 * answer can be shown.
 */
export const getSoon = (path, signal) => soon(path, signal, get);

/** Asks in the same way whether there is something at a path. The answer 304 says so without sending it. A refusal is an error. */
export const checkSoon = (path, signal) => soon(path, signal, async (path, signal) => {
  const answer = await open(path, { signal, headers: { "If-None-Match": "*" } });
  if (!answer.ok && answer.status !== 304) throw await refusal(answer);
  await answer.body?.cancel();
});

async function soon(path, signal, asks) {
  const flow = path.match(/^\/system\/flows\/[^/?]+/)?.[0] ?? path;
  const silence = () => new Refused(504, "it does not answer", null);
  if (silent.get(flow) > performance.now()) throw silence();
  const late = AbortSignal.timeout(PATIENCE);
  try {
    const answer = await asks(path, signal ? AbortSignal.any([signal, late]) : late);
    silent.delete(flow);
    return answer;
  } catch (error) {
    if (!late.aborted || signal?.aborted) throw error;
    silent.set(flow, performance.now() + LEFT_ALONE);
    throw silence();
  }
}

/** The answer of a path. A refusal is an error. */
export const ask = (path, signal) => send(path, { signal });

/** The answer itself, whatever its status. */
export const open = (path, options) => fetch(whole(path), { redirect: "error", ...options });

let token = null;

async function change(path, method, body, again) {
  token ??= get("/system/page-token").then((answer) => answer.token);
  let known;
  try {
    known = await token;
  } catch (error) {
    token = null;
    throw error;
  }
  const headers = { "X-Faasflow-Page-Token": known };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await send(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    // Another gateway has been started since, with another token.
    if (error.status === 403 && again) {
      token = null;
      return change(path, method, body, false);
    }
    throw error;
  }
}

/** Changes something, and returns the JSON that says what was done. */
export async function post(path, body) {
  return (await change(path, "POST", body, true)).json();
}

export async function remove(path, body) {
  return (await change(path, "DELETE", body, true)).json();
}

/** The log lines of a request, of a place of it or of a function, and whether earlier ones were dropped or, of a place, left out. */
export async function logs(query, signal) {
  const answer = await send(`/system/logs?${new URLSearchParams(query)}`, { signal });
  const lines = (await answer.text()).split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  const leftOut = answer.headers.get("X-Faasflow-Log-Left-Out");
  return { lines, dropped: answer.headers.get("X-Faasflow-Log-Dropped"), leftOut: leftOut === null ? null : Number(leftOut) };
}
