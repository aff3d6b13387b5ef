/** The trained MMM4Rec in plain JavaScript: the numbers of mmm4rec_lite/models/mmm4rec.py, step by step. No DOM.

    A history is `{ items, times }`: rows of the page's catalogue, oldest first, and seconds. A sequence is an array of
    n rows, one per item; a signal an array of H rows over the whole window of L steps, as the time branch reads it.
    `off` names what is switched off: "time", "adaptive", "learnable", "memory", "convolutions". */

import { decayMask, softplus } from "./decay.js";

const zeros = (rows, width) => Array.from({ length: rows }, () => new Float64Array(width));
const transposed = rows => Array.from(rows[0], (_, i) => Float64Array.from(rows, row => row[i]));
const sigmoid = x => 1 / (1 + Math.exp(-x));
const silu = x => x / (1 + Math.exp(-x));
const hardswish = x => x * Math.min(Math.max(x + 3, 0), 6) / 6;
const tanhshrink = x => x - Math.tanh(x);
export const norm = v => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
export const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

// --- a page's payload -> a model ---

function decode({ shape, data }) {
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
  return { shape, data: new Float32Array(bytes.buffer) };
}

/** Config, tensors by their names in the library's checkpoints, and the four tables of the items' vectors. */
export function build({ config, tensors }) {
  const own = Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, decode(tensor)]));
  const heads = config.expand * config.d_model / config.head_dim;
  return { config, heads, tensors: own, items: own["items.text"].shape[0] };
}

const row = (table, i) => table.data.subarray(i * table.shape[1], (i + 1) * table.shape[1]);

/** Item i's vectors before any norm (eq. 2). Without its picture or text: what the adapter makes of zeros. */
export function embed(model, i, lost = {}) {
  const { tensors } = model, found = {};
  for (const kind of ["text", "image"]) {
    const own = tensors[`bias_${kind}`];
    found[kind] = !lost[kind]?.has(i) ? new Float64Array(row(tensors[`items.${kind}`], i))
      : tensors[`adapter_${kind}.bias`].data.map((x, c) => x + (own ? row(own, i)[c] : 0));
  }
  return found;
}

// --- the parts ---

function linear(rows, tensors, name) {
  const { shape: [outs, ins], data: w } = tensors[`${name}.weight`], b = tensors[`${name}.bias`].data;
  return rows.map(x => {
    const y = new Float64Array(b);
    let o = 0;
    for (; o + 3 < outs; o += 4) { // four sums at once: none waits for another
      const at = o * ins;
      let p = y[o], q = y[o + 1], r = y[o + 2], s = y[o + 3];
      for (let i = 0; i < ins; i++) {
        const value = x[i];
        p += w[at + i] * value;
        q += w[at + ins + i] * value;
        r += w[at + 2 * ins + i] * value;
        s += w[at + 3 * ins + i] * value;
      }
      y[o] = p, y[o + 1] = q, y[o + 2] = r, y[o + 3] = s;
    }
    for (; o < outs; o++) for (let i = 0; i < ins; i++) y[o] += w[o * ins + i] * x[i];
    return y;
  });
}

/** Depthwise causal convolution, then SiLU (eq. 4), of rows over steps; alone: of the step itself only. */
function convolution(rows, tensors, name, alone) {
  const { shape: [channels, , width], data: w } = tensors[`${name}.weight`], b = tensors[`${name}.bias`].data;
  return rows.map((_, t) => {
    const y = new Float64Array(b);
    for (let k = 0; k < (alone ? 1 : Math.min(width, t + 1)); k++) {
      const past = rows[t - k];
      for (let c = 0; c < channels; c++) y[c] += w[(c + 1) * width - 1 - k] * past[c];
    }
    for (let c = 0; c < channels; c++) y[c] = silu(y[c]);
    return y;
  });
}

function layerNorm(rows, tensors, name, eps) {
  const w = tensors[`${name}.weight`].data, b = tensors[`${name}.bias`].data;
  return rows.map(x => {
    const mean = x.reduce((a, c) => a + c, 0) / x.length;
    const scale = 1 / Math.sqrt(x.reduce((a, c) => a + (c - mean) ** 2, 0) / x.length + eps);
    return x.map((value, i) => (value - mean) * scale * w[i] + b[i]);
  });
}

