/** The page: one state, one pass through the model, and everything drawn anew from both. */

import { BLOCKS, blockOf, equationOf } from "./blocks.js";
import { $, count, make, shortened } from "./drawing.js";
import { historyView } from "./history.js";
import { mapLegend, modelMap, wayStrip } from "./map.js";
import { build, contribution, contributions, embed, forward, masks, scoreParts, scores } from "./model.js";
import { panelOf } from "./panels.js";
import { ranked, rankingView, whyView } from "./ranking.js";
import { fingerprint, fromHash, given, Past, scaledGaps, start, switched, SWITCHES, toHash } from "./state.js";
import { tourView } from "./tour.js";
import { SCANS } from "./trained.js";

const data = JSON.parse($("data").textContent), model = build(data);
const rest = { block: "ssd_text", layer: 0, step: 0, head: 0, pick: null, stop: null }, view = { ...rest };
const most = model.config.max_len, mark = fingerprint(data);
let past, before, result;

// --- one pass ---

function compute(state) {
  const { history, off, lost } = given(data, state), trace = forward(model, history, off, lost);
  const parts = scoreParts(model, trace.user, lost), { order, rank } = ranked(scores(parts), seen(state));
  const whole = scores(parts), found = [], n = state.items.length;
  const more = () => n > 1 && found.length < n && found.push(contribution(model, history, off, lost, found.length, whole));
  return { state, given: { history, off, lost }, trace, parts, order, rank, gaps: scaledGaps(state), more,
    contributions: () => { while (more()); return found; }, get found() { return found.length === n ? found : null; },
    titles: state.items.map(i => data.items[i].title) };
}

const seen = state => [...state.items, ...data.histories[state.user].older];

function showItems() {
  historyCards.show(result.state, result.gaps, view.step);
  way.show(result.state, view.step);
}

const resting = user => compute(start(data, user));

// --- drawing ---

let mapping = 0;
/** A moment after the rest: it takes a second pass, which nobody who draws a slider waits for. */
function drawMapSoon() {
  clearTimeout(mapping);
  mapping = setTimeout(drawMap, 30);
}

function drawMap() {
  clearTimeout(mapping);
  const { history, off, lost } = result.given, other = forward(model, history, off, lost, view.step);
  map.show({ trace: result.trace, other, layer: view.layer, step: view.step, open: view.block, title: result.titles[view.step] });
}

function drawPanel() {
  const block = blockOf(view.block), { trace, state, gaps, parts } = result, root = $("panel"), box = document.activeElement;
  const focused = root.contains(box) && (box.matches(".mini") ? `.mini:nth-child(${view.head + 1})` : box.tagName), opened = root.querySelector("details")?.open;
  const context = { data, model, state, gaps, trace, parts, layer: view.layer, step: view.step, head: view.head, pick: view.pick,
    onhead: (head, now) => { view.head = head; if (now) { drawPanel(); keep(); } } };
  const layers = model.config.n_layers > 1 ? [make("p", { className: "note" }, `Layer ${view.layer + 1} of ${model.config.n_layers}`)] : [];
  root.replaceChildren(make("h3", {}, `${block.title} `, make("small", {}, equationOf(block))), make("p", {}, block.about),
    ...layers, ...panelOf(view.block, context));
  if (focused) root.querySelector(focused)?.focus();
  if (opened) for (const numbers of root.querySelectorAll("details")) numbers.open = true;
}

function drawWhy() {
  why.show({ item: view.pick, state: result.state, parts: result.parts, found: result.found, order: result.order, rank: result.rank,
    older: data.histories[result.state.user].older });
}

function drawRanking() {
  ranking.show({ order: result.order, rank: result.rank, parts: result.parts, before: before.rank, picked: view.pick });
  drawWhy();
}

let waiting = 0;
/** Leaving each past item out takes a pass each: one at a time, so that nothing on the page waits for it. */
function explainLater() {
  clearTimeout(waiting);
  const one = () => { if (result.more()) waiting = setTimeout(one); else drawWhy(); };
  if (!result.found) waiting = setTimeout(one, 60);
}

function drawSwitches() {
  for (const box of $("switches").querySelectorAll("input")) box.checked = !result.state.off.includes(box.dataset.control);
  $("undo").disabled = !past.canUndo;
  $("user").value = result.state.user;
  const rising = result.order.slice(0, 10).filter(i => (before.rank.get(i) ?? Infinity) > 10).length;
  $("moved").textContent = past.now === past.states[0] && !rising ? "As at the start." : `${rising} of ten ${rising === 1 ? "is" : "are"} new against the start.`;
}

/** Everything from the state: the numbers, then all views. */
function draw() {
  result = compute(past.now);
  view.step = Math.min(view.step, result.state.items.length - 1);
  if (view.pick === null || (!result.rank.has(view.pick) && !result.state.items.includes(view.pick))) view.pick = result.order[0] ?? null;
  showItems();
  drawSwitches();
  drawRanking();
  drawPanel();
  drawMapSoon();
  explainLater();
  keep();
}

// --- doing ---

let keeping = 0, written = location.hash;
/** The state goes into the address, but never over one that the reader has just put there. */
function keep() {
  clearTimeout(keeping);
  keeping = setTimeout(() => location.hash === written && write(), 150);
}

function write() {
  history.replaceState(null, "", toHash(data, past.now, view, mark));
  written = location.hash;
}

function edit(state, kind = null) {
  past.push(state, kind);
  tell("");
  draw();
}

function choose(step) {
  if (step === view.step || !result) return;
  view.step = step;
  showItems();
  drawMap();
  drawPanel();
  keep();
}

