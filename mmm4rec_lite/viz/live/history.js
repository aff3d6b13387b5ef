/** The history as cards: choose, drag, move by keys, remove, add; gaps; what is taken away. */

import { make, shortened, span, thumbnail, update } from "./drawing.js";
import { addedItem, moved, removed, withGap, withLost } from "./state.js";

const FOUND = 8;

/** edit(state, kind): a new state, of a kind where many make one; choose(step); close(): a slider was let go; tell(text):
    say it aloud; why(item): ask for an item's score. */
export function historyView(root, data, { most, timed, edit, choose, close, tell, why }) {
  const cards = make("ol", { className: "cards", aria: { label: "History, oldest first" } });
  const tools = make("div", { className: "tools" }), value = () => make("span", { className: "value", aria: { hidden: "true" } }), output = value();
  const gap = make("input", { type: "range", min: 0, max: 19, step: 0.05, data: { control: "gap" } });
  const scaleOutput = value(), scale = make("input", { type: "range", min: -3, max: 3, step: 0.05, data: { control: "scale" } });
  const search = make("input", { type: "search", data: { control: "search" }, placeholder: "part of a title" });
  const found = make("ul", { className: "found" });
  let now = null, step = 0;
  const gapLabel = make("label", { className: "slider" }, make("span", { className: "gap-name" }), output, gap);
  const scaleLabel = make("label", { className: "slider" }, "All gaps ", scaleOutput, scale);
  root.append(cards, tools, ...(timed ? [gapLabel, scaleLabel] : []), make("label", { className: "slider" }, "Add an item at the end ", search), found);

  const titleOf = t => data.items[now.items[t]].title, onCard = () => cards.contains(document.activeElement);

  function move(from, to) {
    if (to < 0 || to >= now.items.length || to === from) return;
    const said = `${titleOf(from)} is now item ${to + 1} of ${now.items.length}`, byCard = onCard();
    choose(to);
    edit(moved(now, from, to));
    tell(said);
    if (byCard) cards.children[to].firstChild.focus();
  }

  function remove(place) {
    if (now.items.length < 2) return tell("A history needs one item at least; add another before this one goes.");
    const said = `${titleOf(place)} is removed`, byCard = onCard();
    edit(removed(now, place));
    tell(said);
    if (byCard) cards.children[Math.min(place, now.items.length - 1)].firstChild.focus();
  }

  const button = (text, control, onclick, pressed) => make("button", { type: "button", onclick, data: { control },
    aria: pressed === undefined ? {} : { pressed } }, text);

  function toolbar() {
    const i = now.items[step], item = data.items[i], lost = kind => now.lost[kind].includes(i);
    const focused = tools.contains(document.activeElement) ? document.activeElement.dataset.control : null;
    tools.replaceChildren(make("strong", { dir: "auto" }, `${step + 1}. ${shortened(item.title, 60)}`),
      button("← earlier", "earlier", () => move(step, step - 1)), button("later →", "later", () => move(step, step + 1)),
      button("remove", "remove", () => remove(step)),
      button(lost("image") ? "picture back" : "take the picture away", "image", () => edit(withLost(now, "image", i)), lost("image")),
      button(lost("text") ? "text back" : "take the text away", "text", () => edit(withLost(now, "text", i)), lost("text")));
    tools.querySelector("[data-control=earlier]").disabled = step === 0;
    tools.querySelector("[data-control=later]").disabled = step === now.items.length - 1;
    if (focused) (tools.querySelector(`[data-control=${focused}]:enabled`) ?? tools.querySelector("button:enabled")).focus();
  }

  /** The card of a place; the one that is there already, if it says the same. */
  function card(i, t, gaps) {
    const item = data.items[i], gone = { image: now.lost.image.includes(i) || now.off.includes("images"),
      text: now.lost.text.includes(i) || now.off.includes("texts") };
    const title = make("span", { className: "name", dir: "auto" }, gone.text ? make("s", {}, item.title) : item.title);
    const words = t ? `+ ${span(gaps[t])}` : "first";
    const label = `Item ${t + 1} of ${now.items.length}: ${item.title}, ${t ? `${span(gaps[t], true)} after the one before` : "the first"}`
      + `${gone.image && item.picture ? ", picture taken away" : item.picture ? "" : ", has no picture"}${gone.text ? ", text taken away" : ""}`;
    const there = cards.children[t];
    if (there?.label === label) {
      there.firstChild.setAttribute("aria-current", t === step);
      return there;
    }
    const face = make("button", { type: "button", className: "card", aria: { label, current: t === step } },
      make("span", { className: "place" }, `${t + 1}`), thumbnail(item, gone.image), title, ...(timed ? [make("small", {}, words)] : []));
    face.addEventListener("click", () => choose(t));
    face.addEventListener("keydown", event => keys(event, t));
    const shell = Object.assign(make("li", {}, face), { label });
    shell.addEventListener("pointerdown", event => drag(event, t));
    return shell;
  }

  function keys(event, t) {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (by && event.altKey) move(t, t + by);
    else if (by && now.items[t + by] !== undefined) {
      choose(t + by);
      cards.children[t + by].firstChild.focus();
    } else if (event.key === "Delete" || event.key === "Backspace") remove(t);
    else return;
    event.preventDefault();
  }

  /** By pointer: a card follows for as long as it is held; where it is let go, it goes in. */
  function drag(event, from) {
    if (event.button !== 0) return;
    const card = event.currentTarget, start = { x: event.clientX, y: event.clientY };
    let to = from, going = false;
    const over = at => [...cards.children].findIndex(other => {
      const box = other.getBoundingClientRect();
      return other !== card && at.clientX > box.left && at.clientX < box.right && at.clientY > box.top && at.clientY < box.bottom;
    });
    const follow = at => {
      if (!going && Math.hypot(at.clientX - start.x, at.clientY - start.y) < 8) return;
      if (!going) {
        going = true;
        card.setPointerCapture(at.pointerId);
        card.classList.add("dragged");
      }
      card.style.transform = `translate(${at.clientX - start.x}px, ${at.clientY - start.y}px)`;
      const place = over(at);
      if (place >= 0) to = place;
      [...cards.children].forEach((other, t) => other.classList.toggle("target", t === to && t !== from));
    };
    const end = at => {
      for (const [name, listener] of listeners) card.removeEventListener(name, listener);
      card.classList.remove("dragged");
      card.style.transform = "";
      [...cards.children].forEach(other => other.classList.remove("target"));
      if (!going) return;
      card.addEventListener("click", click => { click.preventDefault(); click.stopPropagation(); }, { capture: true, once: true });
      setTimeout(() => { if (at.type === "pointerup" && to !== from) move(from, to); });
    };
    const listeners = [["pointermove", follow], ["pointerup", end], ["pointercancel", end]];
    for (const [name, listener] of listeners) card.addEventListener(name, listener);
  }

  function look() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = words.length ? [...data.items.keys()].filter(i => words.every(word => data.items[i].title.toLowerCase().includes(word))) : [];
    const lines = hits.slice(0, FOUND).map(i => make("li", {}, thumbnail(data.items[i]), make("span", { className: "name", dir: "auto" }, data.items[i].title),
      button("add", "add", () => add(i)), button("its score", "why", () => why(i))));
    const rest = hits.length > FOUND ? [make("li", {}, `and ${hits.length - FOUND} more: go on typing`)] : [];
    found.replaceChildren(...(words.length && !hits.length ? [make("li", {}, "No title on this page has these words.")] : [...lines, ...rest]));
  }

  function add(i) {
    const full = now.items.length === most;
    edit(addedItem(now, i, most));
    tell(`${data.items[i].title} is added${full ? `; the model sees ${most} items, so the oldest has left` : ""}`);
    choose(now.items.length - 1);
  }

  search.addEventListener("input", look);
  gap.addEventListener("input", () => edit(withGap(now, step, Math.expm1(+gap.value)), `gap ${step}`));
  scale.addEventListener("input", () => edit({ ...now, scale: +(10 ** +scale.value).toPrecision(3) }, "scale"));
  for (const slider of [gap, scale]) slider.addEventListener("change", close);

  /** gaps: in seconds, already scaled. */
  function show(state, gaps, chosen) {
    now = state;
    step = chosen;
    const focused = [...cards.children].findIndex(shell => shell.contains(document.activeElement));
    update(cards, state.items.map((i, t) => card(i, t, gaps)));
    if (focused >= 0) cards.children[Math.min(focused, state.items.length - 1)].firstChild.focus({ preventScroll: true });
    toolbar();
    gapLabel.firstChild.textContent = step ? `Gap before item ${step + 1} ` : "The first item has no gap ";
    const factor = +state.scale.toPrecision(3), words = spoken => step ? span(gaps[step], spoken) : "";
    for (const [slider, out, at, text, spoken] of [[gap, output, Math.log1p(gaps[step]), words(), words(true) || "none"],
      [scale, scaleOutput, Math.log10(state.scale), `× ${factor}`, `times ${factor}`]]) {
      slider.value = at;
      out.textContent = text;
      slider.setAttribute("aria-valuetext", spoken);
    }
    gap.disabled = !step;
    scale.disabled = state.items.length < 2;
  }

  return { show };
}
