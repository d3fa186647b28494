// Bars that show when something happened, made of parts.

import { s } from "./dom.js";

/** The width of a bar, in the units of its picture. */
export const WIDTH = 1000;
/** The parts in which something waits. They are thin, and may be as short as they are. */
const THIN = ["queue", "slot", "idle"];

/** An empty bar, for which `placed` gives parts. */
export const barOf = () => s("svg", { class: "bar-of", viewBox: `0 0 ${WIDTH} 14`, preserveAspectRatio: "none", "aria-hidden": "true" });

/** A part as a shape. */
export function draw({ kind, title }, x, width) {
  const isThin = THIN.includes(kind);
  return s("rect", { class: `at-${kind}`, x, y: isThin ? 5.5 : 2, width, height: isThin ? 3 : 10, rx: isThin ? 0 : 2 }, title ? s("title", {}, title) : null);
}

/** A part on a scale of times: the part, where it begins, and its width. What is not thin is wide enough to be seen. */
export function placed(part, scale) {
  const [begin, end] = [scale(part.from), scale(part.to)];
  const width = Math.max(THIN.includes(part.kind) ? 0 : 4, end - begin);
  return [{ kind: part.kind, title: part.title }, Math.round(Math.max(0, Math.min(begin, WIDTH - width))), Math.round(width)];
}
