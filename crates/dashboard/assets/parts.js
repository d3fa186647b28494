// Parts that several pages have.

import { h, keyed, put, setText } from "./dom.js";
import { ago, exact, look } from "./format.js";
import { say } from "./live.js";

/** A status as a mark and a word. */
export function chip(status) {
  const element = h("span", { class: "chip" });
  updateChip(element, status);
  return element;
}

export function updateChip(element, status) {
  const [kind, name] = look(status);
  element.className = `chip ${kind}`;
  setText(element, name);
}

/** The mark of the status of an answer. */
export const answerChip = (status) => {
  const mark = chip("");
  mark.className = `chip ${status === null ? "quiet" : status < 400 ? "good" : "bad"}`;
  setText(mark, status === null ? "No answer" : `Status ${status}`);
  return mark;
};

/** A time as "3 s ago", with the exact time when one points at it. */
export function when(ms) {
  const element = h("time", { class: "ago" });
  updateWhen(element, ms);
  return element;
}

// Times grow older while nothing else changes.
setInterval(() => {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time.ago")) setText(element, ago(element.ms));
}, 1000);

export function updateWhen(element, ms) {
  element.ms = ms;
  element.title = exact(ms);
  element.dateTime = new Date(ms).toISOString();
  setText(element, ago(ms));
}

export function button(text, click, attributes = {}) {
  return h("button", { type: "button", ...attributes, on: { click } }, text);
}

/** What to show while nothing is known yet. */
export const loading = () => h("p", { class: "quiet" }, "Loading…");

export const link = (href, ...children) => h("a", { href }, ...children);

/** The addresses of the pages of a flow and of a request. */
export const flowPage = (flow) => `/ui/flows/${encodeURIComponent(flow)}`;
export const requestPage = (flow, id) => `${flowPage(flow)}/requests/${encodeURIComponent(id)}`;

/** A section with a heading. */
export function section(title, ...children) {
  const heading = h("h2", {}, title);
  return h("section", {}, heading, ...children);
}

/**
 * A table with the names of its columns. Returns it and its body. In a narrow window, each row is a card, and the names of the columns are not
 * to be seen; a cell that needs one has it as its `data-label`.
 */
export function table(columns, name) {
  const body = h("tbody", {});
  const heads = columns.map((column) => (typeof column === "string"
    ? h("th", { scope: "col" }, column)
    : h("th", { scope: "col", class: column.class }, column.node ?? column.name)));
  const element = h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": name },
    h("table", {}, h("thead", {}, h("tr", {}, heads)), body));
  return [element, body];
}

/** Asks before something is changed. Resolves to whether to do it. */
export function confirm(title, text, action, isDangerous = false, ...more) {
  return new Promise((done) => {
    const dialog = h("dialog", { "aria-labelledby": "confirm-title" },
      h("h2", { id: "confirm-title" }, title),
      [text].flat().map((line) => h("p", {}, line)),
      more,
      h("div", { class: "actions" },
        button("Cancel", () => dialog.close("")),
        button(action, () => dialog.close("yes"), { class: isDangerous ? "danger" : "primary" })));
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A text that can be copied, such as a command. */
export function copyable(text, what) {
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      say(`${what} is copied.`);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(shown);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      say(`${what} is selected: copy it with the keyboard.`);
    }
  });
  const shown = h("pre", { tabindex: "0" }, text);
  return h("div", { class: "copyable" }, shown, copy);
}

/**
 * A place for log lines with their times, and a function that brings them up to date. Lines that stay are kept, so that somebody can read
 * and select them. New ones are scrolled to if the last one was to be seen.
 */
export function logView() {
  const none = h("p", { class: "quiet", hidden: true }, "No lines.");
  const lost = h("p", { class: "quiet", hidden: true });
  const box = h("div", { class: "log", tabindex: "0", role: "region", "aria-label": "Log", hidden: true });
  let isNew = true;
  const update = (lines, dropped) => {
    none.hidden = lines.length > 0;
    box.hidden = lines.length === 0;
    lost.hidden = !dropped;
    setText(lost, dropped ? `Earlier lines of ${dropped} were dropped.` : "");
    const follows = isNew || box.scrollTop + box.clientHeight >= box.scrollHeight - 4;
    const seen = new Map();
    // The same line can be there several times.
    const numbered = lines.map((line) => {
      const text = JSON.stringify([line.timestamp, line.name, line.text]);
      seen.set(text, (seen.get(text) ?? 0) + 1);
      return [`${text} ${seen.get(text)}`, line];
    });
    keyed(box, numbered, ([key]) => key, ([, line]) => h("div", { class: "line" },
      h("span", { class: "quiet" }, exact(Date.parse(line.timestamp))),
      h("span", { class: "who" }, line.name),
      h("span", { class: "text" }, line.text)), () => {});
    if (follows) box.scrollTo(0, 1e9);
    if (lines.length > 0) isNew = false;
  };
  return [h("div", {}, lost, none, box), update];
}

/** Reads the parameters of the page's URL, and writes them there. */
export const parameters = () => new URLSearchParams(location.search);

export function setParameters(values) {
  const query = parameters();
  for (const [name, value] of Object.entries(values)) {
    if (Array.isArray(value)) {
      query.delete(name);
      for (const one of value) query.append(name, one);
    } else if (value === "" || value === null) query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : ""));
}

/** What a page keeps with its entry in the history, so that it is there again after Back and after a reload. */
export const kept = (name) => history.state?.[name];

export function keep(values) {
  history.replaceState({ ...history.state, ...values }, "");
}
