// One flow: its picture, its latest requests, and a form that starts one.

import * as api from "../api.js";
import { chart } from "../charts.js";
import { curl } from "../curl.js";
import { drawing } from "../drawing.js";
import { h, keyed, put, putIfNew, setText } from "../dom.js";
import { isAbout } from "../events.js";
import { find } from "../find.js";
import { figures } from "../figures.js";
import { counted } from "../format.js";
import { live, say } from "../live.js";
import { editing } from "../again.js";
import { button, copyable, link, parameters, requestPage, section, table } from "../parts.js";
import { answered } from "../payload.js";
import { zoomable } from "../zoom.js";
import { COLUMNS, makeRow } from "./requests.js";

const REMEMBERED = 5;
/** The largest body that is remembered, in characters. */
const MOST_BODY = 20_000;

export function page(main, { words: [flow], signal }) {
  const picture = zoomable(signal);
  const [latest, rows] = table(COLUMNS.filter((column) => column !== "Flow"), "Latest requests");
  const none = h("p", { class: "quiet" }, "");
  const begun = chart("Requests per minute");
  const charts = h("div", { class: "charts" }, begun.element);
  const queued = h("p", { class: "quiet" });
  const steps = figures(flow);
  put(main, h("h1", {}, flow),
    section("Steps", picture.element, queued),
    steps.element,
    charts,
    startForm(flow, signal, () => look()),
    section("Latest requests", latest, none,
      h("p", {}, link(`/ui/requests?flow=${encodeURIComponent(flow)}`, "All requests of this flow"))));
  api.getOnce(`${api.flowPath(flow)}/drawing`, signal).then((of) => {
    const [element] = drawing(of, flow);
    picture.show(element);
    steps.drawn(of, element);
  }, (error) => { if (error.name !== "AbortError") picture.fail(api.sentence(error)); });
  const look = live(signal, 2000, async () => {
    const [{ requests, refused }, activity] = await Promise.all([
      find([flow], {}, { limit: 10, depth: 1 }, signal),
      api.get(`${api.flowPath(flow)}/activity`, signal).catch(api.orAbsent),
    ]);
    keyed(rows, requests, (one) => one.id, (one) => makeRow(one, null), (row, one) => row.bring(one));
    latest.hidden = requests.length === 0;
    putIfNew(none, [requests.length, refused[0]?.error.message], () =>
      refused[0]?.error.message ?? (requests.length === 0 ? "Nobody has sent it a request yet." : ""));
    charts.hidden = activity.absent !== undefined;
    if (activity.absent) return;
    steps.bring(activity);
    begun.bring(activity.at_ms, activity.begun, activity.failed);
    setText(queued, activity.queued === 0 ? "" : `${counted(activity.queued, "call")} of this flow ${activity.queued === 1 ? "is" : "are"} in the queue: `
      + "requests that wait for a phase, or are in one.");
  }, (event) => isAbout(event, flow) || event.left_out > 0 || Boolean(event.ended?.some((call) => call.flow === flow)));
}

const storeName = (flow) => `faasflow started ${flow}`;

function remembered(flow) {
  try {
    const list = JSON.parse(localStorage.getItem(storeName(flow)) ?? "[]");
    return Array.isArray(list) ? list : [];
  } catch {
    return [];
  }
}

/** Headers that are not remembered, because what is remembered can be read by everybody who uses this browser. */
const PRIVATE = /^\s*[^:]*(authorization|cookie|key|password|secret|token)[^:]*:/i;

function remember(flow, { headers, ...others }) {
  const values = { ...others, headers: headers.split("\n").filter((line) => !PRIVATE.test(line)).join("\n") };
  if (values.body.length > MOST_BODY) return;
  const same = JSON.stringify(values);
  const list = [values, ...remembered(flow).filter((one) => JSON.stringify(one) !== same)].slice(0, REMEMBERED);
  try {
    localStorage.setItem(storeName(flow), JSON.stringify(list));
  } catch {
    // The browser keeps nothing for this page.
  }
}

/** The headers that somebody wrote, one a line. */
function headersOf(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  return lines.map((line) => {
    const colon = line.indexOf(":");
    if (colon < 1) throw new Error(`The header \`${line}\` has no colon: write it as \`Name: value\`.`);
    const name = line.slice(0, colon).trim();
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) throw new Error(`\`${name}\` is not a valid name of a header: use letters, digits and \`-\`.`);
    return [name, line.slice(colon + 1).trim()];
  });
}

/** A header as browsers send it: a character for each byte. */
const asBytes = ([name, value]) => [name, String.fromCharCode(...new TextEncoder().encode(value))];

