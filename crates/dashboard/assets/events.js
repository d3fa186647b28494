// Hears what happens at the gateway, while the page is visible.

// How long to wait until the next attempt if there are no events: at first, and at most.
const AGAIN = 2000;
const AGAIN_AT_MOST = 60_000;

const listeners = new Set();
let source = null;
let last = "";
let isOpen = false;
let retrying;
let pause = AGAIN;

/** Whether events come at the moment. */
export const isConnected = () => isOpen;

/**
 * Calls `happened(event, isSnapshot)` for each event until the page is left. A snapshot says that anything may have changed.
 * `connected()` is called when events begin or no longer come.
 */
export function hear(signal, happened, connected = () => {}) {
  const listener = { happened, connected };
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener), { once: true });
  connect();
}

/** Whether an event is about a flow: a request of it has changed, or an invocation of it has ended. */
export const isAbout = (event, flow) => Boolean(
  event.requests?.some((one) => one.flow === flow)
  || event.changed?.some((one) => one.flow === flow)
  || event.calls?.some((one) => one.function === flow));

function opened(now) {
  if (isOpen === now) return;
  isOpen = now;
  document.documentElement.dataset.events = now ? "on" : "off";
  for (const { connected } of [...listeners]) connected();
}

function told(message, isSnapshot) {
  last = message.lastEventId;
  const event = JSON.parse(message.data);
  for (const { happened } of [...listeners]) happened(event, isSnapshot);
}

function connect() {
  clearTimeout(retrying);
  if (source !== null || document.hidden || listeners.size === 0) return;
  const after = last === "" ? "" : `?after=${encodeURIComponent(last)}`;
  source = new EventSource(`${location.origin}/system/events${after}`);
  source.addEventListener("open", () => {
    pause = AGAIN;
    opened(true);
  });
  source.addEventListener("snapshot", (message) => told(message, true));
  source.addEventListener("change", (message) => told(message, false));
  source.addEventListener("error", () => {
    opened(false);
    // Otherwise the browser connects again by itself.
    if (source.readyState === EventSource.CLOSED) {
      source = null;
      retrying = setTimeout(connect, pause);
      pause = Math.min(2 * pause, AGAIN_AT_MOST);
    }
  });
}

// A browser has few connections to one server, so a page that nobody sees gives up its own.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    connect();
    return;
  }
  source?.close();
  source = null;
  opened(false);
});
