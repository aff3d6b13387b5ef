/** The model's drawing: blocks that open, arrows between them, and in each block the way of the item pointed at. */

import { ARROWS, BLOCKS, blockOf, change, equationOf } from "./blocks.js";
import { make, percent, svg, thumbnail } from "./drawing.js";

const WIDE = { width: 140, height: 84, across: 26, down: 24 }, TALL = { width: 104, height: 102, across: 10, down: 26 };
const NARROW = 900; // pixels; below, the drawing goes from top to bottom, in the width of a telephone
const LANES = ["text", "time", "pictures"];

/** onopen(id): a block was chosen. */
export function modelMap(root, { onopen }) {
  const canvas = svg("svg", { class: "map", role: "group", "aria-label": "The model: its blocks open" });
  root.replaceChildren(canvas);
  const paper = matchMedia("print"), narrow = () => paper.matches || root.clientWidth < NARROW;
  let drawn = {}, tall = null, last = null;

  /** Places of the blocks, in rows from left to right or, on a narrow page, in columns from top to bottom. */
  function lay(isTall) {
    tall = isTall;
    const { width, height, across, down } = tall ? TALL : WIDE, edge = 4, head = 20;
    const at = ({ lane, place }) => tall
      ? { x: edge + lane * (width + across), y: head + place * (height + down) }
      : { x: edge + place * (width + across), y: head + lane * (height + down) };
    const far = at({ lane: 2, place: 6 });
    canvas.classList.toggle("tall", tall);
    canvas.setAttribute("viewBox", `0 0 ${far.x + width + edge} ${far.y + height + edge}`);
    canvas.replaceChildren(svg("defs", {}, svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7,
      markerHeight: 7, orient: "auto" }, svg("path", { d: "M0 0 L8 4 L0 8 z", class: "tip" }))));
    LANES.forEach((name, lane) => {
      const { x, y } = at({ lane, place: 0 });
      canvas.append(svg("text", { x: tall ? x + width / 2 : x, y: y - 6, class: "lane", "text-anchor": tall ? "middle" : "start" }, name));
    });
    drawn = { arrows: ARROWS.map(([from, to]) => arrow(at(blockOf(from)), at(blockOf(to)), width, height, from, to)) };
    canvas.append(...drawn.arrows.map(one => one.path));
    for (const block of BLOCKS) {
      drawn[block.id] = box(block, at(block), width, height);
      canvas.append(drawn[block.id].group);
    }
  }

  function arrow(a, b, width, height, from, to) {
    const middle = ({ x, y }) => ({ x: x + width / 2, y: y + height / 2 }), m = middle(a), e = middle(b);
    let d;
    if (tall ? a.y === b.y : a.x === b.x) { // to another lane of the same place
      const sign = Math.sign(tall ? e.x - m.x : e.y - m.y);
      d = tall ? `M${m.x + sign * width / 2} ${m.y} H${e.x - sign * (width / 2 + 2)}`
        : `M${m.x} ${m.y + sign * height / 2} V${e.y - sign * (height / 2 + 2)}`;
    } else if (blockOf(from).lane !== blockOf(to).lane && to === "fused") { // past the fusion
      d = tall ? `M${m.x} ${a.y + height} V${e.y} H${e.x + Math.sign(m.x - e.x) * (width / 2 + 2)}`
        : `M${a.x + width} ${m.y} H${e.x} V${e.y + Math.sign(m.y - e.y) * (height / 2 + 2)}`;
    } else if (blockOf(from).lane !== blockOf(to).lane) {
      d = tall ? `M${m.x} ${a.y + height} V${e.y - height / 2 - 12} L${e.x + Math.sign(m.x - e.x) * width / 4} ${b.y - 2}`
        : `M${a.x + width} ${m.y} H${b.x - 24} L${b.x - 2} ${e.y + Math.sign(m.y - e.y) * height / 4}`;
    } else d = tall ? `M${m.x} ${a.y + height} V${b.y - 2}` : `M${a.x + width} ${m.y} H${b.x - 2}`;
    return { path: svg("path", { d, class: "arrow", "marker-end": "url(#tip)" }), from, to };
  }

  function box(block, { x, y }, width, height) {
    const group = svg("g", { class: "block", tabindex: 0, role: "button", "aria-controls": "panel", "data-block": block.id, transform: `translate(${x} ${y})` });
    const strip = svg("g", { transform: `translate(8 ${height - 28})` });
    const lines = tall ? block.title.split(/ (?=\S{4})/) : [block.title];
    group.append(svg("rect", { width, height, rx: 6, class: "box" }),
      ...lines.map((line, k) => svg("text", { x: 8, y: 20 + 16 * k, class: "title" }, line)),
      svg("text", { x: 8, y: 21 + 16 * lines.length, class: "equation" }, `eq. ${block.equation}`), strip);
    const open = () => onopen(block.id);
    group.addEventListener("click", open);
    group.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      open();
    });
    return { group, strip, width: width - 16 };
  }

  /** trace: as it is; other: with an average item at `step`; open: the block whose panel is shown. */
  function show({ trace, other, layer, step, open, title }) {
    last = { trace, other, layer, step, open, title };
    if (tall === null) lay(narrow());
    for (const block of BLOCKS) {
      const { group, strip, width } = drawn[block.id], values = change(block, trace, other, layer), cell = width / values.length;
      const off = block.time && !trace.time;
      if (strip.childElementCount !== values.length) strip.replaceChildren(...values.map((_, t) =>
        svg("rect", { x: t * cell, y: 0, width: Math.max(cell - 1, 1), height: 18, class: "cell" })));
      values.forEach((value, t) => {
        strip.children[t].style.fillOpacity = Math.min(Math.sqrt(value), 1);
        strip.children[t].classList.toggle("here", values.length > 1 && t === step);
      });
      group.classList.toggle("off", Boolean(off));
      group.classList.toggle("open", block.id === open);
      group.setAttribute("aria-expanded", block.id === open);
      const most = Math.max(0, ...values), at = values.indexOf(most);
      const told = off ? "switched off" : block.id === "scores" ? `without ${title} the user's vector changes by ${percent(most)}`
        : most ? `item ${step + 1} changes it by up to ${percent(most)}, at step ${at + 1}` : `item ${step + 1} does not reach it`;
      group.setAttribute("aria-label", `${block.title}, ${equationOf(block)}: ${told}`);
    }
    for (const { path, from, to } of drawn.arrows)
      path.classList.toggle("off", !trace.time && Boolean(blockOf(from).time || blockOf(to).time));
  }

  function turn() {
    if (!last || narrow() === tall) return;
    lay(narrow());
    show(last);
  }
  new ResizeObserver(turn).observe(root);
  paper.addEventListener("change", turn);
  return { show };
}

