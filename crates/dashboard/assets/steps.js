// The steps of deliveries over time, and each of their calls.

import { WIDTH, barOf, draw, placed } from "./bars.js";
import { h, keyed, put, setText } from "./dom.js";
import { count, counted, duration, exact, within } from "./format.js";

const plain = (name) => name.replaceAll("`", "");

/** What came of a call, in words. */
const answerOf = ({ status, text }) => String(status ?? text ?? "no answer");

/**
 * The parts of a bar for a step: its calls and the waiting between them, or the step as a whole if it calls nothing. The last call is drawn as
 * `failed` if the step has failed, and otherwise as `done`.
 */
function partsOfStep({ name, began_ms: began, done_ms: ended, failed: hasFailed, calls = [], earlier_calls: earlier = 0 }, done, failed) {
  const kind = hasFailed ? failed : done;
  if (calls.length === 0) return [{ kind, from: began, to: ended, title: plain(name) }];
  const before = { kind: "again", from: began, to: calls[0].began_ms, title: `${plain(name)}: ${counted(earlier, "earlier call")}` };
  const parts = calls.flatMap((call, index) => {
    const isLast = index === calls.length - 1;
    const parts = [{ kind: isLast ? kind : "again", from: call.began_ms, to: call.done_ms, title: `${plain(name)}: ${answerOf(call)}` }];
    if (index > 0) parts.unshift({ kind: "idle", from: calls[index - 1].done_ms, to: call.began_ms, title: `${plain(name)}: waiting for another call` });
    return parts;
  });
  // Of many calls, only the last ones are known.
  return earlier > 0 ? [before, ...parts] : parts;
}

/**
 * The parts of the bar of a delivery, or none if its steps do not tell all of it: some are not listed, or it failed after them. Those in
 * branches and items are one part, because they overlap.
 */
export function partsOfSteps(steps = [], unlisted = 0, kind) {
  const isGood = ["done", "recovered"].includes(kind);
  if (unlisted > 0 || (!isGood && kind !== "gave" && !steps.some((step) => step.failed))) return [];
  const [done, failed] = [kind === "gave" ? "gave" : "done", isGood ? "again" : kind];
  const inside = steps.filter(({ branch }) => branch !== undefined);
  const parts = steps.filter(({ branch }) => branch === undefined).flatMap((step) => partsOfStep(step, done, failed));
  if (inside.length > 0) {
    const [from, to] = [Math.min(...inside.map((step) => step.began_ms)), Math.max(...inside.map((step) => step.done_ms))];
    const title = `${counted(inside.length, "step")} in branches and items`;
    parts.push({ kind: inside.some((step) => step.failed) ? failed : done, from, to, title });
  }
  return parts.sort((one, other) => one.from - other.from);
}

/** How often functions were called, if one was called more than once. */
export function callsOf({ step_times: steps = [], unlisted_steps: unlisted = 0 }) {
  const numbers = steps.map(({ calls = [], earlier_calls: earlier = 0 }) => calls.length + earlier);
  if (!numbers.some((number) => number > 1)) return "";
  return `${unlisted > 0 ? "at least " : ""}${counted(numbers.reduce((sum, number) => sum + number, 0), "call")}`;
}

/** The deliveries of a place that tell their steps, also those of earlier generations, the last one first. */
function deliveriesOf(place) {
  const told = [...(place.earlier ?? []), place].flatMap((one) => [
    ...(one.given_up ?? []).map((attempt) =>
      ({ steps: attempt.step_times, unlisted: attempt.unlisted_steps, from: attempt.began_ms, to: attempt.given_up_ms, isGivenUp: true, generation: one.generation })),
    { steps: one.step_times, unlisted: one.unlisted_steps, from: one.last_began_ms, to: one.done_ms, isGivenUp: false, generation: one.generation },
  ]);
  return told.filter(({ steps }) => steps !== undefined).reverse();
}

/** The steps of each delivery of a place, with their calls, and a function that brings them up to date. */
export function stepsOf() {
  const latest = h("div", {});
  const before = h("div", {});
  const summary = h("summary", { class: "quiet" });
  const earlier = h("details", {}, summary, before);
  const element = h("div", {}, latest, earlier);
  const bring = (place) => {
    const [last, ...others] = deliveriesOf(place);
    element.hidden = last === undefined;
    if (element.hidden) return;
    keyed(latest, [last], ({ to }) => String(to), delivery, () => {});
    earlier.hidden = others.length === 0;
    setText(summary, `Steps of ${counted(others.length, "earlier delivery", "earlier deliveries")}`);
    keyed(before, others, ({ to }) => String(to), delivery, () => {});
  };
  return [element, bring];
}

/** The steps of a delivery that has ended, so they do not change. */
function delivery({ steps, unlisted = 0, from, to, isGivenUp, generation }) {
  const begin = Math.min(from, ...steps.map((step) => step.began_ms));
  const end = Math.max(to, begin + 1, ...steps.map((step) => step.done_ms));
  const scale = (ms) => (ms - begin) / (end - begin) * WIDTH;
  const inOrder = [...steps].sort((one, other) =>
    one.began_ms - other.began_ms || (one.branch ?? "").localeCompare(other.branch ?? "", "en", { numeric: true }));
  return h("div", {},
    h("h3", {}, `Steps${isGivenUp ? ` of the delivery that was given up at ${exact(to)}` : ""}${generation === undefined ? "" : ` in generation ${generation}`}`),
    h("ol", { class: "steps" }, inOrder.map((step) => row(step, scale, isGivenUp))),
    unlisted > 0 ? h("p", { class: "quiet" }, `${counted(unlisted, "more step")} not listed. Those that failed are kept first, then those in no branch or item.`) : null);
}

/** A step: what it is, what came of its calls, and when they were. */
function row(step, scale, isGivenUp) {
  const { name, branch, began_ms: began, done_ms: done, failed, calls = [], earlier_calls: earlier = 0 } = step;
  const words = calls.map((call) => `${answerOf(call)} after ${duration(call.done_ms - call.began_ms)}`);
  if (earlier > 0) words.unshift(`${count(earlier)} earlier`);
  const isSimple = calls.length === 1 && earlier === 0;
  const answers = isSimple ? answerOf(calls[0]) : calls.length > 0 ? `calls: ${words.join(", ")}` : "";
  const bar = barOf();
  put(bar, partsOfStep(step, isGivenUp ? "gave" : "done", isGivenUp ? "gave" : "failed").map((part) => draw(...placed(part, scale))));
  return h("li", {},
    h("span", { class: "step" }, branch === undefined ? null : h("span", { class: "path" }, `${within(branch.split("/"))} › `), plain(name)),
    h("span", { class: "quiet" }, [`${failed ? "failed after " : ""}${duration(done - began)}`, answers].filter(Boolean).join(" · ")),
    bar);
}
