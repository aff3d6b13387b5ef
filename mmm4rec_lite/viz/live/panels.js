/** What a block shows when it is open: its tensors, its equation with the numbers of the step pointed at. */

import { scanOf, steps } from "./blocks.js";
import { leftOver } from "./decay.js";
import { count, curves, digits, figure, formula, heatMap, make, pixels, span, term } from "./drawing.js";
import { maskPanel } from "./mask.js";
import { amplitude, masks, norm } from "./model.js";

const columns = rows => Array.from(rows[0], (_, c) => rows.map(row => row[c])); // steps side by side
const largest = rows => Math.max(1e-9, ...rows.map(row => row.reduce((most, x) => Math.max(most, Math.abs(x)), 0)));
const COLOURS = ["var(--text-part)", "var(--image-part)", "#029e73"];

/** context: { data, model, state, gaps, trace, layer, step, head, onstep, onhead, pick, parts }. */
export function panelOf(id, context) {
  const { trace, layer } = context, own = trace.layers[layer];
  if (!own || (["gap", "scale", "enhanced", "filter"].includes(id) && !trace.time))
    return [make("p", {}, "No time is read: this block is switched off.")];
  return PANELS[id](context, own);
}

const channel = r => `channel ${r + 1}`, headName = r => `head ${r + 1}`;
const stepName = ({ data, state }) => t => `step ${t + 1} (${data.items[state.items[t]]?.title ?? "padding"})`;

/** Rows over steps as a heat map whose columns are the steps. */
function sequence(context, name, rows, row = channel, sign = true) {
  const values = columns(rows), high = largest(rows), letter = row === headName ? "head" : "channel";
  return heatMap({ values, name, shape: `${count(values.length, letter)} × ${count(rows.length, "step")}`, row, column: stepName(context),
    high, low: sign ? -high : 0, chosen: context.step, onpoint: (r, t) => row === headName && context.onhead(r, false) });
}

const perHead = (context, name, signals, sign = true) =>
  sequence(context, name, steps(signals).slice(0, context.trace.n), headName, sign);

/** Equations: [in letters, with the numbers of the chosen step]. */
function equations({ step }, ...lines) {
  const list = lines.map(([letters, numbers]) => make("li", {}, formula(letters), numbers ? make("div", { className: "numbers" },
    make("small", {}, `step ${step + 1}: `), formula(numbers)) : ""));
  return make("ul", { className: "equations" }, ...list);
}

function headChoice({ model, head, onhead }) {
  const names = Array.from({ length: model.heads }, (_, h) => new Option(headName(h), h, false, h === head));
  const choice = make("select", { onchange: event => onhead(+event.target.value, true) }, ...names);
  return make("label", { className: "inline" }, "Head ", choice);
}

// --- items and signals ---

const ONE_SIGNAL = () => make("p", { className: "note" }, "Shared weights read the same gaps for texts and pictures, so both have this one signal.");

function vectors(kind, letter) {
  return (context, { streams }) => {
    const { trace, step, model, layer } = context, first = layer === 0;
    const lines = [[`x_t = LN(Ψ^{${letter}} f_t${model.config.item_bias ? ` + E^{${letter}}_t` : ""})${model.config.gap_vector && trace.time ? " + D_t g" : ""}`,
      `length ${digits(norm(trace.raw[kind][step]))} before the norm, ${digits(norm(streams[kind][step]))} as it enters`]];
    if (!first) return [equations(context, ["what layer " + layer + " hands on"]), sequence(context, `x^{${letter}}`, streams[kind])];
    return [equations(context, ...lines), sequence(context, `Ψ^{${letter}} f${model.config.item_bias ? ` + E^{${letter}}` : ""}`, trace.raw[kind]),
      sequence(context, `x^{${letter}}`, streams[kind])];
  };
}

