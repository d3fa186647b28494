// One dead letter: what was sent, what was answered last, and why it was given up.

import * as api from "../api.js";
import { h, put } from "../dom.js";
import { bytes, counted, duration, exact, isEnd } from "../format.js";
import { folded } from "../heads.js";
import { hasName, losses } from "../letters.js";
import { answerChip, button, confirm, link, loading, requestPage, section } from "../parts.js";
import { given, payload } from "../payload.js";

/** The content type of an envelope. */
const ENVELOPE = "application/vnd.faasflow.envelope";
/** The code with which a flow says that it does not know a request. */
const UNKNOWN = "FF0416";

export function page(main, { words: [id], signal, go }) {
  const inside = h("div", {}, loading());
  put(main, h("p", { class: "above" }, link("/ui/queue#dead-letters", "Dead letters")), h("h1", {}, `Dead letter ${id}`), inside);
  api.get(`/system/queue/dead-letters/${encodeURIComponent(id)}`, signal)
    .then((letter) => put(inside, content(letter, go, signal)), (error) => {
      if (error.name !== "AbortError") put(inside, h("p", { class: api.isAbsent(error) ? "quiet" : "bad" }, api.told(error)));
    });
}

function content(letter, go, signal) {
  const done = h("div", { "aria-live": "polite" });
  /** The status of the request that it belongs to, if there is one, as `losses` takes it. */
  let statuses = letter.callback ? [] : [undefined];
  const header = (list, name) => list.find(([key]) => key.toLowerCase() === name)?.[1];
  const act = async (isRedrive) => {
    const title = isRedrive ? "Redrive this dead letter?" : "Discard this dead letter?";
    const text = isRedrive ? "It goes back into the queue, with a full set of attempts." : ["It is removed for good.", ...losses(statuses)];
    if (!await confirm(title, text, isRedrive ? "Redrive" : "Discard", !isRedrive)) return;
    try {
      if (isRedrive) await api.post("/system/queue/redrive", { ids: [letter.id] });
      else await api.remove("/system/queue/dead-letters", { ids: [letter.id] });
      go("/ui/queue");
    } catch (error) {
      put(done, h("p", { class: "bad" }, api.told(error)));
    }
  };
  const named = header(letter.headers, "x-faasflow-request-id");
  // A flow takes the call id if the header is missing or is no id. Other functions have no requests.
  const request = letter.request ?? named;
  const isEnvelope = typeOf(letter.headers) === ENVELOPE;
  // Only a flow knows which fields are secret, so what was sent is folded unless it is known that no flow is concerned.
  const fold = whole(letter.id, signal);
  const body = h("div", {}, fold);
  const input = h("div", {});
  const origin = h("p", {}, named && named === request ? ["It belongs to the request ", h("span", { class: "id" }, request), "."] : null);

  async function look() {
    const isFlow = isEnvelope || await isOfFlow(letter, signal);
    if (isFlow) {
      if (request && !letter.callback) await showRequest();
      return;
    }
    statuses = [];
    if (!named) put(body, sent(letter), letter.masked ? fold : null);
  }

  /** Shows what the flow says about the request. Only it can show the input of the place. */
  async function showRequest() {
    const path = api.requestPath(letter.function, request);
    let of;
    try {
      of = await api.get(path, signal);
    } catch (error) {
      if (error.status === 410) statuses = [];
      if (error.code !== UNKNOWN) throw error;
      statuses = [null];
      put(input, h("p", { class: "quiet" }, "The flow does not know its request: it has not begun, or is no longer remembered."));
      return;
    }
    statuses = [of.status];
    put(origin, "It belongs to the request ", h("span", { class: "id" }, link(requestPage(letter.function, request), request)), ".",
      isEnd(of.status) ? " The request has ended, so delivering this again executes nothing: redrive the request instead." : "");
    const place = of.places.find((place) => place.call_id === letter.call_id) ?? (isEnvelope ? undefined : of.places[0]);
    if (!place) return;
    const shown = h("div", {}, loading());
    put(input, h("h3", {}, "Input of the place"), shown);
    try {
      put(shown, await payload(`${path}/input?place=${encodeURIComponent(place.place)}`, signal));
    } catch (error) {
      if (error.name !== "AbortError") put(shown, h("p", { class: "quiet" }, api.sentence(error)));
    }
  }

  look().catch((error) => {
    if (error.name !== "AbortError") put(input, h("p", { class: "quiet" }, api.sentence(error)));
  });
  return [
    h("div", { class: "status-line" }, answerChip(letter.status),
      h("p", { class: "words" }, `${letter.callback ? "A callback of" : "A call to"} ${letter.function} was given up at ${exact(letter.died_ms)}, after `
        + `${counted(letter.attempts, "attempt")} in ${duration(letter.died_ms - letter.accepted_ms)}.`)),
    h("p", { class: "why" }, letter.reason),
    h("div", { class: "actions" }, button("Redrive…", () => act(true), { class: "primary" }), button("Discard…", () => act(false))), done,
    origin,
    section("Last answer",
      letter.answer_body === null ? h("p", { class: "quiet" }, "There was none.") : answered(letter)),
    section("What was sent", h("p", { class: "quiet" }, `${bytes(letter.bytes)}${letter.target ? ` to ${letter.target}` : ""}. Bytes that are not text are replaced.`),
      input, body),
  ];
}

/** Whether it is for a flow, or for a function that is no longer there, which may have been one. */
async function isOfFlow(letter, signal) {
  const [flows, functions] = await Promise.all([api.getOnce("/system/flows", signal), api.getOnce("/system/functions", signal)]);
  const isThere = functions.some(({ name }) => hasName(letter.function, name));
  return !isThere || flows.some((flow) => hasName(letter.function, flow));
}

const typeOf = (headers) => headers.find(([name]) => name.toLowerCase() === "content-type")?.[1];
const sent = (letter) => [given(letter.body, typeOf(letter.headers)), folded(letter.headers)];
const answered = (letter) => [given(letter.answer_body, typeOf(letter.answer_headers)), folded(letter.answer_headers)];

/** What was sent and answered, with credentials and secret fields. It is asked for when it is unfolded. */
function whole(id, signal) {
  const inside = h("div", {});
  const fold = h("details", { class: "head" }, h("summary", {}, "As it was sent and answered, with all secrets"), inside);
  let isAsked = false;
  fold.addEventListener("toggle", async () => {
    if (!fold.open || isAsked) return;
    isAsked = true;
    put(inside, loading());
    try {
      const letter = await api.get(`/system/queue/dead-letters/${encodeURIComponent(id)}?masked=false`, signal);
      put(inside, sent(letter), letter.answer_body === null ? null : [h("h3", {}, "Last answer"), answered(letter)]);
    } catch (error) {
      if (error.name === "AbortError") return;
      isAsked = false;
      put(inside, h("p", { class: "bad" }, api.sentence(error)));
    }
  });
  return fold;
}
