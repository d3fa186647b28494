// Times, sizes and statuses as people read them.

const numbers = new Intl.NumberFormat("en");

export const count = (number) => numbers.format(number);
export const counted = (number, one, many = one + "s") => `${count(number)} ${number === 1 ? one : many}`;

export function duration(ms) {
  if (!Number.isFinite(ms)) return "";
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([length]) => seconds >= length);
  const [length, unit] = parts[first];
  const [smaller, smallUnit] = parts[first + 1];
  const whole = Math.floor(seconds / length);
  const rest = Math.floor((seconds - whole * length) / smaller);
  return rest > 0 ? `${whole} ${unit} ${rest} ${smallUnit}` : `${whole} ${unit}`;
}

/** How long ago something was, in whole seconds, so that it does not change all the time. */
export const ago = (ms, now = Date.now()) => (now - ms < 1000 ? "just now" : `${duration(1000 * Math.floor((now - ms) / 1000))} ago`);

const two = (number) => String(number).padStart(2, "0");

/** The time of day, with the date if it is not today. */
export function time(ms, now = Date.now()) {
  const date = new Date(ms);
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return new Date(now).toDateString() === date.toDateString() ? clock : `${day} ${clock}`;
}

/** The time with milliseconds, as log lines have it. */
export const exact = (ms) => `${time(ms)}.${String(Math.floor(ms % 1000)).padStart(3, "0")}`;

export function bytes(size) {
  if (size < 1024) return counted(size, "byte");
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = size / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** How a status looks, and what it is called. */
const STATUSES = {
  waiting: ["warn", "Waiting"],
  running: ["busy", "Running"],
  retrying: ["warn", "Retrying"],
  "given up": ["bad", "Given up"],
  paused: ["warn", "Paused"],
  parked: ["warn", "Parked"],
  success: ["good", "Succeeded"],
  done: ["good", "Done"],
  recovered: ["good", "Recovered"],
  replied: ["bad", "Replied"],
  failure: ["bad", "Failed"],
  failed: ["bad", "Failed"],
  stopped: ["quiet", "Stopped"],
};

export const look = (status) => STATUSES[status] ?? ["quiet", status];
export const isEnd = (status) => ["success", "recovered", "failure", "stopped"].includes(status);

/** The path of branches and items of a place, in words. */
export const within = (path) => path.map((name) => name.replace(/^item-(\d+)$/, "item $1")).join(" › ");

/** Whether a place has not ended, and may still end. */
export const isOpen = (place) => ["waiting", "running", "retrying"].includes(place.status);

/** Whether a place has not begun. What is paused may have. */
export const hasNotBegun = (place) => place.waits_for !== undefined && place.waits_for.what !== "resume";

/** The names of steps, without the marks that they have in messages. */
export const steps = (place) => place.steps.map((name) => name.replaceAll("`", "")).join(", ") || `phase ${place.phase}, without steps`;

/** A place as people name it: where it is, its steps, and the label of its item. */
export const nameOf = (place) => (place.path.length > 0 ? `${within(place.path)} › ` : "") + steps(place) + (place.label ? ` (${place.label})` : "");

/** A word for a shell, in quotes if it needs any. */
export const shellWord = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** A new id for a request, which nobody can guess. `crypto.randomUUID` exists only at addresses that are secure. */
export function newId() {
  const random = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return random.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