function gapPanel(context, { streams }) {
  const { model, gaps, step, trace, layer } = context, { tensors, config } = model, D = streams.dText[context.head];
  const line = { name: "D", values: Array.from(D.slice(0, trace.n)), colour: COLOURS[0] };
  const drawing = curves({ name: "D", shape: `${count(trace.n, "step")} of ${config.max_len}`, lines: [line], column: stepName(context), chosen: step });
  if (layer) return [equations(context, ["D: what layer " + layer + " hands on (eq. 9)", `D = ${digits(D[step])}`]), drawing];
  if (config.gaps !== "log") return [equations(context, ["D = LN(gaps in seconds)", `gap ${span(gaps[step])}, D = ${digits(D[step])}`]), drawing];
  const [mean, std] = ["log_mean", "log_std"].map(name => digits(tensors[`times.${name}`].data[0]));
  const numbers = step ? `(log(1 + ${gaps[step].toLocaleString("en")} s) − ${mean}) / ${std} = ${digits(D[step])}   (${span(gaps[step])})` : "0: nothing came before";
  return [equations(context, ["D_t = (log(1 + gap_t) − μ) / σ,  D_1 = 0", numbers]), drawing];
}

function scalePanel(context, own) {
  const { step, head, model } = context, shown = model.config.shared ? ["text"] : ["text", "image"];
  const nodes = shown.flatMap(kind => {
    const { alpha, scaled, first, dHat } = own[kind].time, label = model.config.shared ? "" : ` (${kind})`;
    const at = signal => digits(signal[head][step]);
    return [equations(context, ["α = Tanhshrink(W_2 SiLU(W_1 D))", `α = ${at(alpha)}`], ["α D", `${at(own[kind].d)} × ${at(alpha)} = ${at(scaled)}`],
      ["D̂ = ω_2(ω_1(α D)),  ω: causal convolution, then SiLU", `ω_1: ${at(first)}, ω_2: D̂ = ${at(dHat)}   (head ${head + 1})`]),
      perHead(context, `α${label}`, alpha), perHead(context, `ω_1(α D)${label}`, first), perHead(context, `D̂${label}`, dHat)];
  });
  return [headChoice(context), ...nodes];
}

function enhancedPanel(context, own) {
  const { step, head, trace } = context;
  const draw = (kind, letter) => {
    const { gate, signal } = own[kind].enhanced, g = gate[head][gate[head].length === 1 ? 0 : step];
    const cut = values => Array.from(values.slice(0, trace.n)), D = own[kind].d[head], dHat = own[kind].time.dHat[head];
    const lines = [{ name: "D", values: cut(D), colour: "var(--soft)" }, { name: "D̂", values: cut(dHat), colour: COLOURS[1] },
      { name: `D̃^{${letter}}`, values: cut(signal[head]), colour: COLOURS[0] }];
    return [equations(context, [`D̃^{${letter}} = LN(g D + (1 − g) D̂),  g = σ(w D + b)`,
      `g = ${digits(g)}: ${digits(g)} × ${digits(D[step])} ${term((1 - g) * dHat[step])}, normed: ${digits(signal[head][step])}`]),
      curves({ name: `D̃^{${letter}}`, shape: `${count(trace.n, "step")}, head ${head + 1}`, lines, column: stepName(context), chosen: step })];
  };
  return [headChoice(context), ...draw("text", "t"), ...(context.model.config.shared ? [ONE_SIGNAL()] : draw("image", "v"))];
}

