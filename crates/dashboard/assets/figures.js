// The figures of a flow's steps: in its picture, in a table, and in full for the step that is chosen.

import { h, keyed, putIfNew, s, setText } from "./dom.js";
import { count, counted, duration } from "./format.js";
import { answerChip, button, link, parameters, requestPage, section, setParameters, table, when } from "./parts.js";

const took = (ms) => (ms === undefined ? "–" : duration(ms));

/**
 * The part of a page about steps. `drawn(of, picture)` takes the picture of the flow, and `bring(activity)` brings the figures of the last hour.
 */
export function figures(flow) {
  const [element, rows] = table(["Step", { name: "Calls", class: "number" }, { name: "p50", class: "number" }, { name: "p95", class: "number" },
    { name: "Failed", class: "number" }, { name: "In progress", class: "number" }], "Calls of the last hour by step");
  const details = h("div", { class: "step-details", hidden: true });
  const note = h("p", { class: "quiet" });
  const whole = section("Last hour", details, element, note);
  const nodes = new Map();
  let shapes = [];
  let steps = new Map();
  let chosen = Number(parameters().get("step")) || null;

  function choose(number) {
    chosen = number;
    setParameters({ step: number === null ? null : String(number) });
    tell();
    if (number !== null) details.scrollIntoView({ block: "nearest" });
  }

  function drawn(of, picture) {
    // What is inside can be clicked, and an image has nothing inside.
    picture.setAttribute("role", "group");
    shapes = of.shapes.filter((shape) => shape.step !== undefined);
    for (const shape of shapes) {
      const node = picture.querySelector(`[data-step="${shape.step}"]`);
      if (node === null) continue;
      const running = badge(shape.x + shape.width, shape.y + shape.height, "running");
      const failed = badge(shape.x, shape.y + shape.height, "failed");
      // Beside the node and not in it, because they are no part of its name.
      picture.append(running.element, failed.element);
      node.setAttribute("tabindex", "0");
      node.setAttribute("role", "button");
      node.classList.add("can-choose");
      node.addEventListener("click", () => choose(shape.step));
      node.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        choose(shape.step);
      });
      nodes.set(shape.step, { node, running, failed });
    }
    tell();
  }

  function tell() {
    for (const shape of shapes) {
      const of = nodes.get(shape.step);
      const step = steps.get(shape.step);
      of?.running.bring(step?.in_progress ?? 0);
      of?.failed.bring(step?.failures ?? 0);
      of?.node.classList.toggle("chosen", shape.step === chosen);
      of?.node.setAttribute("aria-pressed", String(shape.step === chosen));
      if (!of) continue;
      const words = `${shape.name}: ${step ? inWords(step) : shape.kind === "call" ? "no calls in the last hour" : "not measured"}`;
      of.node.setAttribute("aria-label", words);
      setText(of.node.querySelector("title"), words);
    }
    const listed = shapes.filter((shape) => shape.kind === "call").sort((one, other) => one.step - other.step);
    element.hidden = listed.length === 0;
    setText(note, listed.length === 0 ? "" : "Calls that the gateway has forwarded for each step, until the answer begins. Each attempt counts.");
    const isTwice = (name) => listed.filter((shape) => shape.name === name).length > 1;
    keyed(rows, listed, (shape) => shape.step, (shape) => makeRow(shape, isTwice(shape.name), choose), (row, shape) => row.bring(steps.get(shape.step), shape.step === chosen));
    const shape = shapes.find((shape) => shape.step === chosen);
    details.hidden = shape === undefined;
    if (shape) {
      putIfNew(details, shape, () => {
        const [parts, bringDetails] = detailsOf(flow, shape, () => choose(null));
        details.bring = bringDetails;
        return parts;
      });
      details.bring(steps.get(chosen));
    }
  }

  function bring(activity) {
    steps = new Map(activity.steps.map((step) => [step.step, step]));
    tell();
  }

  return { element: whole, drawn, bring };
}

const inWords = (step) => `${counted(step.calls, "call")} in the last hour, p50 ${took(step.p50_ms)}, p95 ${took(step.p95_ms)}, `
  + `${count(step.failures)} failed, ${count(step.in_progress)} in progress`;

/** A number at the corner of a node, which is there if it is not 0. */
function badge(x, y, kind) {
  const text = s("text", { x, y: y + 4, "text-anchor": "middle" });
  const back = s("rect", { rx: 8, y: y - 8, height: 16 });
  const element = s("g", { class: `badge ${kind}`, visibility: "hidden", "aria-hidden": "true" }, back, text);
  return {
    element,
    bring(number) {
      element.setAttribute("visibility", number > 0 ? "visible" : "hidden");
      const shown = number > 999 ? "999+" : String(number);
      setText(text, shown);
      const width = 10 + 7 * shown.length;
      back.setAttribute("width", width);
      back.setAttribute("x", x - width / 2);
    },
  };
}

function makeRow(shape, isTwice, choose) {
  const cells = ["Calls", "p50", "p95", "Failed", "In progress"].map((label) => h("td", { class: "number", "data-label": label }));
  const name = button(shape.name, () => choose(shape.step), { class: "as-link" });
  // Several steps can call the same function.
  const row = h("tr", {}, h("td", { class: "first" }, name, isTwice ? h("span", { class: "quiet" }, ` step ${shape.step}`) : null), cells);
  row.bring = (step, isChosen) => {
    name.setAttribute("aria-pressed", String(isChosen));
    row.classList.toggle("chosen", isChosen);
    const values = step ? [count(step.calls), took(step.p50_ms), took(step.p95_ms), count(step.failures), count(step.in_progress)]
      : ["0", "–", "–", "0", "0"];
    cells.forEach((cell, index) => setText(cell, values[index]));
    cells[3].classList.toggle("bad", (step?.failures ?? 0) > 0);
  };
  return row;
}

/** What there is to know about a step, and a function that brings its figures. */
function detailsOf(flow, shape, close) {
  const options = shape.options ?? [];
  const words = h("p", {});
  const [list, rows] = table([{ name: "When", class: "when" }, "Request", "Answer", { name: "Took", class: "number" }], "Latest failures");
  const failed = h("div", { hidden: true }, h("h3", {}, "Latest failures"), list);
  const parts = [
    h("div", { class: "status-line" }, h("h3", {}, shape.name), h("p", { class: "words quiet" }, `step ${shape.step}`), button("Close", close, { class: "small" })),
    words,
    options.length > 0 ? h("ul", { class: "options" }, options.map((option) => h("li", {}, option)))
      : h("p", { class: "quiet" }, "It has no options of its own."),
    failed,
  ];
  const bring = (step) => {
    setText(words, step ? `${inWords(step)}.` : shape.kind === "call" ? "No calls in the last hour."
      : "It calls no function, so the gateway measures nothing.");
    const failures = step?.latest_failures ?? [];
    failed.hidden = failures.length === 0;
    keyed(rows, failures, (one) => `${one.at_ms} ${one.request} ${one.duration_ms}`, (one) => makeFailure(flow, one), () => {});
  };
  return [parts, bring];
}

function makeFailure(flow, { at_ms: at, request, status, duration_ms: ms }) {
  return h("tr", {}, h("td", { class: "when" }, when(at)),
    h("td", { class: "id" }, request ? link(requestPage(flow, request), request) : "–"),
    h("td", {}, answerChip(status)), h("td", { class: "number", "data-label": "Took" }, duration(ms)));
}