/** LayerNorm over the steps that the mask calls real; the others come out as 0. */
function maskedNorm(x, mask, tensors, name, eps) {
  const w = tensors[`${name}.weight`].data, b = tensors[`${name}.bias`].data, count = mask.reduce((a, c) => a + c, 0);
  const mean = x.reduce((a, c, t) => a + c * mask[t], 0) / count;
  const scale = 1 / Math.sqrt(x.reduce((a, c, t) => a + mask[t] * (c - mean) ** 2, 0) / count + eps);
  return x.map((value, t) => ((value - mean) * mask[t] * scale * w[t] + b[t]) * mask[t]);
}

function gatedNorm(y, z, tensors, name, eps) {
  const w = tensors[`${name}.weight`].data;
  return y.map((values, t) => {
    const gated = values.map((value, i) => value * silu(z[t][i]));
    const scale = 1 / Math.sqrt(gated.reduce((a, c) => a + c * c, 0) / gated.length + eps);
    return gated.map((value, i) => value * scale * w[i]);
  });
}

function feedForward(rows, tensors, name, eps) {
  if (!tensors[`${name}.inner.weight`]) return rows;
  const inner = linear(rows, tensors, `${name}.inner`).map(x => x.map(hardswish));
  return layerNorm(added(linear(inner, tensors, `${name}.outer`), rows), tensors, `${name}.norm`, eps);
}

const added = (first, ...others) => first.map((x, t) => {
  const y = new Float64Array(x);
  for (const other of others) for (let c = 0; c < y.length; c++) y[c] += other[t][c];
  return y;
});

// --- time: D, alpha, D-hat, the enhanced signal, the filter ---

/** D of eq. 5 over the window, and its mask of real steps. */
function timeSignal({ config, tensors }, times) {
  const L = config.max_len, n = times.length, d = new Float64Array(L);
  let mask = Float64Array.from({ length: L }, (_, t) => +(t < n));
  for (let t = 1; t < n; t++) d[t] = times[t] - times[t - 1];
  if (config.gaps === "log") {
    const mean = tensors["times.log_mean"].data[0], std = tensors["times.log_std"].data[0];
    return { d: d.map((gap, t) => t > 0 && t < n ? (Math.log1p(Math.max(gap, 0)) - mean) / std : 0), mask };
  }
  if (config.quirks.padded_times) {
    mask = mask.fill(1);
    if (n < L) d[n] = -times[n - 1]; // padded times are 0
  }
  return { d: maskedNorm(d, mask, tensors, "times.norm", config.norm_eps), mask };
}

/** alpha, alpha D, and D-hat behind each of the two convolutions (eq. 5), each H rows over the window. */
function timeScale(d, tensors, name, alone) {
  const hidden = linear(d, tensors, `${name}.scale.1`).map(x => x.map(silu));
  const alpha = linear(hidden, tensors, `${name}.scale.3`).map(x => x.map(tanhshrink));
  const scaled = d.map((x, h) => x.map((value, t) => value * alpha[h][t]));
  const first = convolution(transposed(scaled), tensors, `${name}.conv1`, alone);
  const second = convolution(first, tensors, `${name}.conv2`, alone);
  return { alpha, scaled, first: transposed(first), dHat: transposed(second) };
}

/** LN(g D + (1 - g) D-hat): what eq. 9 hands on. */
function enhanced(d, dHat, mask, tensors, name, eps) {
  const gate = linear(d, tensors, `${name}.gate`).map(x => x.map(sigmoid));
  const g = (h, t) => gate[h][gate[h].length === 1 ? 0 : t];
  const mixed = d.map((x, h) => x.map((value, t) => g(h, t) * value + (1 - g(h, t)) * dHat[h][t]));
  return { gate, signal: mixed.map(x => maskedNorm(x, mask, tensors, `${name}.norm`, eps)) };
}