function filterPanel(context, { filter, text, image }) {
  const { step, head, trace, model } = context, { given, gain, fused, signal } = filter[head], bins = given.text.real.length;
  const bin = k => k ? `${count(k, "wave")} per window (every ${digits(model.config.max_len / k)} steps)` : "the mean (0 waves)";
  /** A curve per modality; one where both have the same signal. */
  const perKind = (a, b) => model.config.shared ? [{ name: "texts = pictures", values: a, colour: COLOURS[0] }]
    : [{ name: "texts", values: a, colour: COLOURS[0] }, { name: "pictures", values: b, colour: COLOURS[1] }];
  const lines = [...perKind(amplitude(given.text), amplitude(given.image)), { name: "fused", values: amplitude(fused), colour: COLOURS[2] }];
  const gains = Object.entries(gain).map(([kind, K], i) => ({ name: kind === "text" ? "K^t" : "K^v", values: amplitude(K), colour: COLOURS[i] }));
  const cut = values => Array.from(values.slice(0, trace.n));
  const [fromText, fromImage] = [text, image].map(scan => scan.enhanced.signal[head]);
  const time = [...perKind(cut(fromText), cut(fromImage)), { name: "out", values: cut(signal), colour: COLOURS[2] }];
  return [headChoice(context), equations(context, ["S^t = F(D̃^t),  S^v = F(D̃^v);  F: Fourier transform over the window"],
    ["K^t = δ(S^t),  K^v = δ(S^v): the gains;  δ: learned linear maps of complex numbers"],
    ["out = F^{-1}(δ(K^t S^t + K^v S^v))", `in ${digits(fromText[step])} and ${digits(fromImage[step])}, out ${digits(signal[step])}`]),
    curves({ name: "amplitudes |S|", shape: `${count(bins, "bin")}, head ${head + 1}`, lines, column: bin }),
    gains.length ? curves({ name: "gains |K|", shape: `${count(bins, "bin")}, head ${head + 1}`, lines: gains, column: bin })
      : make("p", { className: "note" }, "The adaptive filters are off: every frequency passes as it is."),
    ...(model.config.shared ? [ONE_SIGNAL()] : []), curves({ name: "in and out over the history", shape: `${count(trace.n, "step")}, head ${head + 1}`, lines: time, column: stepName(context), chosen: step })];
}

// --- scans ---

function miniature(mask, h, chosen, onhead) {
  const canvas = make("canvas");
  pixels(canvas, mask, 0, 1, (t, s) => s > t);
  const button = make("button", { type: "button", className: "mini", onclick: () => onhead(h, true), aria: { pressed: chosen } },
    canvas, make("small", {}, `${h + 1}`));
  button.setAttribute("aria-label", `Decay mask of head ${h + 1}`);
  return button;
}

function scanPanel(id) {
  return (context, layer) => {
    const { step, head, trace, data, state, gaps, onhead, model } = context, scan = scanOf(layer, id), h = head, t = step;
    const delta = scan.delta[t][h], D = scan.time?.dHat[h][t], A = scan.A[h], dt = scan.dt[t][h], all = masks(scan);
    const cross = id === "fusion", steps = scan.dt.map(row => row[h]), last = trace.n - 1;
    const panel = maskPanel(make("h4", {}, `Decay mask of head ${h + 1}`)), items = state.items.map(i => data.items[i]);
    const lost = i => state.lost.image.includes(i) || state.off.includes("images");
    const history = { titles: items.map(item => item.title), pictures: items.map((item, k) => lost(state.items[k]) ? null : item.picture) };
    queueMicrotask(() => panel.show(history, gaps, leftOver(gaps, steps, A), step));
    const lines = [[cross ? "X, B (with ω) and Δ (without ω) of the texts, C (with ω) of the pictures;  ω: causal convolution, then SiLU (eq. 17)"
      : "X, B, C = ω(W_1 x + b_1),  Δ of W_1 x + b_1 without ω;  ω: causal convolution, then SiLU (eq. 3, 4)",
      `ω makes ${digits(scan.before?.[t][h * model.config.head_dim] ?? NaN)} into X = ${digits(scan.X[t][h * model.config.head_dim])} in the head's first channel`],
      [D === undefined ? "Δ̂_t = softplus(Δ_t + b)  (eq. 6)" : "Δ̂_t = softplus(Δ_t D̂_t + b)  (eq. 6)",
        `softplus(${digits(delta)}${D === undefined ? "" : ` × ${digits(D)}`} ${term(scan.bias[h])}) = ${digits(dt)}`],
      ["h_t = exp(A Δ̂_t) h_{t−1} + Δ̂_t x_t B_t^T  (eq. 7)", `exp(${digits(A)} × ${digits(dt)}) = ${digits(Math.exp(A * dt))} of the state stays`],
      ["M_{ts} = exp(A (Δ̂_{s+1} + … + Δ̂_t))  (eq. 8)", `the last step has M = ${digits(all[h][last][t])} of this item`]];
    if (cross) lines[0][1] = "";
    const B = scan.B.map(row => row.slice(groupOf(model, h), groupOf(model, h) + model.config.d_state));
    const C = scan.C.map(row => row.slice(groupOf(model, h), groupOf(model, h) + model.config.d_state));
    const read = C.map(c => B.map(b => c.reduce((total, value, k) => total + value * b[k], 0))), high = largest(read);
    const minis = make("div", { className: "minis", aria: { role: "group", label: "Decay masks of all heads" } },
      ...all.map((mask, k) => miniature(mask, k, k === h, onhead)));
    const square = `${count(trace.n, "step")} × ${count(trace.n, "item")}`;
    return [equations(context, ...lines),
      figure("M", `${count(model.heads, "head")} × ${square}; choose one`, minis),
      make("div", { className: "mask-both" }, panel.mask, panel.items),
      perHead(context, "Δ̂", columns(scan.dt).map(row => Float64Array.from(row)), false),
      heatMap({ values: read.map((row, r) => row.map((value, c) => c > r ? 0 : value)), name: "C B^T", low: -high, high, tall: 150,
        shape: `${square}, head ${h + 1}`, row: r => `read at step ${r + 1}`, column: stepName(context), chosen: step }),
      sequence(context, "X", scan.X), sequence(context, cross ? "M^f, the block's output" : "y, the block's output", scan.out)];
  };
}

