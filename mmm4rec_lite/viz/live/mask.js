/** The decay mask of one head over a history: the panel (heat map, items, numbers), and the explorer, which is the panel
    with controls. Pages and notebooks share it; several may stand on one page. */

import { explore, inverseSoftplus, leftOver, softplus } from "./decay.js";
import { count, digits, make, percent, ramp, shade, span, thumbnail } from "./drawing.js";

const total = values => values.reduce((a, b) => a + b, 0);

/** The panel: `mask` and `items` are its two halves; `show` draws a history { titles, pictures }, its gaps (seconds),
    the numbers of `leftOver`, and which item is chosen. `caption`: words above the heat map. */
export function maskPanel(caption = "") {
  const loaded = new Map(), life = make("p", { className: "life", aria: { live: "polite" } });
  const canvas = make("canvas", { tabIndex: 0, aria: { role: "img" } }), table = make("table"), list = make("ol");
  const hint = "Row: the step that reads. Column: the past item. Blank: still to come. Point at a square to read it.";
  const spot = make("p", { className: "note" }, hint), colours = make("i");
  colours.style.background = ramp(share => shade(share / 10));
  const numbers = make("details", {}, make("summary", {}, "The mask in numbers (percent)"), make("div", { className: "wide" }, table));
  const head = make("div", { className: "bars head" }, make("span", {}, "left of it"), make("span", {}, "its share of the state"));
  const panel = { history: null, gaps: [], result: null, chosen: 0, loaded };
  panel.mask = make("div", { className: "mask-map" }, caption, life, canvas,
    make("div", { className: "scale", aria: { hidden: "true" } }, "0 %", colours, "100 % is left"), spot, numbers);
  panel.items = make("div", { className: "mask-items" }, head, list);

  panel.show = (history, gaps, result, chosen) => {
    Object.assign(panel, { history, gaps, result, chosen });
    const days = result.half_life_seconds / 86400, told = `${count(gaps.length, "item")} in ${span(total(gaps.slice(1)))}`;
    if (gaps.length < 2) life.replaceChildren("A history of one item: nothing has faded yet.");
    else life.replaceChildren("Half of the state is gone after ", make("b", {}, `${digits(result.half_life_steps)} steps`), " or ",
      make("b", {}, `${digits(days)} days`), ` (this history: ${told}).`);
    list.replaceChildren(...gaps.map((_, s) => line(s)));
    tabulate();
    for (const source of new Set(history.pictures.filter(Boolean)))
      if (!loaded.has(source)) {
        const image = new Image();
        loaded.set(source, null);
        image.onload = () => { loaded.set(source, image); draw(); };
        image.src = source;
      }
    draw();
  };

  /** The numbers as a table, as long as somebody looks at it. */
  function tabulate() {
    if (!numbers.open) return;
    const { gaps, result } = panel, row = (cells, name = "td") => make("tr", {}, ...cells.map((cell, i) => make(i ? name : "th", {}, cell)));
    table.replaceChildren(row(["read at", ...gaps.map((_, s) => `item ${s + 1}`)], "th"), ...result.mask.map((values, t) =>
      row([`step ${t + 1}`, ...values.map((value, s) => s > t ? "" : percent(value).slice(0, -2))])));
  }
  numbers.addEventListener("toggle", tabulate);

  function line(s) {
    const { history, gaps, result, chosen } = panel, bars = make("div", { className: "bars" });
    for (const [value, name] of [[result.left[s], "left"], [result.weight[s], "share"]]) {
      const bar = make("i", { className: name });
      bar.style.width = `${100 * value}%`;
      bars.append(bar, make("span", { data: { value: name } }, percent(value)));
    }
    const picture = thumbnail({ picture: history.pictures[s] });
    picture.style.opacity = 0.15 + 0.85 * result.left[s];
    const words = make("div", {}, make("span", { dir: "auto" }, `${s + 1}. ${history.titles[s]}`),
      make("span", {}, s ? `+ ${span(gaps[s])}` : "first"));
    return make("li", { className: s === chosen ? "chosen" : "" }, picture, words, bars);
  }

  /** Room for the pictures along the edges, and the size of a cell. */
  function sizes(width) {
    const L = panel.gaps.length, title = 20, axis = title + Math.min(34, 8 + (width - 40) / (L + 1));
    return { L, title, axis, cell: (width - axis) / L };
  }

  function draw() {
    if (!panel.result || !canvas.clientWidth) return;
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, { L, title, axis, cell } = sizes(width);
    canvas.width = canvas.height = Math.round(width * ratio);
    const pen = canvas.getContext("2d"), style = getComputedStyle(canvas), { history, result, chosen } = panel;
    pen.scale(ratio, ratio);
    pen.font = `13px ${style.fontFamily}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    result.mask.forEach((values, t) => values.slice(0, t + 1).forEach((value, s) => {
      pen.fillStyle = shade(value);
      pen.fillRect(axis + s * cell, t * cell, cell - 1, cell - 1);
    }));
    const side = Math.min(axis - title - 4, cell - 3), bottom = width - axis, wide = pen.measureText(L).width;
    // among pictures every other item has its number; where there are only numbers, as many as have room, and the chosen
    const every = history.pictures.some(Boolean) ? 1 : [1, 2, 5, 10].find(n => n * cell > wide + 5) ?? 10;
    const numbered = s => s === chosen || (s + 1) % every === 0 && Math.abs(s - chosen) >= every;
    history.titles.forEach((_, s) => {
      const middle = (s + 0.5) * cell, picture = loaded.get(history.pictures[s]), edge = title + (axis - title) / 2;
      for (const [x, y] of [[edge, middle], [axis + middle, width - edge]]) {
        pen.fillStyle = s === chosen ? style.getPropertyValue("--mark") : style.color;
        if (picture) pen.drawImage(picture, x - side / 2, y - side / 2, side, side);
        else if (numbered(s)) pen.fillText(s + 1, Math.min(x, width - wide / 2 - 1), y, Math.max(every * cell - 1, 9));
        if (picture && s === chosen) {
          pen.strokeStyle = pen.fillStyle;
          pen.lineWidth = 2;
          pen.strokeRect(x - side / 2, y - side / 2, side, side);
        }
      }
    });
    pen.fillStyle = style.getPropertyValue("--soft");
    pen.fillText("past item s", axis + bottom / 2, width - title / 2 + 1);
    pen.rotate(-Math.PI / 2);
    pen.fillText("read at step t", -bottom / 2, title / 2);
    const told = result.left.map((value, s) => `${percent(value)} of item ${s + 1}`).join(", ");
    canvas.setAttribute("aria-label", `Heat map of the decay mask, ${L} by ${L}. The last step has ${told}.`);
  }

  const at = { s: 0, t: 0 };
  function tell(s, t) {
    if (panel.result?.mask[t]?.[s] === undefined || s > t) return;
    Object.assign(at, { s, t });
    spot.textContent = `Step ${t + 1} still has ${percent(panel.result.mask[t][s])} of item ${s + 1}, ${panel.history.titles[s]}.`;
  }
  canvas.addEventListener("pointermove", event => {
    const box = canvas.getBoundingClientRect(), { axis, cell } = sizes(box.width);
    tell(Math.floor((event.clientX - box.left - axis) / cell), Math.floor((event.clientY - box.top) / cell));
  });
  canvas.addEventListener("keydown", event => {
    const [ds, dt] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
    if (ds === undefined) return;
    event.preventDefault();
    tell(at.s + ds, at.t + dt);
  });
  canvas.addEventListener("focus", () => spot.setAttribute("aria-live", "polite"));
  new ResizeObserver(draw).observe(canvas);
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", draw);
  return panel;
}

/** The panel with controls for everything that decides a mask.
    names: of the histories, whose change `onhistory(index)` answers by `show(history)`; heads: { name, A, base, delta };
    logMean, logStd: of D; scan(history, gaps, head): Delta and D-hat per item of a trained head, none: the closed form;
    onchange(values): what the controls say now. */
export function maskExplorer(root, { names, heads, logMean, logStd, scan, first = 0, onhistory, onchange = () => {} }) {
  const controls = {}, outputs = {}, panel = maskPanel(make("h2", {}, "The decay mask")), state = {};
  const labelled = (key, text, control) => {
    controls[key] = control;
    control.dataset.control = key;
    outputs[key] = make("span", { className: "value", aria: { hidden: "true" } });
    return make("div", { className: "control" }, make("label", {}, text, " ", outputs[key], control));
  };
  const range = (min, max, step) => make("input", { type: "range", min, max, step });
  const all = make("table"), time = make("input", { type: "checkbox", data: { control: "time" } });
  controls.time = time;
  const reset = make("button", { type: "button", data: { control: "reset" } }, "Start again");
  const left = make("section", { className: "turn" }, make("h2", {}, "Turn"),
    labelled("history", "History", make("select")), labelled("head", "Head", make("select")),
    labelled("A", "Decay rate A", range(-1.3, 1.3, 0.05)), labelled("base", "Base step", range(-3, 0.3, 0.05)),
    labelled("delta", scan ? "Factor on the items' Δ" : "Gap scale Δ", range(-4, 6, 0.1)),
    make("div", { className: "control" }, make("label", {}, time, " Time-aware: gaps count")),
    labelled("place", "One gap", make("select")), labelled("gap", "Its length", range(0, 18.5, 0.05)),
    labelled("scale", "All gaps", range(-3, 3, 0.05)), reset);
  const everyHead = make("details", {}, make("summary", {}, "All heads on this history"), make("div", { className: "wide" }, all));
  const right = make("section", {}, make("h2", {}, "What the last step still has"), panel.items, everyHead);
  everyHead.addEventListener("toggle", () => everyHead.open && tabulate());
  root.classList.add("mask-explorer");
  root.replaceChildren(make("main", {}, left, make("section", {}, panel.mask), right));
  controls.history.append(...names.map((name, i) => new Option(name, i)));
  controls.head.append(...heads.map(({ name }, i) => new Option(name, i)));
  controls.history.value = first;
  if (heads.length < 2) for (const part of [controls.head.closest(".control"), everyHead]) part.hidden = true;

  const gapsNow = () => state.gaps.map(gap => gap * state.scale);
  const head = () => state.heads[controls.head.value];

  function numbers(one, h, gaps) {
    if (!scan) return explore(gaps, one.A, one.delta, one.base, time.checked, logMean, logStd);
    const { delta, dHat } = scan(state.history, gaps, h), bias = inverseSoftplus(one.base);
    return leftOver(gaps, delta.map((value, t) => softplus(one.delta * value * (time.checked ? dHat[t] : 1) + bias)), one.A);
  }

  function load(history) {
    Object.assign(state, { history, gaps: [...history.gaps], scale: 1, heads: heads.map(one => ({ ...one })) });
    const titles = history.titles.slice(1);
    controls.place.replaceChildren(...titles.map((title, i) => new Option(`before ${i + 2}: ${title}`, i + 1)));
    controls.place.value = state.gaps.indexOf(Math.max(...state.gaps.slice(1)));
    time.checked = true;
    show();
  }

  /** A slider to a value, with wider ends where it needs them; not while it is drawn itself. */
  function set(key, at, text, spoken = text) {
    const slider = controls[key];
    if (at < +slider.min) slider.min = at;
    if (at > +slider.max) slider.max = at;
    slider.value = at;
    slider.setAttribute("aria-valuetext", spoken);
    outputs[key].textContent = text;
  }

  function show() {
    const { A, base, delta } = head(), gaps = gapsNow(), place = +controls.place.value, gap = gaps[place] ?? 0;
    set("A", Math.log10(-A), digits(A));
    set("base", Math.log10(base), digits(base));
    set("delta", delta, digits(delta));
    set("gap", Math.log1p(gap), span(gap), span(gap, true));
    set("scale", Math.log10(state.scale), `× ${digits(state.scale)}`, `times ${digits(state.scale)}`);
    controls.gap.disabled = controls.place.disabled = gaps.length < 2;
    const h = +controls.head.value, result = numbers(head(), h, gaps);
    panel.show(state.history, gaps, result, place);
    if (everyHead.open) tabulate(gaps, h, result);
    onchange({ head: h, A, base, delta, time: time.checked, place, gap, scale: state.scale });
  }

  function tabulate(gaps = gapsNow(), h = +controls.head.value, result = numbers(head(), h, gaps)) {
    const cells = (values, tag, className) => make("tr", { className }, ...values.map((cell, i) => make(i ? tag : "th", {}, cell)));
    const titles = ["head", "A", "base step", "Δ", "half-life (steps)", "(days)"];
    all.replaceChildren(cells(titles, "th", ""), ...state.heads.map((one, i) => {
      const { half_life_steps: steps, half_life_seconds: seconds } = i === h ? result : numbers(one, i, gaps);
      const told = [one.A, one.base, one.delta, steps, seconds / 86400].map(digits);
      return cells([one.name, ...told], "td", i === h ? "chosen" : "");
    }));
  }

  const moves = {
    A: value => { head().A = -(10 ** value); },
    base: value => { head().base = 10 ** value; },
    delta: value => { head().delta = value; },
    gap: value => { state.gaps[controls.place.value] = Math.round(Math.expm1(value)) / state.scale; },
    scale: value => { state.scale = 10 ** value; },
  };
  for (const [key, move] of Object.entries(moves))
    controls[key].addEventListener("input", event => { move(+event.target.value); show(); });
  for (const key of ["head", "time", "place"]) controls[key].addEventListener("input", show);
  controls.history.addEventListener("input", () => onhistory(+controls.history.value));
  reset.addEventListener("click", () => load(state.history));
  return { show: load, panel, controls };
}
