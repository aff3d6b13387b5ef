/** Small drawings: elements, words, colours, heat maps, curves, bars. Texts go in as text, never as HTML. */

export const $ = id => document.getElementById(id);

/** An element with properties; `aria` and `data` are their attributes; children are elements or texts. */
export function make(tag, { aria = {}, data = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(name === "role" ? name : `aria-${name}`, value);
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Other children in the places where they differ. */
export function update(list, children) {
  children.forEach((child, k) => {
    if (!list.children[k]) list.append(child);
    else if (list.children[k] !== child) list.children[k].replaceWith(child);
  });
  while (list.childElementCount > children.length) list.lastElementChild.remove();
}

/** A formula as text: x_t and x_{ts} get subscripts, x^T and x^{-1} superscripts, words stay upright. */
export function formula(text) {
  const line = make("span", { className: "formula" });
  for (const [, plain, mark, braced, single] of text.matchAll(/([^_^]+)|([_^])(?:\{([^}]*)\}|(.))/gu))
    line.append(plain ?? make(mark === "_" ? "sub" : "sup", {}, braced ?? single));
  return line;
}

/** The same where only plain text can stand. */
export const plain = text => text.replace(/[_^{}]/g, "");

// --- words ---

export const percent = share => share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;

/** A number with three digits, with a real minus. */
export function digits(x) {
  if (!Number.isFinite(x)) return x === Infinity ? "∞" : x === -Infinity ? "−∞" : "none";
  const size = Math.abs(x);
  const text = size !== 0 && (size >= 1e5 || size < 1e-3) ? x.toExponential(1)
    : size >= 100 ? x.toFixed(0) : x.toFixed(size >= 10 ? 1 : 2 + (size < 0.1));
  return text.replaceAll("-", "−");
}

/** A number as a term of a sum. */
export const term = x => `${x < 0 ? "−" : "+"} ${digits(Math.abs(x))}`;

export const signed = x => (x > 0 ? "+" : "") + digits(x);

/** A number of things: 1 item, 2 items. */
export const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

const UNITS = [[31536000, "year"], [86400, "day"], [3600, "hour", "h"], [60, "minute", "min"], [1, "second", "s"]];

/** Seconds in the unit that a reader would use; `spoken`: without signs, for a screen reader. */
export function span(seconds, spoken = false) {
  const [size, word, sign] = UNITS.find(([least]) => seconds >= least) ?? UNITS[4];
  const n = +(seconds / size).toFixed(size > 1 && seconds < 10 * size ? 1 : 0);
  return sign && !spoken ? `${n} ${sign}` : count(n, word);
}

export const shortened = (text, most) => text.length > most ? `${[...text].slice(0, most - 1).join("")}…` : text;

// --- colours ---

const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121],
  [109, 205, 89], [180, 222, 44], [253, 231, 37]];
const SIGNED = [[5, 84, 138], [62, 142, 190], [155, 200, 226], [245, 245, 245], [246, 196, 132], [222, 143, 5], [142, 82, 0]];

function between(colours, share) {
  const at = Math.min(Math.max(share, 0), 1) * (colours.length - 1), low = Math.min(Math.floor(at), colours.length - 2);
  return colours[low].map((c, i) => Math.round(c + (at - low) * (colours[low + 1][i] - c)));
}

const palette = colours => Array.from({ length: 256 }, (_, k) => between(colours, k / 255));
const PALETTES = { plain: palette(VIRIDIS), signed: palette(SIGNED) };
const entry = (colours, share) => PALETTES[colours][Math.min(Math.max(Math.round(255 * share), 0), 255)];

/** From dark, 0, to bright, 1. */
export const shade = share => `rgb(${entry("plain", share)})`;

/** Blue for -1, near white for 0, orange for 1. */
export const signedShade = share => `rgb(${entry("signed", (share + 1) / 2)})`;

/** A canvas with a pixel per value; low < 0: signed, from -high to high. What `blank(r, c)` names stays empty. */
export function pixels(canvas, values, low, high, blank = () => false) {
  const rows = values.length, columns = values[0].length, pen = canvas.getContext("2d"), kind = low < 0 ? "signed" : "plain";
  [canvas.width, canvas.height] = [columns, rows];
  const image = pen.createImageData(columns, rows), from = low < 0 ? -high : low, size = high - from || 1;
  for (let r = 0, at = 0; r < rows; r++)
    for (let c = 0; c < columns; c++, at += 4) {
      if (blank(r, c)) continue;
      const [red, green, blue] = entry(kind, (values[r][c] - from) / size);
      image.data[at] = red, image.data[at + 1] = green, image.data[at + 2] = blue, image.data[at + 3] = 255;
    }
  pen.putImageData(image, 0, 0);
}

export const ramp = colour => `linear-gradient(to right, ${Array.from({ length: 11 }, (_, i) => colour(i))})`;

// --- a heat map: columns are the steps of the history, as everywhere on the page ---

/** A tensor as a picture whose cells are read by pointer or by arrow keys.
    values: rows of numbers; row(r), column(c): what they are; low, high: ends of the scale (signed: -high .. high);
    chosen: the column framed; onpoint(r, c): a cell was pointed at. */
