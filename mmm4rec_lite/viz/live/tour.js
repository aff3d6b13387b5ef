/** Six stops with a question each: predict, do it on the page, and read the answer off this very model. */

import { count, digits, make, percent, shortened } from "./drawing.js";
import { leftOver } from "./decay.js";
import { forward, norm } from "./model.js";
import { DAY, moved, scaledGaps, withGap, withLost } from "./state.js";

const overlap = (a, b, k = 10) => a.slice(0, k).filter(i => b.slice(0, k).includes(i)).length;
const mean = values => values.reduce((a, b) => a + b, 0) / values.length;
const level = share => share >= 0.999 ? "all ten" : share > 0.5 ? "most of them" : "half of them or fewer";
const STAY = ["all ten", "most of them", "half of them or fewer"];

/** What the last step has of the items before `place`, the mean over the heads of the texts' first scan. */
function keptBefore({ trace, gaps }, place) {
  const scan = trace.layers[0].text;
  return mean(scan.A.map((A, h) => mean(leftOver(gaps, scan.dt.map(row => row[h]), A).left.slice(0, place))));
}

const longest = state => scaledGaps(state).reduce((best, gap, t, all) => t && gap > all[best] ? t : best, 1);

/** needs(data, state, model): whether the stop makes sense here; act(result): the new state, or none;
    open: the block to show; answer(before, after): [the choice that holds, the numbers]. Results are what live.js computes. */
const STOPS = [
  { title: "Order", question: "The two latest items change places; the times stay. How many of the top ten are still there?", choices: STAY,
    needs: (data, state) => state.items.length > 1, open: "fused", act: ({ state }) => moved(state, state.items.length - 1, state.items.length - 2),
    answer: (before, after) => {
      const stay = overlap(before.order, after.order);
      return [level(stay / 10), `${stay} of 10. In this model the order of the items acts through the convolutions and the decay.`];
    } },
  { title: "A long absence", question: "The longest gap becomes two years. What does the last step still have of the items before it?",
    choices: ["more of them", "about as much", "less of them"], needs: (data, state, model) => model.config.time && state.items.length > 1, open: "ssd_text",
    act: ({ state }) => withGap(state, longest(state), 730 * DAY),
    answer: (before, after) => {
      const place = longest(after.state), [a, b] = [before, after].map(one => keptBefore(one, place)), change = b / a - 1;
      const choice = Math.abs(change) < 0.05 ? "about as much" : change > 0 ? "more of them" : "less of them";
      return [choice, `${percent(a)} were left, ${percent(b)} now (mean over the heads of the texts' block). In the decay masks below: which heads depend on the gaps?`];
    } },
  { title: "Without time", question: "Time is switched off: every step counts alike. How many of the top ten are still there?", choices: STAY,
    needs: (data, state, model) => model.config.time, open: "scale", act: ({ state }) => ({ ...state, off: [...new Set([...state.off, "time"])] }),
    answer: (before, after) => {
      const stay = overlap(before.order, after.order);
      return [level(stay / 10), `${stay} of 10. This model was trained with time; one trained without it would have other weights.`];
    } },
  { title: "A picture less", question: "The latest item loses its picture. What happens to the picture's part of the first recommendation's score?",
    choices: ["it rises", "it hardly moves", "it falls"], open: "image", needs: (data, state) => data.items[state.items[state.items.length - 1]].picture
      && !state.lost.image.includes(state.items[state.items.length - 1]), act: ({ state }) => withLost(state, "image", state.items[state.items.length - 1]),
    answer: (before, after) => {
      const first = before.order[0], [a, b] = [before, after].map(({ parts }) => parts[2 * first + 1]), change = b - a;
      const choice = Math.abs(change) < 0.02 * Math.max(Math.abs(a), 0.1) ? "it hardly moves" : change > 0 ? "it rises" : "it falls";
      return [choice, `It was ${digits(a)} and is ${digits(b)}. Its text stays, and so do its own learned vectors where the model has item ids.`];
    } },
  { title: "No memory", question: "The states forget everything at every step. How many of the latest items still reach the recommendation by what they are, "
      + "their text and picture?", choices: ["the last alone", "some of the latest", "all of them"], open: "fusion", needs: (data, state) => state.items.length > 1,
    act: ({ state }) => ({ ...state, off: [...new Set([...state.off, "memory"])] }),
    answer: (before, after, model) => {
      const { history, off, lost } = after.given, n = history.items.length, timeless = new Set([...off, "time"]);
      const userWith = step => forward(model, history, timeless, lost, step).user, user = userWith(null);
      const reach = history.items.map((_, step) => norm(userWith(step).map((value, c) => value - user[c])) > 1e-6 * norm(user));
      const some = reach.filter(Boolean).length, choice = some === 1 ? "the last alone" : some === n ? "all of them" : "some of the latest";
      return [choice, `${some} of ${n}. Without states only the convolutions look back, ${count(model.config.d_conv - 1, "step")} in TiSSD and as many in TiCoSSD. `
        + (model.config.time && !off.has("time") ? "Of the others only the pauses still count, through the time branch." : "")];
    } },
  { title: "Who carries it", question: "Which past item adds most to the first recommendation's score?", open: "scores",
    choices: ["the latest", "one of the middle", "the oldest"], needs: (data, state) => state.items.length > 2, act: () => null,
    answer: (before, after) => {
      const gains = after.contributions().map(row => row[after.order[0]]), best = gains.indexOf(Math.max(...gains)), n = gains.length;
      const title = shortened(after.titles[best], 40);
      return [best === n - 1 ? "the latest" : best === 0 ? "the oldest" : "one of the middle", `Item ${best + 1} of ${n}, ${title}: ${digits(gains[best])} of the score is lost without it.`];
    } },
];