function pick(item) {
  if (item === view.pick) return;
  view.pick = item;
  for (const line of document.querySelectorAll(".top button")) line.setAttribute("aria-pressed", "false");
  const at = result.order.indexOf(item);
  document.querySelectorAll(".top button")[at]?.setAttribute("aria-pressed", "true");
  drawWhy();
  if (view.block === "scores") drawPanel();
  keep();
}

function openBlock(id) {
  view.block = id;
  drawMap();
  drawPanel();
  keep();
}

const tell = text => { $("said").textContent = text; };

function begin(user) {
  before = resting(user);
  past = new Past(before.state);
  view.step = Math.max(before.state.items.length - 3, 0);
  view.pick = null;
  draw();
}

/** The state that the address holds; the start where it holds none, or one that cannot be read. */
function restore() {
  const limits = { mark, most, blocks: BLOCKS.map(block => block.id), layers: model.config.n_layers, heads: model.heads, stops: tour.count };
  const { state, view: shown, fault } = location.hash.length > 1 ? fromHash(data, location.hash, limits) : {};
  written = location.hash;
  Object.assign(view, rest);
  tell(fault ? `The link in the address ${fault}. The page is at its start.` : "");
  if (!state) return begin(0);
  before = resting(state.user);
  past = new Past(before.state);
  if (JSON.stringify(state) !== JSON.stringify(before.state)) past.push(state);
  view.step = Math.max(state.items.length - 3, 0);
  for (const [key, value] of Object.entries(shown)) if (value !== null) view[key] = value;
  draw();
  tour.open(view.stop);
}

// --- the page's parts ---

const { about } = data, told = value => typeof value === "number" ? value.toFixed(3) : value;
const name = about.system === "mmm4rec+id" ? "MMM4Rec + ID" : "MMM4Rec";
const trainedHow = `${about.scale === "full" ? "full scale" : `cut short to ${about.scale} scale`}, seed ${about.seed}, ${about.date}`;
$("model").textContent = `${name}, ${about.dataset}, ${trainedHow}`;
$("whose").append(...[make("strong", {}, `${name}${about.system === "mmm4rec+id" ? " (with item ids)" : ""}, trained on ${about.dataset}`),
  ` (preset ${about.protocol}, ${about.epochs ? `${count(about.epochs, "epoch")}, ` : ""}${trainedHow}). `,
  about.ndcg === null || about.ndcg === undefined ? "Pre-trained only; not tested. "
    : `NDCG@10 ${told(about.ndcg)} and Recall@10 ${told(about.recall)} on its test histories (${about.n_test_rows}), among ${count(about.items, "item")}. `,
  about.kept < about.items ? `This page holds ${about.kept} of the ${about.items} items and ranks those alone. ` : "",
  about.made_up ? "The shop is made up, and some of its pictures and names are wrong on purpose. " : ""]);
document.title = `MMM4Rec alive: ${about.dataset}`;
const historyCards = historyView($("history"), data, { most, timed: model.config.time, edit, choose, close: () => past.close(), tell, why: pick });
const ranking = rankingView($("top"), data, { onpick: pick }), why = whyView($("why"), data, model.config.item_bias);
const way = wayStrip($("way"), data, { choose }), map = modelMap($("map"), { onopen: openBlock });
const tour = tourView($("tour"), { model, data, result: () => result, pick, restart: () => begin(past.now.user),
  apply: (state, block) => { view.block = block; edit(state); }, onstop: index => { view.stop = index; keep(); } });
$("map").after(mapLegend());

$("user").append(...data.histories.map(({ user, items }, i) => new Option(`${shortened(user, 40)} (${count(items.length, "item")})`, i)));
$("user").addEventListener("input", event => begin(+event.target.value));
for (const [name, label] of Object.entries(SWITCHES)) {
  const { config } = model, impossible = !config.time && ["time", "adaptive", "learnable"].includes(name)
    || name === "adaptive" && !config.adaptive_filter || name === "learnable" && !config.learnable_filter;
  if (impossible) continue;
  const box = make("input", { type: "checkbox", checked: true, data: { control: name } });
  box.addEventListener("input", () => edit(switched(past.now, name)));
  $("switches").append(make("label", {}, box, " ", label));
}
if (model.config.n_layers > 1) {
  const choice = make("select", { data: { control: "layer" } }, ...Array.from({ length: model.config.n_layers }, (_, l) => new Option(`layer ${l + 1}`, l)));
  choice.addEventListener("input", () => { view.layer = +choice.value; drawMap(); drawPanel(); keep(); });
  $("map").before(make("label", { className: "inline" }, "Shown: ", choice));
}
$("undo").addEventListener("click", () => { past.undo(); draw(); tell("Undone."); });
$("again").addEventListener("click", () => { begin(past.now.user); tell("As at the start."); });
$("link").addEventListener("click", async () => {
  write();
  const where = location.protocol === "file:" ? "Its part behind # opens this state in any copy of the page." : "It opens this state anywhere.";
  await (navigator.clipboard?.writeText(location.href) ?? Promise.reject()).then(() => tell(`The link is copied. ${where}`),
    () => tell(`The link is in the address bar. ${where}`));
});
document.addEventListener("keydown", event => {
  const typing = event.target.matches?.("input[type=search]");
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !typing) {
    event.preventDefault();
    $("undo").click();
  }
});
addEventListener("hashchange", restore);
restore();

/** For the console, and for tests: the model to play with. */
globalThis.mmm4rec = { data, model, build, embed, forward, masks, scoreParts, scores, contributions, SCANS,
  state: () => past.now, result: () => result, view, draw, edit, start, fingerprint };
