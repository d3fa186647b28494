// Draws a flow from the positions that the gateway gives.

import { s, setText } from "./dom.js";
import { count, look } from "./format.js";

const FRAMES = ["phase", "graph", "branch", "foreach", "flow"];
const MARGIN = 8;
const LINE = 16;

/** A drawing, and a function that colours it by the places of a request. */
export function drawing(of, name) {
  const width = of.width + 2 * MARGIN;
  const height = of.height + 2 * MARGIN;
  const marks = new Map();
  const isFrame = (shape) => FRAMES.includes(shape.kind);
  const draw = (shape, index) => {
    const element = draws(shape);
    marks.set(index, element);
    return element;
  };
  // Frames come first, then edges, and then the shapes that cover the ends of edges.
  const numbered = of.shapes.map((shape, index) => [shape, index]);
  const picture = s("svg", {
    class: "flow", viewBox: `${-MARGIN} ${-MARGIN} ${width} ${height}`, width, height, role: "img", "aria-label": `The flow ${name}`,
  },
  numbered.filter(([shape]) => isFrame(shape)).map(([shape, index]) => draw(shape, index)),
  of.edges.map(edge),
  numbered.filter(([shape]) => !isFrame(shape)).map(([shape, index]) => draw(shape, index)));
  return [picture, (request) => colour(of, marks, request)];
}

function draws(shape) {
  const { kind, x, y, width, height, lines } = shape;
  const [right, bottom, center, middle] = [x + width, y + height, x + width / 2, y + height / 2];
  const rect = (left, top, radius, more = {}) => s("rect", { x: left, y: top, width, height, rx: radius, ...more });
  const outlines = {
    dot: () => s("circle", { cx: center, cy: middle, r: width / 2 }),
    choice: () => s("path", { d: `M${x} ${middle}L${center} ${y}L${right} ${middle}L${center} ${bottom}z` }),
    end: () => rect(x, y, height / 2),
    // Two more frames behind it stand for further items.
    foreach: () => [rect(x + 8, y + 8, 8, { class: "behind" }), rect(x + 4, y + 4, 8, { class: "behind" }), rect(x, y, 8)],
  };
  const isFrame = FRAMES.includes(kind);
  const outline = (outlines[kind] ?? (() => rect(x, y, isFrame ? 8 : 5)))();
  const words = lines.map((line, index) => (isFrame
    ? s("text", { class: "note", x: x + 12, y: y + 18 + index * LINE }, line)
    : s("text", { x: center, y: middle + 4, "text-anchor": "middle" }, line)));
  const title = s("title", {}, shape.name || null);
  const told = isFrame ? s("text", { class: "told", x: right - 10, y: kind === "foreach" ? bottom - 10 : y + 18, "text-anchor": "end" }) : null;
  return s("g", { class: `shape ${kind}`, "data-step": shape.step }, title, outline, words, told);
}

function edge({ points, queue, arrow }) {
  const rest = points.map((point) => [...point]);
  const [first] = rest;
  let head = "";
  if (arrow && rest.length > 1) {
    const last = rest[rest.length - 1];
    const before = rest[rest.length - 2];
    const [x, y] = last;
    // The line ends inside the arrowhead, so that its square end does not show.
    if (before[0] === x) {
      head = `M${x} ${y}l-4 -7h8z`;
      last[1] -= 5;
    } else {
      head = `M${x} ${y}l-7 -4v8z`;
      last[0] -= 5;
    }
  }
  let path = `M${first[0]} ${first[1]}`;
  let before = first;
  for (const [x, y] of rest.slice(1)) {
    if (y === before[1]) path += `H${x}`;
    else if (x === before[0]) path += `V${y}`;
    else {
      const half = before[0] + (x - before[0]) / 2;
      path += `C${half} ${before[1]} ${half} ${y} ${x} ${y}`;
    }
    before = [x, y];
  }
  return [
    s("path", { class: queue ? "edge queue" : "edge", d: path }),
    head ? s("path", { class: "head", d: head }) : null,
  ];
}

/** What one wants to see of several places of one phase comes first. */
const ORDER = ["failed", "replied", "retrying", "running", "waiting", "stopped", "recovered", "done"];

/** In a request that has succeeded, what was stopped was not needed. */
function worse(request) {
  const order = ["success", "recovered"].includes(request?.status)
    ? [...ORDER.filter((status) => status !== "stopped"), "stopped"] : ORDER;
  const rank = (status) => (order.includes(status) ? order.indexOf(status) : order.length);
  return (one, other) => (rank(other) < rank(one) ? other : one);
}