/** Orthonormal spectra of real signals on L // 2 + 1 bins, and back. */
function spectrum(x) {
  const L = x.length, real = new Float64Array((L >> 1) + 1), imag = new Float64Array((L >> 1) + 1), { cos, sin } = waves(L);
  for (let k = 0; k < real.length; k++)
    for (let t = 0; t < L; t++) {
      real[k] += x[t] * cos[k * t % L];
      imag[k] -= x[t] * sin[k * t % L];
    }
  return { real, imag };
}

const waved = new Map();

/** cos and sin of 2 pi k / L over the root of L. */
function waves(L) {
  const wave = of => Float64Array.from({ length: L }, (_, k) => of(2 * Math.PI * k / L) / Math.sqrt(L));
  if (!waved.has(L)) waved.set(L, { cos: wave(Math.cos), sin: wave(Math.sin) });
  return waved.get(L);
}

function signalOf({ real, imag }, L) {
  const { cos, sin } = waves(L);
  return Float64Array.from({ length: L }, (_, t) => {
    let sum = real[0] * cos[0];
    for (let k = 1; k < real.length; k++) {
      const at = k * t % L, last = 2 * k === L; // whose imaginary part is no signal's
      sum += last ? real[k] * cos[at] : 2 * (real[k] * cos[at] - imag[k] * sin[at]);
    }
    return sum;
  });
}

export const amplitude = ({ real, imag }) => real.map((x, k) => Math.hypot(x, imag[k]));
const product = (a, b) => ({ real: a.real.map((x, k) => x * b.real[k] - a.imag[k] * b.imag[k]),
  imag: a.real.map((x, k) => x * b.imag[k] + a.imag[k] * b.real[k]) });
const sum = (a, b) => ({ real: a.real.map((x, k) => x + b.real[k]), imag: a.imag.map((x, k) => x + b.imag[k]) });

/** delta-tilde, a complex linear map of a spectrum (eq. 13 to 16). */
function complexLinear({ real, imag }, tensors, name, biasTwice) {
  const weights = part => ({ [`${part}.weight`]: tensors[`${name}.${part}.weight`],
    [`${part}.bias`]: { data: new Float64Array(real.length) } });
  const by = (x, part) => linear([x], weights(part), part)[0];
  const b = tensors[`${name}.real.bias`].data, c = tensors[`${name}.imag.bias`].data;
  const [rr, ii, ri, ir] = [by(real, "real"), by(imag, "imag"), by(real, "imag"), by(imag, "real")];
  return { real: rr.map((x, k) => x - ii[k] + (biasTwice ? b[k] - c[k] : b[k])),
    imag: ri.map((x, k) => x + ir[k] + (biasTwice ? b[k] + c[k] : c[k])) };
}

/** The dual-channel Fourier filter (eq. 12 to 16): per head the spectra, the gains K and the fused signal. */
function fourierFilter(model, dText, dImage, name, off) {
  const { tensors, config } = model, twice = config.quirks.filter_bias_twice;
  return dText.map((text, h) => {
    const given = { text: spectrum(text), image: spectrum(dImage[h]) }, gain = {}, passed = { ...given };
    for (const kind of ["text", "image"])
      if (tensors[`${name}.${kind}.real.weight`] && !off.has("adaptive")) {
        gain[kind] = complexLinear(given[kind], tensors, `${name}.${kind}`, twice);
        passed[kind] = product(gain[kind], given[kind]);
      }
    let fused = sum(passed.text, passed.image);
    if (tensors[`${name}.learnable.real.weight`] && !off.has("learnable"))
      fused = complexLinear(fused, tensors, `${name}.learnable`, twice);
    return { given, gain, fused, signal: signalOf(fused, config.max_len) };
  });
}

// --- the state space blocks ---

