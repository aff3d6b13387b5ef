/** The heads of a trained model, for the mask explorer. No DOM. */

import { softplus } from "./decay.js";
import { build, forward } from "./model.js";

export const SCANS = ["text", "image", "fusion"];

/** heads: all of all scans, each with the numbers that it was trained to have; scan(history, gaps, index): Delta and
    D-hat per item of a head with these gaps, for which the whole model runs. A history has `rows`. */
export function trained(payload) {
  const model = build(payload);
  let last = null; // the pass that all heads of one drawing share
  const pass = (rows, gaps) => {
    const key = JSON.stringify([rows, gaps]);
    let now = 0;
    if (last?.key !== key) last = { key, trace: forward(model, { items: rows, times: gaps.map((gap, t) => now += t ? Math.round(gap) : 0) }) };
    return last.trace;
  };
  const heads = pass([0], [0]).layers.flatMap((layer, l) => SCANS.flatMap(kind => layer[kind].A.map((A, h) =>
    ({ name: `layer ${l + 1}, ${kind}, head ${h + 1}`, A, base: softplus(layer[kind].bias[h]), delta: 1, layer: l, kind, h }))));
  const scan = ({ rows }, gaps, index) => {
    const { layer, kind, h } = heads[index], found = pass(rows, gaps).layers[layer][kind];
    return { delta: found.delta.map(row => row[h]), dHat: Array.from(found.time.dHat[h]) };
  };
  return { heads, scan };
}
