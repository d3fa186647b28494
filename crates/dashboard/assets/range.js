// The choice of when requests began: in a time until now, or between two times.

import { h, setText } from "./dom.js";
import { time } from "./format.js";

const SINCE = [["", "At any time"], ["15m", "In the last 15 minutes"], ["1h", "In the last hour"], ["24h", "In the last 24 hours"], ["168h", "In the last 7 days"]];
const BETWEEN = "between";
/** The last time that a field can show, in every time zone. No request begins after it. */
const LAST = Date.UTC(9999, 11, 30);

/** A time in milliseconds, as a filter may have it; `null` if it is another text, such as a duration. */
export const timeOf = (text) => (/^\d+$/.test(text) ? Math.min(Number(text), LAST) : null);

/** What to say if no request can begin in a range. */
const NONE = "The second time must be later than the first.";

/** What to say about a year such as 0202, of which more digits may follow. */
const NO_YEAR = "Enter a year from 1970 to 9999.";

/** Whether the end of a range is not after its beginning. Durations are left to the flows, which know the time. */
const isEmptyRange = ({ since, until }) => timeOf(since) !== null && timeOf(until) !== null && Number(since) >= Number(until);

/** What the filters `since` and `until` say, in words that can follow "began". Each is a time or a duration before now. */
export function fromInWords(since) {
  const from = timeOf(since);
  if (from !== null) return `at ${time(from)} or later`;
  const name = SINCE.find(([value]) => value === since)?.[1] ?? `In the last ${since}`;
  return name[0].toLowerCase() + name.slice(1);
}

export function untilInWords(until) {
  const to = timeOf(until);
  return to !== null ? `before ${time(to)}` : `more than ${until} ago`;
}

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
  const [from, to] = [boundOf("From", since, fromInWords), boundOf("before", until, untilInWords)];
  const fault = h("span", { class: "bad", role: "alert" });
  const between = h("div", { class: "between", role: "group", "aria-label": "Between two times", hidden: !isBetween }, from.element, to.element, fault);

  /** A field for one of the two times. What the URL says counts until a time is entered; a duration is shown beside the field. */
  function boundOf(name, given, inWords) {
    let said = isBetween ? given : "";
    const field = h("input", { type: "datetime-local", step: "1", value: local(given), on: { change: () => { if (!field.validity.badInput) forget(); changed(); } } });
    const note = h("span", { class: "quiet" }, said !== "" && timeOf(said) === null ? `(${inWords(said)})` : "");
    const forget = () => {
      said = "";
      setText(note, "");
    };
    const entered = () => new Date(field.value).getTime();
    return {
      element: h("label", { class: "check" }, name, field, note),
      forget,
      isPartial: () => field.validity.badInput,
      hasNoYear: () => field.value !== "" && !(entered() >= 0 && entered() <= LAST),
      filter: () => (said !== "" || field.value === "" ? said : String(entered())),
    };
  }

  function choose() {
    between.hidden = select.value !== BETWEEN;
    if (between.hidden) {
      for (const bound of [from, to]) bound.forget();
      change({ since: select.value, until: "" });
    } else {
      changed();
    }
  }

  function changed() {
    // A time of which only a part was entered is no time yet.
    if (from.isPartial() || to.isPartial()) return;
    if (from.hasNoYear() || to.hasNoYear()) {
      setText(fault, NO_YEAR);
      return;
    }
    const range = { since: from.filter(), until: to.filter() };
    const isEmpty = isEmptyRange(range);
    setText(fault, isEmpty ? `${NONE} The list still shows what was chosen before.` : "");
    if (!isEmpty) change(range);
  }

  // Somebody may have written the URL.
  if (isEmptyRange({ since, until })) setText(fault, NONE);
  return [select, between];
}