/** Steps, scan, gated norm and output map (eq. 5 to 9) of X, B, C, Delta and the gate z. */
function stateSpace(model, name, { X, B, C, delta, z }, d, off) {
  const { config, tensors, heads } = model, P = config.head_dim, N = config.d_state;
  const bias = tensors[`${name}.step.bias`].data, D = tensors[`${name}.D`].data;
  const A = Array.from(tensors[`${name}.A_log`].data, value => -Math.exp(off.has("memory") ? 30 : value));
  const time = d && timeScale(d, tensors, `${name}.step`, off.has("convolutions"));
  const dt = delta.map((row, t) => row.map((value, h) => softplus(value * (time ? time.dHat[h][t] : 1) + bias[h])));
  const y = zeros(X.length, X[0].length), perGroup = heads / config.n_groups;
  for (let h = 0; h < heads; h++) {
    const state = new Float64Array(P * N), group = Math.floor(h / perGroup) * N;
    for (let t = 0; t < X.length; t++) {
      const b = B[t].subarray(group, group + N), c = C[t].subarray(group, group + N);
      const kept = Math.exp(A[h] * dt[t][h]), skip = D[h] * (config.quirks.skip_scaled ? dt[t][h] : 1);
      for (let p = 0; p < P; p++) {
        const x = X[t][h * P + p], entering = dt[t][h] * x;
        let read = skip * x;
        for (let n = 0; n < N; n++) {
          const held = state[p * N + n] = kept * state[p * N + n] + entering * b[n];
          read += held * c[n];
        }
        y[t][h * P + p] = read;
      }
    }
  }
  const out = linear(gatedNorm(y, z, tensors, `${name}.norm`, config.norm_eps), tensors, `${name}.out`);
  return { X, B, C, z, delta, A, bias, D, d, time, dt, y, out };
}

const split = (rows, ...sizes) => sizes.map((size, i) => {
  const from = sizes.slice(0, i).reduce((a, b) => a + b, 0);
  return rows.map(x => x.slice(from, from + size));
});

const sizes = ({ config, heads }) => [config.expand * config.d_model, config.n_groups * config.d_state, heads];

function tiSSD(model, name, x, d, mask, off) {
  const { config, tensors } = model, [inner, maps, heads] = sizes(model);
  const [z, xbc, delta] = split(linear(x, tensors, `${name}.project`), inner, inner + 2 * maps, heads); // eq. 3
  const [X, B, C] = split(convolution(xbc, tensors, `${name}.conv`, off.has("convolutions")), inner, maps, maps);
  const scan = stateSpace(model, `${name}.core`, { X, B, C, delta, z }, d, off);
  const handed = d && enhanced(d, scan.time.dHat, mask, tensors, `${name}.enhance`, config.norm_eps);
  return { ...scan, given: x, before: xbc, enhanced: handed };
}

function tiCoSSD(model, name, text, image, d, off) {
  const { tensors } = model, [inner, maps, heads] = sizes(model), alone = off.has("convolutions");
  const C = convolution(linear(image, tensors, `${name}.project_c`), tensors, `${name}.conv_c`, alone);
  const [xb, delta] = split(linear(text, tensors, `${name}.project_bx`), inner + maps, heads);
  const [X, B] = split(convolution(xb, tensors, `${name}.conv_bx`, alone), inner, maps);
  const z = linear(added(image, text), tensors, `${name}.project_z`);
  return stateSpace(model, `${name}.core`, { X, B, C, delta, z }, d, off);
}

// --- the whole pass ---

/** Everything that the model computes of a history: `user`, and what every block makes of it, layer by layer.
    `lost`: sets of rows whose text or image is taken away; `average`: a step at which an average item stands, after
    an average gap (D = 0), to see by comparison what depends on that step. */
