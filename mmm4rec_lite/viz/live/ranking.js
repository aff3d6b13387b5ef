/** The top ten, what rose and fell against the start, and why an item scores what it does. */

import { bar, digits, make, shortened, signed, term, thumbnail, update } from "./drawing.js";
import { scores } from "./model.js";

const SHOWN = 10;

/** Items by score, best first, without those of the history, as `recommend` ranks them: { order, rank }. */
export function ranked(values, history) {
  const seen = new Set(history), order = [...values.keys()].filter(i => !seen.has(i)).sort((a, b) => values[b] - values[a] || a - b);
  return { order, rank: new Map(order.map((i, place) => [i, place + 1])) };
}

/** onpick(item): the reader points at a recommendation. */
export function rankingView(root, data, { onpick }) {
  const list = make("ol", { className: "top" });
  const fallen = make("p", { className: "note" });
  const empty = make("p", { className: "note" }, "No item is left to recommend: all of this page are in the history.");
  root.append(make("p", { className: "keys", aria: { hidden: "true" } }, make("i", { className: "text-part" }), "text", make("i", { className: "image-part" }), "picture"), list, fallen, empty);

  function movement(item, place, before) {
    const was = before.get(item);
    if (!was) return ["was in the history", "new", "new"];
    if (was === place) return ["as at the start", "=", "same"];
    return [`was ${was}`, was > place ? `▲ ${was - place}` : `▼ ${place - was}`, was > place ? "up" : "down"];
  }

  /** Which of the ten at the start are none of the ten now. */
  function out(rank, before) {
    const gone = [...before].slice(0, SHOWN).filter(([i]) => !(rank.get(i) <= SHOWN));
    const told = ([i, was]) => `${shortened(data.items[i].title, 40)} (was ${was}, ${rank.has(i) ? `now ${rank.get(i)}` : "now in the history"})`;
    return gone.length ? `Fell out of the ten: ${gone.map(told).join("; ")}.` : "";
  }

  /** order: items, best first; rank: their places, before: those at the start; picked: the item that is explained. */
  function show({ order, rank, parts, before, picked }) {
    fallen.textContent = out(rank, before);
    const top = order.slice(0, SHOWN), at = (i, m) => parts[2 * i + m], focused = list.contains(document.activeElement)
      ? [...list.children].findIndex(line => line.contains(document.activeElement)) : -1;
    const high = Math.max(1e-9, ...top.flatMap(i => [at(i, 0), at(i, 1), at(i, 0) + at(i, 1)]));
    const low = Math.min(0, ...top.flatMap(i => [at(i, 0), at(i, 1)]));
    empty.hidden = top.length > 0;
    update(list, top.map((i, k) => {
      const [told, sign, kind] = movement(i, k + 1, before), [text, image] = [at(i, 0), at(i, 1)], item = data.items[i];
      const label = `${k + 1}. ${item.title}, score ${digits(text + image)}: text ${digits(text)}, picture ${digits(image)}; ${told}`;
      const key = `${i} ${label} ${low} ${high}`, there = list.children[k];
      if (there?.key === key) {
        there.firstChild.setAttribute("aria-pressed", i === picked);
        return there;
      }
      const line = make("button", { type: "button", aria: { label, pressed: i === picked } }, make("span", { className: "place" }, `${k + 1}`),
        thumbnail(item), make("span", { className: "name", dir: "auto" }, item.title), make("span", { className: `move ${kind}` }, sign),
        make("span", { className: "bars" }, bar(text, low, high, "text-part"), bar(image, low, high, "image-part")),
        make("span", { className: "score" }, digits(text + image)));
      line.addEventListener("click", () => onpick(i));
      line.addEventListener("pointerenter", () => onpick(i));
      line.addEventListener("focus", () => onpick(i));
      return Object.assign(make("li", {}, line), { key });
    }));
    if (focused >= 0) list.children[focused]?.firstChild.focus({ preventScroll: true });
  }

  return { show };
}

/** Why an item scores what it does: its parts, and each past item's contribution where they are known.
    withIds: the model has learned vectors per item. */
export function whyView(root, data, withIds) {
  function show({ item, state, parts, found, order, rank, older }) {
    if (item === null) return root.replaceChildren(make("p", { className: "note" }, "Point at a recommendation."));
    const [text, image] = [parts[2 * item], parts[2 * item + 1]], place = rank.get(item);
    const head = make("p", { className: "why-head" }, thumbnail(data.items[item]), make("strong", { dir: "auto" }, shortened(data.items[item].title, 90)),
      make("span", {}, `${digits(text + image)} = ${digits(text)} text ${term(image)} picture`
        + (place ? `; place ${place} of ${order.length}` : "; in the history, so not ranked")));
    const nodes = [head];
    if (withIds) nodes.push(make("p", { className: "note" }, "This model has item ids: each item has two learned vectors, one added to its text vector, one to "
      + "its picture vector (E in eq. 2). So the id is in both parts, also where an item has no text or picture."));
    if (state.items.length < 2) nodes.push(make("p", { className: "note" }, "The history has this one item: there is nothing to leave out."));
    else if (!found) nodes.push(make("p", { className: "note" }, "Leaving each past item out …"));
    else nodes.push(table(item, state, found, parts, place, older));
    root.replaceChildren(...nodes);
  }

  function table(item, state, found, parts, place, older) {
    const gains = found.map(row => row[item]), low = Math.min(0, ...gains), high = Math.max(1e-9, ...gains), whole = scores(parts);
    const lines = state.items.map((i, s) => {
      const without = whole.map((value, k) => value - found[s][k]), left = new Set([...older, ...state.items.filter((_, t) => t !== s)]);
      const then = 1 + without.reduce((above, value, k) => above + (value > without[item] && !left.has(k)), 0);
      const moved = place ? `place ${then}` : "";
      return make("tr", {}, make("th", { scope: "row", dir: "auto" }, `${s + 1}. ${shortened(data.items[i].title, 40)}`),
        make("td", {}, bar(gains[s], low, high, gains[s] < 0 ? "minus" : "plus")), make("td", { className: "number" }, signed(gains[s])),
        make("td", { className: "number" }, moved));
    });
    const head = make("tr", {}, ...[["past item", 1], ["what it adds", 2], ["without it", 1]].map(([text, colSpan]) =>
      make("th", { scope: "col", colSpan }, text)));
    return make("table", { className: "why-table" }, make("caption", {}, "The score minus the score of the history without this item. "
      + "The numbers need not add up to the score, because items act together."), make("thead", {}, head), make("tbody", {}, ...lines));
  }

  return { show };
}
