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

/** The part of an address behind #. `view`: what is open and pointed at. */
export function toHash(data, state, view) {
  const parts = { u: state.user }, own = start(data, state.user), same = key => numbers(state[key]) === numbers(own[key]);
  if (!same("items") || !same("gaps")) Object.assign(parts, { i: numbers(state.items), g: numbers(state.gaps) });
  if (state.scale !== 1) parts.x = state.scale;
  for (const [key, list] of [["nt", state.lost.text], ["ni", state.lost.image], ["off", state.off]]) if (list.length) parts[key] = numbers(list);
  for (const [key, value] of Object.entries({ b: view.block, l: view.layer, s: view.step, h: view.head, r: view.pick, stop: view.stop }))
    if (value !== null && value !== undefined) parts[key] = value;
  return `#${new URLSearchParams(parts)}`;
}

/** The state and view of such an address; null where it is not one of this page. */
export function fromHash(data, hash, most) {
  const parts = new URLSearchParams(hash.replace(/^#/, "")), whole = (text, end) => /^\d+$/.test(text ?? "") && +text < end;
  if (!whole(parts.get("u"), data.histories.length)) return null;
  const list = (key, fits) => {
    const values = (parts.get(key) ?? "").split(".").filter(Boolean);
    return values.every(fits) ? values : null;
  };
  const rows = key => list(key, text => whole(text, data.items.length))?.map(Number), own = start(data, +parts.get("u"));
  const lost = { text: rows("nt"), image: rows("ni") }, off = list("off", name => Object.hasOwn(SWITCHES, name));
  const items = parts.has("i") ? rows("i") : own.items;
  const gaps = parts.has("g") ? list("g", text => whole(text, LONGEST + 1))?.map(Number) : own.gaps;
  const scale = parts.has("x") ? +parts.get("x") : 1;
  const sound = items?.length && items.length === gaps?.length && items.length <= most && lost.text && lost.image && off
    && scale >= 1e-3 && scale <= 1e3;
  if (!sound) return null;
  const number = (key, end) => whole(parts.get(key), end) ? +parts.get(key) : null;
  const view = { block: parts.get("b"), layer: number("l", 99), step: number("s", items.length), head: number("h", 999),
    pick: number("r", data.items.length), stop: number("stop", 99) };
  gaps[0] = 0;
  return { state: { ...own, items, gaps, scale, lost, off }, view };
}