export function forward(model, { items, times }, off = new Set(), lost = {}, average = null) {
  const { config, tensors, heads } = model, eps = config.norm_eps, raw = { text: [], image: [] }, x = {};
  for (const i of items) for (const [kind, vector] of Object.entries(embed(model, i, lost))) raw[kind].push(vector);
  if (average !== null) for (const kind of ["text", "image"]) raw[kind][average] = meanItem(model, kind);
  for (const kind of ["text", "image"]) x[kind] = layerNorm(raw[kind], tensors, `norm_${kind}`, eps);
  const time = config.time && !off.has("time") ? timeSignal(model, times) : null;
  if (time && average !== null) time.d[average] = 0;
  if (time && config.gap_vector)
    for (const kind of ["text", "image"]) {
      const own = tensors[`gap_${kind}`].data, gaps = config.gaps === "log" ? time.d : logGaps(model, times, average);
      x[kind] = x[kind].map((vector, t) => vector.map((value, c) => value + gaps[t] * own[c]));
    }
  const signal = time && Array.from({ length: heads }, () => time.d);
  let streams = { text: x.text, image: x.image, dText: signal, dImage: signal };
  const layers = [];
  for (let l = 0; l < config.n_layers; l++) {
    const name = `layers.${l}`, mask = time?.mask;
    const text = tiSSD(model, `${name}.tissd.0`, streams.text, streams.dText, mask, off);
    const image = tiSSD(model, `${name}.tissd.${config.shared ? 0 : 1}`, streams.image, streams.dImage, mask, off);
    const aligned = (scan, given, kind) =>
      feedForward(layerNorm(added(scan.out, given), tensors, `${name}.norm_${kind}`, eps), tensors, `${name}.ffn_${kind}`, eps);
    const pText = aligned(text, streams.text, "text"), pImage = aligned(image, streams.image, "image");
    const filter = time && fourierFilter(model, text.enhanced.signal, image.enhanced.signal, `${name}.filter`, off);
    const fusion = tiCoSSD(model, `${name}.ticossd`, pText, pImage, filter && filter.map(head => head.signal), off);
    const mixed = layerNorm(added(fusion.out, pImage, pText), tensors, `${name}.norm_fused`, eps);
    const fused = feedForward(mixed, tensors, `${name}.ffn_fused`, eps);
    layers.push({ streams, text, image, pText, pImage, filter, fusion, fused });
    streams = { text: pText, image: fused, dText: text.enhanced?.signal, dImage: image.enhanced?.signal };
  }
  return { n: items.length, raw, x, time, layers, user: streams.image[items.length - 1] };
}

function logGaps({ tensors }, times, average) {
  const mean = tensors["times.log_mean"].data[0], std = tensors["times.log_std"].data[0];
  const gap = t => (Math.log1p(Math.max(times[t] - times[t - 1], 0)) - mean) / std;
  return times.map((_, t) => t > 0 && t !== average ? gap(t) : 0);
}

function meanItem(model, kind) {
  model.mean ??= {};
  return model.mean[kind] ??= Float64Array.from({ length: model.config.d_model }, (_, c) => {
    let total = 0;
    for (let i = 0; i < model.items; i++) total += row(model.tensors[`items.${kind}`], i)[c];
    return total / model.items;
  });
}

/** The decay masks of a scan: [H][n][n]. */
export const masks = scan => scan.A.map((A, h) => decayMask(scan.dt.map(row => row[h]), A));

/** Eq. 20 over all items: each modality's part of the score, as [items][2] flat: text, image. Their sum is the score. */
export function scoreParts(model, user, lost = {}) {
  const { config, tensors } = model, parts = new Float64Array(2 * model.items);
  for (let i = 0; i < model.items; i++) {
    const both = embed(model, i, lost), weights = fusionWeights(tensors.fusion, i, config.fusion);
    ["text", "image"].forEach((kind, m) => {
      const length = Math.max(norm(both[kind]), 1e-12);
      parts[2 * i + m] = weights[m] * dot(both[kind], user) / length / config.temperature;
    });
  }
  return parts;
}

function fusionWeights(fusion, i, kind) {
  if (kind === "sum") return [1, 1];
  const [a, b] = kind === "shared" ? fusion.data : row(fusion, i), share = sigmoid(a - b);
  return [share, 1 - share];
}

export const scores = parts => Float64Array.from({ length: parts.length / 2 }, (_, i) => parts[2 * i] + parts[2 * i + 1]);

/** What each past item contributes to the scores: [n] rows over the items, the score less that without the step.
    Times stay, so the gap behind a lost item joins the one before it. Nothing for a history of one. */
export function contributions(model, history, off = new Set(), lost = {}) {
  const whole = scores(scoreParts(model, forward(model, history, off, lost).user, lost));
  return history.items.length < 2 ? [] : history.items.map((_, s) => contribution(model, history, off, lost, s, whole));
}

/** One row of `contributions`, of step s; whole: the scores with it. */
export function contribution(model, { items, times }, off, lost, s, whole) {
  const without = values => values.filter((_, t) => t !== s);
  const { user } = forward(model, { items: without(items), times: without(times) }, off, lost);
  return scores(scoreParts(model, user, lost)).map((value, i) => whole[i] - value);
}