/** The history above the drawing: who points at an item sees its way through the blocks below. */
export function wayStrip(root, data, { choose }) {
  const list = make("div", { className: "way", aria: { role: "group", label: "Point at an item: its way through the model" } });
  let shown = "";
  root.append(make("p", { className: "note" }, "Point at an item: its way through the blocks lights up. Choose a block: it opens below."), list);

  function button(item, lost, t) {
    const face = make("button", { type: "button", title: item.title, aria: { label: `Item ${t + 1}: ${item.title}` } }, thumbnail(item, lost), make("small", {}, `${t + 1}`));
    for (const event of ["pointerenter", "focus", "click"]) face.addEventListener(event, () => choose(t));
    face.addEventListener("keydown", event => {
      const to = list.children[t + ({ ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? NaN)];
      if (to) event.preventDefault();
      to?.focus();
    });
    return face;
  }

  /** One of the items is reached by Tab, the others by arrow keys. */
  function show({ items, lost, off }, step) {
    const gone = items.map(i => lost.image.includes(i) || off.includes("images")), key = JSON.stringify([items, gone]);
    if (key !== shown) list.replaceChildren(...items.map((i, t) => button(data.items[i], gone[t], t)));
    shown = key;
    [...list.children].forEach((face, t) => {
      face.setAttribute("aria-pressed", t === step);
      face.tabIndex = t === step ? 0 : -1;
    });
  }

  return { show };
}

export const mapLegend = () => make("p", { className: "note" },
  "A block's cells are the steps of the history, oldest first; the framed one is the chosen item. ", make("i", { className: "lit-key" }),
  " Filled: what would change if an average item, after an average pause, stood in its place; the stronger the colour, the more.");
