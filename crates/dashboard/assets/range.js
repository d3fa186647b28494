// The choice of when requests began: in a time until now, or between two times.

import { h, setText } from "./dom.js";

export const SINCE = [["", "At any time"], ["15m", "In the last 15 minutes"], ["1h", "In the last hour"], ["24h", "In the last 24 hours"], ["168h", "In the last 7 days"]];
const BETWEEN = "between";

/** A time in milliseconds, as a filter has it; `null` if it is another text. */
export const timeOf = (text) => (/^\d{1,15}$/.test(text) ? Number(text) : null);

/** A time as the field shows it: that of the reader's clock. */
function local(text) {
  const ms = timeOf(text);
  return ms === null ? "" : new Date(ms - 60_000 * new Date(ms).getTimezoneOffset()).toISOString().slice(0, 19);
}

/** A list of spans, and two fields for a beginning and an end. `change(filters)` is told what was chosen. */
export function rangeOf({ since, until }, change) {
  const isBetween = until !== "" || timeOf(since) !== null;
  const known = isBetween || SINCE.some(([value]) => value === since) ? SINCE : [...SINCE, [since, `In the last ${since}`]];
  const chosen = isBetween ? BETWEEN : since;
  const select = h("select", { "aria-label": "When it began", on: { change: choose } },
    [...known, [BETWEEN, "Between…"]].map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  const field = (text) => h("input", { type: "datetime-local", step: "1", value: local(text), on: { change: bring } });
  const [from, to] = [field(since), field(until)];
  const fault = h("span", { class: "bad", role: "alert" });
  const between = h("div", { class: "between", role: "group", "aria-label": "Between two times", hidden: !isBetween },
    h("label", { class: "check" }, "From", from), h("label", { class: "check" }, "before", to), fault);

  function choose() {
    between.hidden = select.value !== BETWEEN;
    if (between.hidden) change({ since: select.value, until: "" });
    else bring();
  }

  function bring() {
    // A time of which only a part was entered is no time yet.
    if (from.validity.badInput || to.validity.badInput) return;
    const [since, until] = [from, to].map(({ value }) => (value === "" ? "" : String(new Date(value).getTime())));
    const isEmpty = since !== "" && until !== "" && Number(since) >= Number(until);
    setText(fault, isEmpty ? "No time is between them: the first one must be earlier." : "");
    if (!isEmpty) change({ since, until });
  }

  return [select, between];
}
