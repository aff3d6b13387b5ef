/** What the reader has done: a history, what is taken away, what is switched off. No DOM.

    A state is never changed: every edit makes another. `gaps` are whole seconds before each item, the first is 0; all
    of them count `scale` times. The first item's time is the user's own. `lost` lists rows of items. */

export const SWITCHES = { time: "time", adaptive: "adaptive filters (eq. 13, 14)", learnable: "learnable filter (eq. 16)",
  memory: "memory of the states", convolutions: "convolutions", images: "all pictures", texts: "all texts" };
export const DAY = 86400;
const LONGEST = 100 * 365 * DAY;

export function start(data, user) {
  const { items, times } = data.histories[user];
  const gaps = times.map((time, t) => t ? Math.max(time - times[t - 1], 0) : 0);
  return { user, items: [...items], gaps, scale: 1, lost: { text: [], image: [] }, off: [] };
}

export const scaledGaps = ({ gaps, scale }) => gaps.map(gap => Math.min(Math.round(gap * scale), LONGEST));

export function times(data, state) {
  let now = data.histories[state.user].times[0];
  return scaledGaps(state).map(gap => now += gap);
}

/** What `forward` is given. */
export function given(data, state) {
  const all = new Set(data.items.keys()), off = new Set(state.off);
  const lost = { text: off.has("texts") ? all : new Set(state.lost.text), image: off.has("images") ? all : new Set(state.lost.image) };
  return { history: { items: state.items, times: times(data, state) }, off, lost };
}

// --- edits; places are counted from 0 ---

/** The item goes to another place; the times stay where they are. */
export function moved(state, from, to) {
  const items = [...state.items], [one] = items.splice(from, 1);
  items.splice(to, 0, one);
  return { ...state, items };
}

/** Without an item; the others keep their times. The last one stays. */
export function removed(state, place) {
  if (state.items.length < 2) return state;
  const gaps = [...state.gaps], items = state.items.filter((_, t) => t !== place);
  if (place + 1 < gaps.length && place > 0) gaps[place + 1] += gaps[place];
  gaps.splice(place, 1);
  gaps[0] = 0;
  return { ...state, items, gaps };
}

/** An item more at the end, after a usual gap; what the window does not hold leaves at the front. */
export function addedItem(state, item, most) {
  const inner = state.gaps.slice(1).sort((a, b) => a - b), usual = inner.length ? inner[inner.length >> 1] : DAY;
  const items = [...state.items, item].slice(-most), gaps = [...state.gaps, usual].slice(-most);
  gaps[0] = 0;
  return { ...state, items, gaps };
}

export function withGap(state, place, seconds) {
  const gaps = [...state.gaps];
  if (place) gaps[place] = Math.min(Math.max(Math.round(seconds / state.scale), 0), LONGEST);
  return { ...state, gaps };
}

const toggled = (list, one) => list.includes(one) ? list.filter(other => other !== one) : [...list, one];
export const withLost = (state, kind, item) => ({ ...state, lost: { ...state.lost, [kind]: toggled(state.lost[kind], item) } });
export const switched = (state, name) => ({ ...state, off: toggled(state.off, name) });

// --- undo ---

/** All states so far. Edits of one kind in a row (a slider that is drawn) count as one until `close`. */
export class Past {
  constructor(state) { this.states = [state]; this.kind = null; }
  get now() { return this.states[this.states.length - 1]; }
  get canUndo() { return this.states.length > 1; }
  push(state, kind = null) {
    if (state === this.now) return;
    if (kind && kind === this.kind) this.states.pop();
    this.kind = kind;
    this.states = [...this.states, state].slice(-200);
  }
  close() { this.kind = null; }
  undo() { if (this.canUndo) this.states.pop(); this.close(); }
}

// --- a link that holds the state ---

const numbers = list => list.join(".");
const PARTS = { u: "the user", i: "the items", g: "the gaps", x: "the length of all gaps", nt: "the texts taken away",
  ni: "the pictures taken away", off: "the parts switched off", b: "the open block", l: "the layer", s: "the chosen item",
  h: "the head", r: "the recommendation", stop: "the question", p: "the page" };

/** Eight letters for the weights, users and items of a page (FNV-1a): a link says for which page it was made. */
export function fingerprint({ config, tensors, histories, items }) {
  const text = JSON.stringify([config, tensors, histories, items.map(item => item.id)]);
  let hash = 0x811c9dc5;
  for (let k = 0; k < text.length; k++) hash = Math.imul(hash ^ text.charCodeAt(k), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/** The part of an address behind #. `view`: what is open and pointed at; `mark`: the page's fingerprint. It comes last, so
    a link that was cut short lacks it. */
export function toHash(data, state, view, mark) {
  const parts = { u: state.user }, own = start(data, state.user), same = key => numbers(state[key]) === numbers(own[key]);
  if (!same("items") || !same("gaps")) Object.assign(parts, { i: numbers(state.items), g: numbers(state.gaps) });
  if (state.scale !== 1) parts.x = state.scale;
  for (const [key, list] of [["nt", state.lost.text], ["ni", state.lost.image], ["off", state.off]]) if (list.length) parts[key] = numbers(list);
  for (const [key, value] of Object.entries({ b: view.block, l: view.layer, s: view.step, h: view.head, r: view.pick, stop: view.stop }))
    if (value !== null && value !== undefined) parts[key] = value;
  return `#${new URLSearchParams({ ...parts, p: mark })}`;
}

/** The { state, view } of such an address, or { fault }: what of it cannot be read. limits: what the page has, { mark, most,
    blocks, layers, heads, stops }. */
export function fromHash(data, hash, { mark, most, blocks, layers, heads, stops }) {
  const parts = new URLSearchParams(hash.replace(/^#/, "")), page = parts.get("p");
  if (page !== mark) return { fault: /^[0-9a-f]{8}$/.test(page) ? "was made for another page, with other weights, users or items" : "is cut short, or not of this page" };
  const wrong = new Set([...parts.keys()].filter(key => !Object.hasOwn(PARTS, key)).map(key => `"${key}"`));
  const one = (key, fits) => {
    const text = parts.get(key);
    if (text === null || fits(text)) return text;
    wrong.add(PARTS[key]);
    return null;
  };
  const below = end => text => /^\d+$/.test(text) && +text < end, row = below(data.items.length);
  const list = (key, fits) => one(key, text => text.split(".").every(fits))?.split(".");
  const number = (key, end) => one(key, below(end)) && +parts.get(key);
  const own = start(data, number("u", data.histories.length) ?? 0);
  const items = list("i", row)?.map(Number) ?? own.items, gaps = list("g", below(LONGEST + 1))?.map(Number) ?? own.gaps;
  const lost = { text: list("nt", row)?.map(Number) ?? [], image: list("ni", row)?.map(Number) ?? [] };
  const off = list("off", name => Object.hasOwn(SWITCHES, name)) ?? [], scale = +(one("x", text => +text >= 1e-3 && +text <= 1e3) ?? 1);
  const view = { block: one("b", id => blocks.includes(id)), layer: number("l", layers), step: number("s", items.length),
    head: number("h", heads), pick: number("r", data.items.length), stop: number("stop", stops) };
  if (!wrong.size && (items.length !== gaps.length || items.length > most)) wrong.add(PARTS.i).add(PARTS.g);
  if (wrong.size) return { fault: `is damaged: ${[...wrong].join(", ")} cannot be read` };
  gaps[0] = 0;
  return { state: { ...own, items, gaps, scale, lost, off }, view };
}
