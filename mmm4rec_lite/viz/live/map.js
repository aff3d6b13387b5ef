/** The model's drawing: blocks that open, arrows between them, and in each block the way of the item pointed at. */

import { ARROWS, BLOCKS, blockOf, change } from "./blocks.js";
import { make, percent, svg } from "./drawing.js";

const WIDE = { width: 140, height: 84, across: 26, down: 24 }, TALL = { width: 130, height: 84, across: 12, down: 26 };
const NARROW = 560; // pixels
const LANES = ["text", "time", "pictures"];

/** onopen(id): a block was chosen. */
export function modelMap(root, { onopen }) {
  const canvas = svg("svg", { class: "map", role: "group", "aria-label": "The model: its blocks open" });
  root.replaceChildren(canvas);
  let drawn = {}, tall = null, last = null;

  /** Places of the blocks, in rows from left to right or, on a narrow page, in columns from top to bottom. */
  function lay(narrow) {
    tall = narrow;
    const { width, height, across, down } = narrow ? TALL : WIDE, edge = 4, head = 20;
    const at = ({ lane, place }) => narrow
      ? { x: edge + lane * (width + across), y: head + place * (height + down) }
      : { x: edge + place * (width + across), y: head + lane * (height + down) };
    const far = at({ lane: 2, place: 6 });
    canvas.setAttribute("viewBox", `0 0 ${far.x + width + edge} ${far.y + height + edge}`);
    canvas.replaceChildren(svg("defs", {}, svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7,
      markerHeight: 7, orient: "auto" }, svg("path", { d: "M0 0 L8 4 L0 8 z", class: "tip" }))));
    LANES.forEach((name, lane) => {
      const { x, y } = at({ lane, place: 0 });
      canvas.append(svg("text", { x: narrow ? x + width / 2 : x, y: y - 6, class: "lane", "text-anchor": narrow ? "middle" : "start" }, name));
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
    const group = svg("g", { class: "block", tabindex: 0, role: "button", "data-block": block.id, transform: `translate(${x} ${y})` });
    const strip = svg("g", { transform: `translate(8 ${height - 28})` });
    group.append(svg("rect", { width, height, rx: 6, class: "box" }), svg("text", { x: 8, y: 20, class: "title" }, block.title),
      svg("text", { x: 8, y: 37, class: "equation" }, `eq. ${block.equation}`), strip);
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
    if (tall === null) lay(root.clientWidth < NARROW);
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
      group.setAttribute("aria-label", `${block.title}, equation ${block.equation}: ${told}`);
    }
    for (const { path, from, to } of drawn.arrows)
      path.classList.toggle("off", !trace.time && Boolean(blockOf(from).time || blockOf(to).time));
  }

  new ResizeObserver(() => {
    if (!last || root.clientWidth < NARROW === tall) return;
    lay(root.clientWidth < NARROW);
    show(last);
  }).observe(root);
  return { show };
}

export const mapLegend = () => make("p", { className: "note" },
  "A block's cells are the steps of the history, oldest first; the framed one is the chosen item. ", make("i", { className: "lit-key" }),
  " Filled: these numbers would be others if an average item, after an average pause, stood in the chosen one's place.");
