// Builds and updates elements. A text from outside becomes a text node and never HTML.

const SVG = "http://www.w3.org/2000/svg";

// Characters that change the direction of the text around them, or that cannot be seen.
const INVISIBLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\u3164\ufeff\uffa0]/g;

/** A text in which characters that cannot be seen are written as their numbers. */
export function visible(text) {
  const name = (character) => "⟨U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩";
  return String(text).replace(INVISIBLE, name);
}

/** Whether a part of an element is in the window. */
export function isSeen(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

/**
 * An element. `on` in the attributes has its listeners; `true` sets an attribute without a value, and `false`, `null` and
 * `undefined` leave it out. Children are elements, texts, or lists of these.
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for a part of a picture. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children.flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(visible(child))));
}

/** Replaces what is inside an element. */
export function put(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/** Sets the text of an element if it is another one, so that a selection in it stays. */
export function setText(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** Replaces what is inside an element if `value` has changed since the last call. */
export function putIfNew(element, value, make) {
  const text = JSON.stringify(value);
  if (element.shown === text) return;
  element.shown = text;
  put(element, make());
}

/** The same for a group of buttons. A button that has the focus keeps it, or gives it to the first one if it is no longer there. */
export function putButtons(element, value, make) {
  const focused = element.contains(document.activeElement) ? document.activeElement.textContent : null;
  putIfNew(element, value, make);
  if (focused === null || element.contains(document.activeElement)) return;
  const buttons = [...element.querySelectorAll("button")];
  (buttons.find((one) => one.textContent === focused) ?? buttons[0])?.focus({ preventScroll: true });
}

/**
 * Shows a list in an element, one child for each item. A child whose item stays is kept, with its selection and its focus.
 * `make(item)` returns the child, and `update(child, item)` brings it up to date. `empty()` returns what an empty list shows.
 */
export function keyed(parent, items, keyOf, make, update, empty) {
  if (items.length === 0 && empty) {
    keyed(parent, [null], () => "nothing", empty, () => {});
    return;
  }
  const there = parent.children_ ?? (parent.children_ = new Map());
  const wanted = new Map(items.map((item) => [String(keyOf(item)), item]));
  for (const [key, child] of there) {
    if (!wanted.has(key)) {
      child.remove();
      there.delete(key);
    }
  }
  let next = parent.firstElementChild;
  for (const [key, item] of wanted) {
    let child = there.get(key);
    if (!child) {
      child = make(item);
      there.set(key, child);
    }
    update(child, item);
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}
