// Shows the page of the URL, and another one without loading everything again when a link is followed.

import * as api from "./api.js";
import { h, put } from "./dom.js";
import { say } from "./live.js";
import { keep, kept, link, requestPage } from "./parts.js";
import * as flow from "./pages/flow.js";
import * as letter from "./pages/letter.js";
import * as overview from "./pages/overview.js";
import * as queue from "./pages/queue.js";
import * as request from "./pages/request.js";
import * as requests from "./pages/requests.js";

const main = document.getElementById("main");
const find = document.getElementById("find");
const findId = document.getElementById("find-id");

const PAGES = [
  [/^\/ui\/$/, overview, "overview"],
  [/^\/ui\/requests$/, requests, "requests"],
  [/^\/ui\/queue$/, queue, "queue"],
  [/^\/ui\/queue\/dead-letters\/([^/]+)$/, letter, "queue"],
  [/^\/ui\/flows\/([^/]+)$/, flow, "overview"],
  [/^\/ui\/flows\/([^/]+)\/requests\/([^/]+)$/, request, "requests"],
];

let leaving = new AbortController();

function show(isFirst) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [match, page, current] = PAGES.map(([path, page, name]) => [location.pathname.match(path), page, name])
    .find(([match]) => match !== null) ?? [];
  for (const item of document.querySelectorAll("nav [data-page]")) {
    if (item.dataset.page === current) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
  say("");
  const words = match && decoded(match.slice(1));
  if (!words) {
    put(main, h("h1", {}, "There is no such page"), h("p", {}, link("/ui/", "Go to the overview")));
    return;
  }
  put(main);
  page.page(main, { words, signal, go });
  const heading = main.querySelector("h1");
  document.title = `${heading?.textContent ?? "Dashboard"} · Faasflow`;
  if (!isFirst) main.focus({ preventScroll: true });
  scrollTo(0, 0);
  scrollBack(kept("scroll") ?? 0, signal);
}

// The browser would scroll before the page has anything to show.
history.scrollRestoration = "manual";

/** How long a page may take to show what it has shown before, and how long what comes later may move it, in milliseconds. */
const FILLS = 5000;
const SETTLES = 600;

/** Scrolls to where the reader was, once the page is long enough, unless the reader scrolls first. */
function scrollBack(to, signal) {
  if (!(to > 0)) return;
  const began = performance.now();
  let reached = null;
  const ends = new AbortController();
  for (const event of ["wheel", "touchstart", "keydown", "pointerdown"]) {
    addEventListener(event, () => ends.abort(), { signal: ends.signal, passive: true });
  }
  const step = () => {
    const now = performance.now();
    const isOver = reached === null ? now - began > FILLS : now - reached > SETTLES;
    if (ends.signal.aborted || signal.aborted || isOver) {
      ends.abort();
      return;
    }
    if (document.documentElement.scrollHeight - innerHeight >= to) {
      reached ??= now;
      scrollTo(0, to);
    }
    requestAnimationFrame(step);
  };
  step();
}

addEventListener("pagehide", () => keep({ scroll: scrollY }));

/** The words in a path; `null` if they are not valid. */
function decoded(words) {
  try {
    return words.map(decodeURIComponent);
  } catch {
    return null;
  }
}

function go(path) {
  keep({ scroll: scrollY });
  history.pushState(null, "", path);
  show(false);
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("a[href^='/ui/']");
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!target || !isPlain || event.defaultPrevented) return;
  event.preventDefault();
  go(target.getAttribute("href"));
});

// The entry that is left keeps where its reader was. It is no longer the current one when the browser says that it was left.
let noted;
addEventListener("scroll", () => {
  clearTimeout(noted);
  noted = setTimeout(() => keep({ scroll: scrollY }), 100);
}, { passive: true });

addEventListener("popstate", () => {
  clearTimeout(noted);
  show(false);
});

// Looks for a request of any flow with this id, for a dead letter with this call id, and then for search keys and labels.
find.addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = findId.value.trim();
  if (id === "") return;
  say("");
  try {
    const flows = await api.get("/system/flows");
    const asked = await Promise.all(flows.map(async (flow) => {
      try {
        await api.getSoon(api.requestPath(flow, id));
        return flow;
      } catch (error) {
        if (api.isAway(error)) throw error;
        return null;
      }
    }));
    const known = asked.filter((flow) => flow !== null);
    if (known.length > 1) {
      findId.value = "";
      go(`/ui/requests?search=${encodeURIComponent(id)}`);
      return;
    }
    if (known.length > 0) {
      findId.value = "";
      go(requestPage(known[0], id));
      return;
    }
    const letters = await api.get("/system/queue/dead-letters?limit=1000").catch(api.orAbsent);
    const dead = !letters.absent && letters.find((letter) => letter.call_id === id);
    if (dead) {
      findId.value = "";
      go(`/ui/queue/dead-letters/${dead.id}`);
      return;
    }
    go(`/ui/requests?search=${encodeURIComponent(id)}`);
  } catch (error) {
    say(api.told(error));
  }
});

// "/" goes to the search box, as on many pages.
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest?.("input, textarea, select, dialog");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    findId.focus();
  }
});

show(true);
main.removeAttribute("aria-busy");