/** host: { model, data, result(), apply(state, block), pick(item), onstop(index) }. */
export function tourView(root, host) {
  const buttons = STOPS.map((stop, i) => make("button", { type: "button", onclick: () => open(i) }));
  const line = make("ol", { className: "stops" }, ...buttons.map(button => make("li", {}, button))), body = make("div", { className: "stop", aria: { live: "polite" } });
  const done = STOPS.map(() => null);
  root.append(line, body);

  function open(index) {
    host.onstop(index);
    const stop = STOPS[index], { state, order } = host.result();
    const usable = order.length && stop.needs(host.data, state, host.model);
    const choices = stop.choices.map(choice => make("button", { type: "button", onclick: () => predict(index, choice), disabled: !usable }, choice));
    const unfit = make("p", { className: "note" }, "This history or model cannot show it: start again, or take another user.");
    fill(stop, index, usable ? make("p", { className: "choices" }, "Your prediction: ", ...choices) : unfit);
  }

  /** The question, and what is below it; a focus that was in there goes to the first button. */
  function fill(stop, index, ...below) {
    const focused = body.contains(document.activeElement);
    body.replaceChildren(make("p", {}, make("strong", {}, `${index + 1}. ${stop.title}. `), stop.question), ...below);
    if (focused) body.querySelector("button:enabled")?.focus({ preventScroll: true });
    mark(index);
  }

  function predict(index, choice) {
    const stop = STOPS[index], before = host.result(), state = stop.act(before);
    host.apply(state ?? before.state, stop.open);
    if (stop.open === "scores") host.pick(before.order[0]);
    const [holds, numbers] = stop.answer(before, host.result(), host.model), right = holds === choice;
    done[index] = right;
    const last = index + 1 === STOPS.length, next = make("button", { type: "button", onclick: () => { host.restart(); open(last ? 0 : index + 1); } },
      last ? "From the beginning" : "Start again and go on");
    fill(stop, index, make("p", { className: right ? "right" : "wrong" }, `${right ? "As you said" : `You said: ${choice}`}. It is done on the page; the answer: `, make("strong", {}, holds), `. ${numbers}`),
      make("p", { className: "choices" }, next));
  }

  function mark(index) {
    buttons.forEach((button, i) => {
      const [className, sign] = done[i] === null ? ["", ""] : done[i] ? ["right", " ✓"] : ["wrong", " ✗"];
      Object.assign(button, { className, textContent: `${i + 1}. ${STOPS[i].title}${sign}` });
      button.setAttribute("aria-current", i === index ? "step" : "false");
    });
  }

  mark(null);
  body.append(make("p", {}, "Predict first, then see: each stop asks, waits for your guess, changes the page, and reads the answer off this model."));
  return { open: index => index !== null && STOPS[index] && open(index), count: STOPS.length };
}
