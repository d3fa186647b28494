// Queries and headers: folded lists of them, and what can be sent again of those of a request.

import * as api from "./api.js";
import { h, put } from "./dom.js";
import { counted } from "./format.js";
import { loading, parameters, setParameters } from "./parts.js";

/** A list of headers, each with its name, its value, and how the value differs from the original. */
function list(headers) {
  return h("dl", { class: "headers" }, headers.map(({ name, value, altered }) => h("div", {}, h("dt", {}, name),
    h("dd", {}, value, altered === "not_utf8" ? h("span", { class: "quiet" }, " (not UTF-8; some bytes are replaced)") : null))));
}

/** Headers under a heading that unfolds them. `headers` has pairs of names and values. */
export function folded(headers) {
  if (headers.length === 0) return null;
  return h("details", {}, h("summary", {}, counted(headers.length, "header")), list(headers.map(([name, value]) => ({ name, value }))));
}

/**
 * What a head shows at this path, under a heading that asks for it when it is unfolded for the first time. If it is unfolded, the URL has this name.
 */
function asked(name, title, path, show, signal) {
  const inside = h("div", {});
  const fold = h("details", { class: "head" }, h("summary", {}, title), inside);
  let isAsked = false;
  const opened = () => new Set(parameters().getAll("unfolded"));
  fold.addEventListener("toggle", async () => {
    const others = opened();
    if (fold.open) others.add(name);
    else others.delete(name);
    setParameters({ unfolded: [...others] });
    if (!fold.open || isAsked) return;
    isAsked = true;
    put(inside, loading());
    try {
      put(inside, show(await api.get(path, signal)));
    } catch (error) {
      if (error.name === "AbortError") return;
      isAsked = false;
      put(inside, h("p", { class: "quiet" }, api.sentence(error)));
    }
  });
  fold.open = opened().has(name);
  return fold;
}

const leftOut = ({ headers_left_out: number }) =>
  (number > 0 ? h("p", { class: "quiet" }, `${counted(number, "other header")} ${number === 1 ? "is" : "are"} not shown.`) : null);

/** The query and the headers of the request at this path, folded. */
export const requestHead = (path, signal) => asked("request", "Query and headers", `${path}/input/head`, (head) => [
  h("dl", { class: "headers" }, h("div", {}, h("dt", {}, "Query"), h("dd", {}, head.query === "" ? h("span", { class: "quiet" }, "none") : head.query))),
  head.headers.length === 0 ? h("p", { class: "quiet" }, "It had no headers of its own.") : list(head.headers),
  leftOut(head),
], signal);

/** The headers of the answer that made a place fail, folded. `query` names the place. */
export const answerHead = (path, query, signal) => asked(new URLSearchParams(query).get("place"), "Headers", `${path}/answer/head?${query}`, (head) => [
  head.headers === undefined ? h("p", { class: "quiet" }, "This answer was recorded by an older version of Faasflow, which did not keep its headers.")
    : list(head.headers),
  leftOut(head),
], signal);

/** What stands for a secret value. */
export const SECRET = "[secret]";

/** Names of headers in a sentence. A name that means something to a shell is changed, because the sentence may be in a command. */
const inWords = (headers) => [...new Set(headers.map(({ name }) => name.replace(/[^\w-]/g, "_")))].join(", ");

/** What can be sent again of the head of a request: the query, the headers, and sentences about the rest. */
export function sendable(head) {
  const parameters = head.query.split("&");
  const isMasked = head.query_altered !== undefined;
  const query = isMasked ? parameters.filter((one) => !one.includes(SECRET)).join("&") : head.query;
  const secret = head.headers.filter(({ altered }) => altered !== undefined && altered !== "not_utf8");
  const other = head.headers.filter(({ altered }) => altered === "not_utf8");
  const said = [];
  if (isMasked) said.push("Parameters of the query with secret values are left out.");
  if (secret.length > 0) said.push(`Headers with secret values are left out: ${inWords(secret)}.`);
  if (other.length > 0) said.push(`Headers that are not UTF-8 are left out: ${inWords(other)}.`);
  if (head.headers_left_out > 0) said.push(`${counted(head.headers_left_out, "more header")} of the request ${head.headers_left_out === 1 ? "is" : "are"} not shown, and left out.`);
  const headers = head.headers.filter(({ altered }) => altered === undefined).map(({ name, value }) => [name, value]);
  return { query, headers, said };
}

/** The head of a request; `null` if it cannot be shown, for example because the flow was built with an older version. */
export async function headOf(path, signal) {
  try {
    return await api.get(`${path}/input/head`, signal);
  } catch (error) {
    if (error.name === "AbortError" || api.isAway(error)) throw error;
    return null;
  }
}

/** Headers that browsers set themselves and let no page set. */
const OF_BROWSERS = /^(sec-.*|proxy-.*|access-control-request-.*|accept-charset|accept-encoding|connection|content-length|cookie2?|date|dnt|expect|host|keep-alive|origin|permissions-policy|referer|set-cookie|te|trailer|transfer-encoding|upgrade|user-agent|via)$/;

/** Headers without those that only the browser sets. */
export const settable = (headers) => headers.filter(([name]) => !OF_BROWSERS.test(name));
