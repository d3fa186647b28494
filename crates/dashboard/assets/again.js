// Runs a request again: with the same input, or with an edited one in the form of its flow.

import * as api from "./api.js";
import { h, put, putIfNew } from "./dom.js";
import { bytes, newId } from "./format.js";
import { headOf, SECRET, sendable, settable } from "./heads.js";
import { button, flowPage, link, requestPage } from "./parts.js";

/** The largest input that is put into the form, in bytes. */
const MOST_TEXT = 20_000;
/** How many of the requests that repeat one are listed. */
const LISTED = 5;

/** Asks how to run a request again. Resolves to "same", "edited" or "". */
function choose() {
  return new Promise((done) => {
    const dialog = h("dialog", { "aria-labelledby": "again-title" },
      h("h2", { id: "again-title" }, "Run this request again?"),
      h("p", {}, "A new request begins with the body, the content type, the headers and the query of this one, as they were recorded. "
        + "It begins with the definition that is deployed now, and everything is executed anew. Nobody is called back."),
      h("p", {}, "To change the input first, edit it in the form of the flow."),
      h("div", { class: "actions" },
        button("Cancel", () => dialog.close("")),
        button("Edit the input…", () => dialog.close("edited")),
        button("With the same input", () => dialog.close("same"), { class: "primary" })));
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * A button that runs a request again, and a function that is called with what the flow says about the request. `done` is where the page
 * says what came of it, and `go` leads to another page.
 */
export function again(flow, id, done, go, signal) {
  // If an answer gets lost, the next click asks with the same id, so that the request begins once.
  let unanswered = null;
  let isAsking = false;
  const run = async () => {
    if (isAsking) return;
    const how = await choose();
    if (signal.aborted || how === "") return;
    if (how === "edited") {
      go(`${flowPage(flow)}?repeats=${encodeURIComponent(id)}`);
      return;
    }
    isAsking = true;
    unanswered ??= newId();
    try {
      const begun = await api.post(`${api.requestPath(flow, id)}/again?id=${encodeURIComponent(unanswered)}`);
      unanswered = null;
      put(done, h("p", {}, "It runs again as ", link(requestPage(flow, begun.id), begun.id), "."));
      await origins.look();
    } catch (error) {
      if (error.name === "AbortError") return;
      // After a refusal for good, nothing has begun. Otherwise it may have.
      if (api.isForGood(error)) unanswered = null;
      put(done, h("p", { class: "bad" }, error.status === 404 && error.code === null
        ? "This flow was built with a version of Faasflow that cannot run requests again." : api.sentence(error)));
    } finally {
      isAsking = false;
    }
  };
  const start = button("Run again…", run);
  const origins = related(flow, id, signal);
  return [start, origins];
}

/** What a request repeats, and what repeats it. */
function related(flow, id, signal) {
  const element = h("p", { class: "quiet", hidden: true });
  let original;
  let repeats = [];
  let isMore = false;
  const show = () => {
    element.hidden = original === undefined && repeats.length === 0;
    putIfNew(element, [original, repeats, isMore], () => [
      original === undefined ? null : ["It repeats ", link(requestPage(flow, original), original), ". "],
      repeats.length === 0 ? null : ["It was run again as ",
        repeats.map((one, index) => [index > 0 ? ", " : "", link(requestPage(flow, one), one)]), isMore ? ", and as earlier ones" : "", "."],
    ]);
  };
  const look = async () => {
    try {
      const query = new URLSearchParams({ repeats: id, limit: LISTED });
      const found = await api.get(`${api.flowPath(flow)}/requests?${query}`, signal);
      [repeats, isMore] = [found.requests.map((one) => one.id), found.cursor !== undefined];
      show();
    } catch {
      // A flow of an older version does not know. The page says less.
    }
  };
  look();
  return { element, look, bring: (request) => { original = request.repeats; show(); } };
}

/**
 * Fills the form of a flow with the input of a request. Returns what the form says about it, what the requests that it starts say about
 * themselves, and why they may not be started yet.
 */
export function editing(flow, id, fill, signal) {
  const note = h("p", { class: "note" }, "Loading the input of ", link(requestPage(flow, id), id), "…");
  const path = api.requestPath(flow, id);
  let isMasked = false;
  let isMissing = false;
  /** Fills in the query and the headers. Returns the content type if it is known, and what to say. */
  const fillHead = async () => {
    const head = await headOf(path, signal);
    if (head === null) return [null, ["Its query and its headers are not shown, so type those that are needed."]];
    const { query, headers, said } = sendable(head);
    const value = (wanted) => headers.find(([name]) => name === wanted)?.[1];
    // The form adds one question mark, and removes one.
    fill.query(query.startsWith("?") ? `?${query}` : query);
    const wait = value("prefer")?.match(/^wait=(\d+)$/)?.[1];
    if (wait !== undefined) fill.wait(wait);
    // These two have fields of their own.
    const others = headers.filter(([name]) => name !== "content-type" && !(name === "prefer" && wait !== undefined));
    const own = settable(others);
    fill.headers(own);
    if (own.length < others.length) said.push("Headers that only a browser sets are left out.");
    return [value("content-type") ?? "", said];
  };
  /** Fills in the body and its content type, if that is not known yet. Returns what to say. */
  const fillBody = async (type) => {
    const answer = await api.ask(`${path}/input`, signal);
    isMasked = answer.headers.get("X-Faasflow-Masked") === "true";
    isMissing = true;
    fill.type(type ?? answer.headers.get("Content-Type") ?? "");
    const length = Number(answer.headers.get("Content-Length") ?? 0);
    if (length > MOST_TEXT) {
      await answer.body?.cancel();
      return `The input has ${bytes(length)}, which is too much for this form: choose a file as the body.`;
    }
    const content = new Uint8Array(await answer.arrayBuffer());
    let text;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
    } catch {
      return "The input is not text: choose a file as the body.";
    }
    if (content.length > MOST_TEXT || text.includes("\r")) return "A form would not keep this input as it is: choose a file as the body.";
    if (isMasked && !text.includes(SECRET)) {
      isMasked = false;
      // The content type of the answer is that of the sentence in it.
      fill.type(type ?? "");
      return "The input is not shown, because the flow has secret fields and the input is not JSON: type it.";
    }
    isMissing = false;
    fill.body(text);
    return isMasked ? `Values of secret fields are shown as ${SECRET}: type them.` : "";
  };
  (async () => {
    try {
      const [type, said] = await fillHead();
      const words = [await fillBody(type), ...said].filter((sentence) => sentence !== "");
      put(note, "This runs ", link(requestPage(flow, id), id), " again with an edited input. ", words.join(" "));
    } catch (error) {
      if (error.name === "AbortError") return;
      put(note, "This runs ", link(requestPage(flow, id), id), ` again with an edited input. The input cannot be shown: ${api.sentence(error)}`);
    }
    note.closest("details")?.scrollIntoView({ block: "start" });
  })();
  return {
    note,
    headers: [["X-Faasflow-Repeats", id]],
    /** Why this body cannot be sent; `null` if it can. */
    fault: (body) => {
      if (isMissing && body === "") return "The input of the other request is not in this form: choose a file, or type a body.";
      return isMasked && body.includes(SECRET) ? `The body still has ${SECRET} where the value of a secret field belongs: type the value.` : null;
    },
  };
}