export function heatMap({ values, name, shape, row, column, high, low = 0, chosen = null, tall = 0, onpoint = () => {} }) {
  const rows = values.length, columns = values[0].length, isSigned = low < 0;
  const canvas = make("canvas", { tabIndex: 0, aria: { role: "img" } }), readout = make("output", { className: "readout" });
  pixels(canvas, values, low, high);
  const box = make("div", { className: "heat" }, canvas), frame = make("i", { className: "frame" });
  canvas.style.height = `${tall || Math.min(Math.max(10 * rows, 44), 180)}px`;
  if (chosen !== null && chosen < columns) {
    frame.style.left = `${100 * chosen / columns}%`;
    frame.style.width = `${100 / columns}%`;
    box.append(frame);
  }
  const at = { r: 0, c: Math.min(chosen ?? 0, columns - 1) };
  const tell = () => {
    readout.textContent = `${row(at.r)}, ${column(at.c)}: ${digits(values[at.r][at.c])}`;
    onpoint(at.r, at.c);
  };
  canvas.addEventListener("pointermove", event => {
    const area = canvas.getBoundingClientRect();
    at.c = Math.min(Math.max(Math.floor((event.clientX - area.left) / area.width * columns), 0), columns - 1);
    at.r = Math.min(Math.max(Math.floor((event.clientY - area.top) / area.height * rows), 0), rows - 1);
    tell();
  });
  canvas.addEventListener("keydown", event => {
    const [dr, dc] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
    if (dr === undefined) return;
    event.preventDefault();
    at.r = Math.min(Math.max(at.r + dr, 0), rows - 1);
    at.c = Math.min(Math.max(at.c + dc, 0), columns - 1);
    tell();
  });
  canvas.addEventListener("focus", () => { readout.setAttribute("aria-live", "polite"); tell(); });
  canvas.addEventListener("blur", () => readout.removeAttribute("aria-live"));
  canvas.setAttribute("aria-label", `Heat map of ${plain(name)}, ${shape}. Arrow keys read its cells.`);
  return figure(name, shape, box, legend(isSigned ? -high : low, high, isSigned ? signedShade : shade), readout);
}

export function figure(name, shape, ...children) {
  const title = make("figcaption", {}, formula(name), " ", make("small", {}, shape));
  return make("figure", {}, title, ...children);
}

function legend(low, high, colour) {
  const bar = make("i");
  bar.style.background = ramp(low < 0 ? share => colour(share / 5 - 1) : share => colour(share / 10));
  return make("div", { className: "scale", aria: { hidden: "true" } }, digits(low), bar, digits(high));
}

/** Curves over the same steps: [{ name, values, colour }], with a line at 0. */
export function curves({ name, shape, lines, column, chosen = null, unit = "", onpoint = () => {} }) {
  const n = lines[0].values.length, W = 300, H = 90, all = lines.flatMap(line => Array.from(line.values));
  const low = Math.min(0, ...all), high = Math.max(0, ...all), size = high - low || 1;
  const x = t => (t + 0.5) * W / n, y = value => 5 + (H - 10) * (high - value) / size;
  const told = t => `${column(t)}: ${lines.map(line => `${plain(line.name)} ${digits(line.values[t])}`).join(", ")}${unit}`;
  const label = `Curves of ${plain(name)}, ${shape}: ${lines.map(line => plain(line.name)).join(", ")}. Arrow keys read the steps.`;
  const drawing = svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "curves", role: "img", "aria-label": label, tabindex: 0,
    preserveAspectRatio: "none" });
  if (chosen !== null && chosen < n) drawing.append(svg("rect", { x: chosen * W / n, y: 0, width: W / n, height: H, class: "here" }));
  drawing.append(svg("line", { x1: 0, x2: W, y1: y(0), y2: y(0), class: "zero" }));
  for (const { values, colour } of lines) {
    const points = Array.from(values, (value, t) => `${x(t).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    drawing.append(svg("polyline", { points, class: "line", stroke: colour }));
    const dots = Array.from(values, (value, t) => `M${x(t).toFixed(1)} ${y(value).toFixed(1)}h0`).join("");
    if (n < 30) drawing.append(svg("path", { d: dots, class: "dots", stroke: colour }));
  }
  const readout = make("output", { className: "readout" });
  let at = Math.min(chosen ?? 0, n - 1);
  const tell = () => { readout.textContent = told(at); onpoint(at); };
  drawing.addEventListener("pointermove", event => {
    const area = drawing.getBoundingClientRect();
    at = Math.min(Math.max(Math.floor((event.clientX - area.left) / area.width * n), 0), n - 1);
    tell();
  });
  drawing.addEventListener("keydown", event => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    at = Math.min(Math.max(at + by, 0), n - 1);
    tell();
  });
  drawing.addEventListener("focus", () => { readout.setAttribute("aria-live", "polite"); tell(); });
  drawing.addEventListener("blur", () => readout.removeAttribute("aria-live"));
  const keys = lines.map(({ name: its, colour }) => {
    const key = make("i");
    key.style.background = colour;
    return make("span", { className: "key" }, key, formula(its));
  });
  const ends = make("small", { className: "ends" }, `${digits(low)} to ${digits(high)}${unit}`);
  return figure(name, shape, drawing, make("div", { className: "keys" }, ...keys, ends), readout);
}

/** A bar from 0 to a value on a scale from low to high. */
export function bar(value, low, high, className) {
  const zero = -Math.min(low, 0) / (high - Math.min(low, 0) || 1), size = Math.abs(value) / (high - Math.min(low, 0) || 1);
  const inner = make("i", { className });
  inner.style.left = `${100 * (value < 0 ? zero - size : zero)}%`;
  inner.style.width = `${100 * size}%`;
  return make("span", { className: "bar", aria: { hidden: "true" } }, inner);
}

/** A small picture of an item, or a square with words in its place. */
export function thumbnail(item, lost = false) {
  if (item.picture && !lost) return make("img", { src: item.picture, alt: "", draggable: false });
  return make("span", { className: "none", aria: { hidden: "true" } }, lost && item.picture ? "taken away" : "no picture");
}