function startForm(flow, signal, started) {
  const field = (name, control, hint) => h("label", {}, h("span", {}, name), control, hint ? h("small", { class: "quiet" }, hint) : null);
  const body = h("textarea", { name: "body", rows: "5", spellcheck: "false" });
  const file = h("input", { type: "file", name: "file" });
  const type = h("input", { name: "type", value: "text/plain", list: "types", spellcheck: "false" });
  const types = h("datalist", { id: "types" }, ["text/plain", "application/json", "image/jpeg", "application/octet-stream"]
    .map((value) => h("option", { value })));
  const query = h("input", { name: "query", placeholder: "name=value&…", spellcheck: "false" });
  const headers = h("textarea", { name: "headers", rows: "2", placeholder: "Name: value", spellcheck: "false" });
  const wait = h("input", { name: "wait", type: "number", min: "0", max: "60", value: "10" });
  const before = h("select", { "aria-label": "Started before" });
  const answer = h("div", { "aria-live": "polite" });
  const start = h("button", { type: "submit", class: "primary" }, "Start");
  const values = () => ({ body: body.value, type: type.value, query: query.value, headers: headers.value, wait: wait.value });
  const offer = () => {
    const list = remembered(flow);
    put(before, h("option", { value: "" }, "Started before…"), list.map((one, index) =>
      h("option", { value: index }, `${one.query ? `?${one.query} ` : ""}${one.body.slice(0, 60) || "(empty body)"}`)));
    before.hidden = list.length === 0;
  };
  before.addEventListener("change", () => {
    const chosen = remembered(flow)[Number(before.value)];
    if (before.value === "" || !chosen) return;
    [body.value, type.value, query.value, headers.value, wait.value] =
      [chosen.body, chosen.type, chosen.query, chosen.headers, chosen.wait].map((value) => String(value ?? ""));
    file.value = "";
  });
  const target = () => `/function/${encodeURIComponent(flow)}${query.value.trim() ? `?${query.value.trim().replace(/^\?/, "")}` : ""}`;
  const original = parameters().get("repeats");
  const fill = {
    body: (text) => { body.value = text; },
    type: (of) => { type.value = of; },
    query: (text) => { query.value = text; },
    headers: (list) => { headers.value = list.map(([name, value]) => `${name}: ${value}`).join("\n"); },
    wait: (seconds) => { wait.value = seconds; },
  };
  const edited = original ? editing(flow, original, fill, signal) : null;
  const asked = () => {
    const list = [...(edited?.headers ?? []), ...headersOf(headers.value)];
    const has = (name) => list.some(([other]) => other.toLowerCase() === name);
    if (type.value.trim() !== "" && !has("content-type")) list.push(["Content-Type", type.value.trim()]);
    if (Number(wait.value) > 0 && !has("prefer")) list.push(["Prefer", `wait=${Number(wait.value)}`]);
    return list;
  };
  const form = h("form", { class: "start" }, edited?.note,
    field("Body", body), field("Or a file as the body", file),
    h("div", { class: "row" }, field("Content type", type), field("Query", query), field("Wait for the result", wait, "seconds; 0 to go on at once")),
    types, field("Headers, one a line", headers),
    h("div", { class: "actions" }, start, button("Show as curl", () => {
      try {
        const sent = file.files[0] ? { file: file.files[0].name } : { text: body.value };
        put(answer, copyable(curl({ url: location.origin + target(), headers: asked(), ...sent }), "The command"));
      } catch (error) {
        put(answer, h("p", { class: "bad" }, error.message));
      }
    }), before), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fault = file.files[0] ? null : edited?.fault(body.value);
    if (fault) {
      put(answer, h("p", { class: "bad" }, fault));
      body.focus();
      return;
    }
    start.disabled = true;
    put(answer, h("p", { class: "quiet" }, "Waiting for the answer…"));
    try {
      const sent = await api.open(target(), { method: "POST", redirect: "manual", headers: asked().map(asBytes), body: file.files[0] ?? new TextEncoder().encode(body.value) });
      if (!file.files[0]) remember(flow, values());
      offer();
      put(answer, await shown(flow, sent));
      started();
    } catch (error) {
      put(answer, h("p", { class: "bad" }, api.isAway(error) && error instanceof TypeError && !/header|method/i.test(error.message)
        ? "The gateway does not answer." : error.message));
      say("The request was not started.");
    } finally {
      start.disabled = false;
    }
  });
  offer();
  return h("details", { class: "starter", open: edited !== null }, h("summary", {}, h("h2", {}, "Start a request")), form);
}

/** The answer to a request that was started. */
async function shown(flow, answer) {
  if (answer.type === "opaqueredirect") return h("p", {}, "The flow answered with a redirect, which browsers do not show to pages.");
  const id = answer.headers.get("X-Faasflow-Request-Id");
  const outcome = answer.headers.get("X-Faasflow-Outcome");
  const words = answer.status === 202 ? "It is in progress." : outcome ? `It ended as ${outcome}, with status ${answer.status}.`
    : `The answer has status ${answer.status}.`;
  return [
    h("p", {}, words, " ", id ? link(requestPage(flow, id), "See what became of it") : null),
    await answered(answer),
  ];
}
