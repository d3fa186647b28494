// Shows a payload: as text, JSON, a picture or bytes. None of it is ever interpreted as a page or executed.

import { open } from "./api.js";
import { h, put } from "./dom.js";
import { bytes } from "./format.js";
import { button } from "./parts.js";

/** The most that is read of a payload. */
const MOST = 4 << 20;
/** The most that is shown of a text, in characters, and of bytes. */
const MOST_TEXT = 200_000;
const MOST_HEX = 4096;
/** How many entries of a list are shown at first. */
const MOST_ENTRIES = 200;

/** Pictures that have no scripts, and their first bytes. */
const PICTURES = {
  "image/png": [[0x89, 0x50, 0x4e, 0x47]],
  "image/jpeg": [[0xff, 0xd8, 0xff]],
  "image/gif": [[0x47, 0x49, 0x46, 0x38]],
  "image/webp": [[0x52, 0x49, 0x46, 0x46]],
};

/** Reads a body up to a limit, and no further. Returns its bytes, and whether there were more. */
export async function readUpTo(most, answer) {
  const reader = answer.body?.getReader();
  const parts = [];
  let length = 0;
  while (reader && length <= most) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.length;
  }
  await reader?.cancel();
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return { content: all.subarray(0, most), isCut: length > most };
}

function hex(content) {
  const lines = [];
  for (let at = 0; at < Math.min(content.length, MOST_HEX); at += 16) {
    const row = [...content.subarray(at, at + 16)];
    const codes = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${codes.padEnd(47)}  ${letters}`);
  }
  return h("pre", { class: "payload hex", tabindex: "0" }, lines.join("\n"));
}

/** A number as it was written. It may have more digits than a number of the browser. */
class Written {
  constructor(text) {
    this.text = text;
  }
}

/** JSON, with numbers as they were written if the browser tells that. */
const parse = (text) => JSON.parse(text, (name, of, context) =>
  (typeof of === "number" && context?.source !== undefined && String(of) !== context.source ? new Written(context.source) : of));

function value(of) {
  if (of instanceof Written) return h("span", { class: "j-value" }, of.text);
  if (typeof of === "string") return h("span", { class: "j-text" }, JSON.stringify(of));
  return h("span", { class: "j-value" }, String(of));
}

/** A tree of JSON. What is folded is made when it is opened. */
function tree(of, name, depth) {
  const label = name === null ? null : h("span", { class: "j-name" }, `${name}: `);
  if (of === null || typeof of !== "object" || of instanceof Written) return h("div", { class: "j-leaf" }, label, value(of));
  const entries = Object.entries(of);
  const isList = Array.isArray(of);
  const size = isList ? `[${entries.length}]` : `{${entries.length}}`;
  const inside = h("div", { class: "j-inside" });
  const fold = h("details", {}, h("summary", {}, label, h("span", { class: "quiet" }, size)), inside);
  let shown = 0;
  const more = () => {
    const next = entries.slice(shown, shown + MOST_ENTRIES);
    shown += next.length;
    inside.append(...next.map(([key, child]) => tree(child, isList ? Number(key) : key, depth + 1)));
    if (shown < entries.length) {
      const rest = button(`${entries.length - shown} more`, () => { rest.remove(); more(); });
      inside.append(rest);
    }
  };
  fold.addEventListener("toggle", () => { if (fold.open && shown === 0) more(); });
  if (depth < 3 && entries.length <= 50) {
    more();
    fold.open = true;
  }
  return fold;
}

const isPicture = (type, content) =>
  PICTURES[type]?.some((start) => start.every((byte, index) => content[index] === byte)) ?? false;

function asText(content) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    return null;
  }
}

function textBlock(text) {
  return h("pre", { class: "payload", tabindex: "0" }, text.slice(0, MOST_TEXT));
}

function body(type, content, isCut) {
  if (content.length === 0) return h("p", { class: "quiet" }, "It is empty.");
  if (isPicture(type, content) && !isCut) {
    const url = URL.createObjectURL(new Blob([content], { type }));
    const image = h("img", { class: "picture", alt: "The payload as a picture" });
    image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
    image.addEventListener("error", () => image.replaceWith(hex(content)), { once: true });
    image.src = url;
    return image;
  }
  // The last character may be cut in two.
  const text = asText(content) ?? (isCut ? asText(content.subarray(0, content.length - 3)) : null);
  if (text === null) return hex(content);
  if (!isCut && /^application\/([\w.-]+\+)?json$/.test(type) && text.length <= MOST_TEXT) {
    try {
      return foldable(parse(text), text);
    } catch {
      // It is shown as the text that it is.
    }
  }
  return textBlock(text);
}

/** JSON as a tree or exactly as it was sent. */
function foldable(parsed, text) {
  if (parsed === null || typeof parsed !== "object" || parsed instanceof Written) return textBlock(text);
  const block = h("div", { class: "payload" }, tree(parsed, null, 0));
  let isTree = true;
  const change = button("As it was sent", () => {
    isTree = !isTree;
    put(block, isTree ? tree(parsed, null, 0) : h("pre", { tabindex: "0" }, text));
    put(change, isTree ? "As it was sent" : "As a tree");
  });
  return [block, change];
}

/** What to say about a payload above it. */
const about = (type, size, isCut) =>
  `${type || "no content type"}, ${isCut ? `more than ${bytes(MOST)}` : bytes(size)}`;

/** Shows the body of an answer. */
export async function answered(answer) {
  const type = (answer.headers.get("Content-Type") ?? "").split(";")[0].trim().toLowerCase();
  const { content, isCut } = await readUpTo(MOST, answer);
  const isShort = isCut || (asText(content)?.length ?? 0) > MOST_TEXT || (asText(content) === null && content.length > MOST_HEX);
  return [
    h("p", { class: "quiet" }, about(type, content.length, isCut), isShort && !isPicture(type, content) ? "; only the beginning is shown" : null),
    body(type, content, isCut),
  ];
}

/** Shows a text that is already there, such as the body of a dead letter. */
export function given(text, type) {
  return body((type ?? "").split(";")[0].trim().toLowerCase(), new TextEncoder().encode(text), false);
}

/** Fetches a payload and shows it. */
export async function payload(path, signal) {
  return answered(await open(path, { signal }));
}