function colour(of, marks, request) {
  const worst = worse(request);
  const byPhase = new Map();
  for (const place of request?.places ?? []) {
    const phase = byPhase.get(place.phase) ?? { places: 0, done: 0, status: place.status };
    phase.places += 1;
    if (["done", "recovered"].includes(place.status)) phase.done += 1;
    phase.status = worst(phase.status, place.status);
    byPhase.set(place.phase, phase);
  }
  const failed = request?.reason?.step;
  const frames = of.shapes.filter((shape) => shape.phase !== undefined);
  const items = itemsOf(of, frames, byPhase, request, worst);
  const frameOf = (shape) => (shape.phase !== undefined ? shape : frames.findLast((frame) => inside(shape, frame)));
  const failedShape = of.shapes.find((shape) => shape.step !== undefined && shape.step === failed);
  const failedPhase = failedShape && frameOf(failedShape)?.phase;
  of.shapes.forEach((shape, index) => {
    const element = marks.get(index);
    const frame = frameOf(shape);
    const isPart = shape.step !== undefined || shape.phase !== undefined;
    const phase = isPart ? byPhase.get(frame?.phase) : undefined;
    // In the phase that failed, the steps before the one that did were done, and those after it were not executed.
    const isBeside = shape.step !== undefined && frame?.phase === failedPhase && phase?.places === 1;
    const isAfter = isBeside && shape.step > failed;
    const status = shape.step !== undefined && shape.step === failed ? "failed"
      : isAfter ? undefined : isBeside ? "done" : phase?.status;
    const isLater = request && isPart && (!phase || isAfter);
    element.setAttribute("class", `shape ${shape.kind}${status ? ` at-${status}` : ""}${isLater ? " later" : ""}`);
    const word = status ? look(status)[1] : isLater ? "Not begun" : "";
    setText(element.querySelector("title"), [shape.name, isPart ? word : ""].filter(Boolean).join(": "));
    const told = element.querySelector(".told");
    // Only some of the places in a for-each are known, so its frame has the numbers.
    const isInItems = shape.phase !== undefined && [...items.keys()].some((around) => inside(shape, around));
    const counts = items.get(shape) ?? (phase && phase.places > 1 && shape.phase !== undefined && !isInItems
      ? { done: phase.done, all: phase.places } : null);
    const text = counts ? inNumbers(counts) : "";
    // Beside the name of a small frame there is no room for it.
    const beside = shape.kind === "foreach" ? 0 : shape.lines[0]?.length ?? 0;
    const isRoom = shape.width >= 7.5 * (beside + text.length) + 40;
    if (told) setText(told, isRoom ? text : "");
  });
}

/** How many items are done, and what is to be known about the others. */
function inNumbers({ all, done, failed = 0, running = 0 }) {
  const more = failed > 0 ? `, ${count(failed)} failed` : running > 0 && running < all - done ? `, ${count(running)} in progress` : "";
  return more ? `${count(done)}/${count(all)}${more}` : `${count(done)} of ${count(all)} done`;
}

const inside = (shape, frame) => shape.x >= frame.x && shape.y >= frame.y
  && shape.x + shape.width <= frame.x + frame.width && shape.y + shape.height <= frame.y + frame.height;

/**
 * How many items of each for-each there are, and what has become of them. Items that have ended are not among the places, but are
 * counted at the place that began them. So the phases in a for-each without any get their state from that place.
 */
function itemsOf(of, frames, byPhase, request, worst) {
  const items = new Map();
  for (const shape of of.shapes.filter((shape) => shape.kind === "foreach")) {
    const phases = frames.filter((frame) => inside(frame, shape)).map((frame) => frame.phase);
    const began = (request?.places ?? []).filter((place) => place.members && place.phase < Math.min(...phases));
    const last = Math.max(...began.map((place) => place.phase));
    const counted = { all: 0, waiting: 0, running: 0, done: 0, failed: 0, stopped: 0 };
    for (const place of began.filter((place) => place.phase === last)) {
      for (const name of Object.keys(counted)) counted[name] += place.members[name] ?? 0;
    }
    if (counted.all === 0) continue;
    items.set(shape, counted);
    const status = ["waiting", "running", "done", "failed", "stopped"].filter((name) => counted[name] > 0).reduce(worst);
    for (const phase of phases) {
      if (!byPhase.has(phase)) byPhase.set(phase, { places: 0, done: 0, status });
    }
  }
  return items;
}
