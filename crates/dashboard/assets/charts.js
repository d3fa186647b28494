// Small charts of the last hour, one bar for each minute. The last bar of figures that add up is that of a minute that is not over, so it
// is only outlined: it would look as if there were fewer than before.

import { h, put, s, setText } from "./dom.js";
import { count } from "./format.js";

const WIDTH = 4;
const HEIGHT = 44;
const MINUTES = 60;

const clock = (ms) => {
  const date = new Date(ms);
  return `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;
};

/**
 * A chart with this name. `bring(at, all, bad)` shows the figures of the last minutes, of which the last one is that of the time `at`; `bad` says
 * how many of them failed. `sum` is whether figures add up during a minute, as those of calls do and those of a depth do not.
 */
export function chart(name, { sum = true } = {}) {
  const now = h("span", { class: "chart-now" }, "–");
  const told = h("span", { class: "quiet" });
  const isOpen = (index) => sum && index === MINUTES - 1;
  const bars = Array.from({ length: MINUTES }, (_, index) => ["bar-all", "bar-bad"].map((name) =>
    s("rect", { class: isOpen(index) ? `${name} bar-open` : name, x: index * WIDTH, width: WIDTH - 1, y: HEIGHT, height: 0 })));
  const pointed = s("rect", { class: "bar-pointed", x: 0, width: WIDTH, y: 0, height: HEIGHT, visibility: "hidden" });
  const picture = s("svg", {
    class: "chart", viewBox: `0 0 ${MINUTES * WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": name,
  }, pointed, bars, s("path", { class: "axis", d: `M0 ${HEIGHT - 0.5}H${MINUTES * WIDTH}` }));
  const element = h("figure", { class: "chart-of" }, h("figcaption", {}, h("span", {}, name), now), picture, told);
  let shown = null;
  let pointedAt = null;

  function summary() {
    if (shown === null) return "";
    const { all, bad } = shown;
    const most = Math.max(...all);
    const failed = bad.reduce((whole, one) => whole + one, 0);
    const whole = all.reduce((whole, one) => whole + one, 0);
    if (most === 0) return "none in the last hour";
    const figures = sum ? `${count(whole)} in the last hour` : `at most ${count(most)} in the last hour`;
    return failed > 0 ? `${figures}, ${count(failed)} failed` : figures;
  }

  function tell() {
    if (shown === null) return;
    const { at, all, bad } = shown;
    setText(now, sum ? `${count(all[MINUTES - 1])} so far` : count(all[MINUTES - 1]));
    pointed.setAttribute("visibility", pointedAt === null ? "hidden" : "visible");
    if (pointedAt === null) {
      put(told, summary());
      told.classList.toggle("bad", bad.some((one) => one > 0));
    } else {
      pointed.setAttribute("x", pointedAt * WIDTH - 0.5);
      const failed = bad[pointedAt] > 0 ? `, ${count(bad[pointedAt])} failed` : "";
      const soFar = isOpen(pointedAt) ? " so far" : "";
      put(told, `${clock(at - (MINUTES - 1 - pointedAt) * 60_000)}: ${count(all[pointedAt])}${soFar}${failed}`);
    }
    picture.setAttribute("aria-label", `${name}: ${count(all[MINUTES - 1])} ${sum ? "in this minute, which is not over" : "now"}, ${summary()}`);
  }

  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const index = Math.floor((event.clientX - box.left) / box.width * MINUTES);
    pointedAt = Math.min(MINUTES - 1, Math.max(0, index));
    tell();
  });
  picture.addEventListener("pointerleave", () => {
    pointedAt = null;
    tell();
  });

  function bring(at, all, bad = all.map(() => 0)) {
    shown = { at, all, bad };
    const most = Math.max(1, ...all, ...bad);
    bars.forEach(([of, failed], index) => {
      // The smallest figure is seen, too.
      const high = (value) => (value === 0 ? 0 : Math.max(2, value / most * (HEIGHT - 2)));
      for (const [bar, value] of [[of, all[index]], [failed, bad[index]]]) {
        const height = high(value ?? 0);
        bar.setAttribute("height", height.toFixed(1));
        bar.setAttribute("y", (HEIGHT - height).toFixed(1));
      }
    });
    tell();
  }

  return { element, bring };
}
