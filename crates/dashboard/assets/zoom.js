// The frame around the picture of a flow: it scrolls, and buttons make the picture larger and smaller.

import { h, put, setText } from "./dom.js";
import { button, keep, kept, loading, parameters, setParameters } from "./parts.js";

/** The sizes that the buttons go through, in percent. */
const SIZES = [25, 33, 50, 67, 80, 100, 125, 150, 200, 300, 400];
/** A picture that nobody has zoomed is made to fit, but not smaller than this, so that its texts can be read. */
const LEAST = 60;
/** How long to wait for more scrolling before its position is kept, in milliseconds. */
const SCROLLING = 150;

/** What a reader should see first of a picture that is larger than its frame. */
const SEEN_FIRST = ["failed", "replied", "retrying", "running", "waiting"].map((status) => `[data-step].at-${status}`);

/**
 * A frame for the picture of a flow. `show(picture)` puts it there, and `bringIntoView()` scrolls to what matters in it if nobody has
 * scrolled. The size is in the URL. The scroll position is kept with the entry in the history, like that of the page.
 */
export function zoomable(signal) {
  const frame = h("div", { class: "picture-of-flow", tabindex: "0", role: "region", "aria-label": "The flow as a picture" }, loading());
  const smaller = button("−", () => step(-1), { class: "small", "aria-label": "Zoom out" });
  const larger = button("+", () => step(1), { class: "small", "aria-label": "Zoom in" });
  const fit = button("Fit", () => resize("fit"), { class: "small", "aria-label": "Fit the width", "aria-pressed": "false" });
  const told = h("span", { class: "quiet" });
  const tools = h("div", { class: "zoom", role: "group", "aria-label": "Size of the picture", hidden: true }, smaller, larger, fit, told);
  const element = h("div", { class: "framed" }, tools, frame);
  const given = parameters().get("zoom") ?? "";
  /** A size in percent or `fit`; empty until the reader chooses one. */
  let size = given === "fit" ? given : SIZES.includes(Number(given)) ? Number(given) : "";
  /** Where the reader has scrolled to. */
  let scroll = kept("picture");
  /** Where `bringIntoView` has scrolled to, until the reader scrolls. */
  let brought = null;
  let picture = null;
  let natural = [1, 1];
  let percent = 100;
  /** Whether the picture has been drawn. A frame that is hidden has no size. */
  let isDrawn = false;

  const toFit = () => {
    const { paddingLeft, paddingRight } = getComputedStyle(frame);
    return Math.min(100, (frame.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight)) / natural[0] * 100);
  };

  function step(by) {
    const next = by > 0 ? SIZES.find((one) => one > percent + 0.5) : SIZES.findLast((one) => one < percent - 0.5);
    if (next !== undefined) resize(next);
  }

  function resize(to) {
    size = to;
    setParameters({ zoom: String(to) });
    // What is in the middle stays there.
    const middle = [frame.scrollLeft + frame.clientWidth / 2, frame.scrollTop + frame.clientHeight / 2];
    const before = percent;
    draw();
    frame.scrollTo(...[frame.clientWidth, frame.clientHeight].map((length, axis) => middle[axis] * percent / before - length / 2));
    scroll = [frame.scrollLeft, frame.scrollTop];
  }

  function draw() {
    if (picture === null || frame.clientWidth === 0) return;
    percent = typeof size === "number" ? size : size === "fit" ? toFit() : Math.max(LEAST, toFit());
    picture.setAttribute("width", natural[0] * percent / 100);
    picture.setAttribute("height", natural[1] * percent / 100);
    setText(told, `${Math.round(percent)} %`);
    // A button that is disabled would lose the focus.
    smaller.setAttribute("aria-disabled", String(percent <= SIZES[0]));
    larger.setAttribute("aria-disabled", String(percent >= SIZES.at(-1)));
    fit.setAttribute("aria-pressed", String(size === "fit"));
    if (!isDrawn && scroll) frame.scrollTo(...scroll);
    isDrawn = true;
  }

  function show(shown) {
    picture = shown;
    natural = ["width", "height"].map((name) => Number(picture.getAttribute(name)));
    put(frame, picture);
    tools.hidden = false;
    draw();
  }

  /** Scrolls to what is coloured, once. */
  function bringIntoView() {
    if (!isDrawn) draw();
    if (scroll || brought || !isDrawn || (frame.scrollWidth <= frame.clientWidth && frame.scrollHeight <= frame.clientHeight)) return;
    const first = SEEN_FIRST.map((name) => picture.querySelector(name)).find((one) => one !== null);
    if (!first) return;
    const [inside, around] = [first.getBoundingClientRect(), frame.getBoundingClientRect()];
    frame.scrollBy(inside.left + inside.width / 2 - around.left - around.width / 2, inside.top + inside.height / 2 - around.top - around.height / 2);
    brought = [frame.scrollLeft, frame.scrollTop];
  }

  /** Shows why there is no picture. */
  function fail(text) {
    put(frame, h("p", { class: "quiet" }, text));
  }

  let noted;
  frame.addEventListener("scroll", () => {
    // This is what `bringIntoView` has done.
    if (!scroll && brought?.[0] === frame.scrollLeft && brought[1] === frame.scrollTop) return;
    clearTimeout(noted);
    noted = setTimeout(() => {
      if (signal.aborted || !isDrawn) return;
      scroll = [frame.scrollLeft, frame.scrollTop];
      keep({ picture: scroll });
    }, SCROLLING);
  }, { passive: true });
  const resized = new ResizeObserver(() => {
    if (typeof size !== "number" || !isDrawn) draw();
    bringIntoView();
  });
  resized.observe(frame);
  signal.addEventListener("abort", () => { resized.disconnect(); clearTimeout(noted); }, { once: true });

  return { element, show, fail, bringIntoView };
}