const groupOf = (model, h) => Math.floor(h / (model.heads / model.config.n_groups)) * model.config.d_state;

// --- alignment, fusion, scores ---

function alignPanel(kind, letter) {
  return (context, own) => {
    const { step } = context, given = own.streams[kind], out = kind === "text" ? own.pText : own.pImage;
    return [equations(context, [`P^{${letter}} = FFN(LN(TiSSD(x^{${letter}}) + x^{${letter}}))`,
      `|TiSSD(x)| = ${digits(norm(own[kind].out[step]))}, |x| = ${digits(norm(given[step]))}, |P| = ${digits(norm(out[step]))}`]),
      sequence(context, `P^{${letter}}`, out)];
  };
}

function fusedPanel(context, own) {
  const { step, trace } = context, at = rows => digits(norm(rows[step]));
  return [equations(context, ["y = FFN(LN(M^f + P^v + P^t))", `|M^f| = ${at(own.fusion.out)}, |P^v| = ${at(own.pImage)}, |P^t| = ${at(own.pText)}, |y| = ${at(own.fused)}`]),
    sequence(context, "y", own.fused), make("p", { className: "note" }, `The last column, step ${trace.n}, is the user's vector.`)];
}

function scoresPanel(context) {
  const { data, model, trace, parts, pick } = context, both = Array.from({ length: model.items }, (_, i) => parts[2 * i] + parts[2 * i + 1]);
  const order = [...both.keys()].sort((a, b) => both[b] - both[a]), place = order.indexOf(pick);
  const sum = model.config.fusion === "sum" ? "" : ", weighed by fusion weights";
  const numbers = pick === null ? "" : `${data.items[pick].title}: ${digits(parts[2 * pick])} ${term(parts[2 * pick + 1])} = ${digits(both[pick])}, place ${place + 1} of ${count(order.length, "item")}, those of the history among them`;
  const line = { name: "score", values: order.map(i => both[i]), colour: COLOURS[0] };
  const list = make("ul", { className: "equations" }, make("li", {}, formula(`score_i = (ê^t_i · y + ê^v_i · y) / τ,  τ = ${digits(model.config.temperature)}${sum}`),
    make("div", { className: "numbers" }, numbers)));
  return [list, curves({ name: "scores of all items, best first", shape: count(order.length, "item"), lines: [line],
    column: k => `place ${k + 1}, ${data.items[order[k]].title}`, chosen: place < 0 ? null : place }),
    heatMap({ values: [Array.from(trace.user)], name: "y, the user's vector", shape: `${trace.user.length} channels`, row: () => "user",
      column: c => channel(c), high: largest([trace.user]), low: -largest([trace.user]), tall: 30 })];
}

const PANELS = { text: vectors("text", "t"), image: vectors("image", "v"), gap: gapPanel, scale: scalePanel, enhanced: enhancedPanel,
  filter: filterPanel, ssd_text: scanPanel("ssd_text"), ssd_image: scanPanel("ssd_image"), fusion: scanPanel("fusion"),
  align_text: alignPanel("text", "t"), align_image: alignPanel("image", "v"), fused: fusedPanel, scores: scoresPanel };

