/** The stand-alone page of the decay mask: histories inside, heads of an invented layer or those of a trained model. */

import { explore, softplus } from "./decay.js";
import { $, make } from "./drawing.js";
import { maskExplorer } from "./mask.js";
import { build, forward } from "./model.js";

const data = JSON.parse($("data").textContent), model = data.model && build(data.model), SCANS = ["text", "image", "fusion"];

/** All heads of all scans, each with the numbers that it was trained to have. */
function trainedHeads() {
  const trace = forward(model, { items: data.histories[0].rows, times: data.histories[0].rows.map(() => 0) });
  return trace.layers.flatMap((layer, l) => SCANS.flatMap(kind => layer[kind].A.map((A, h) =>
    ({ name: `layer ${l + 1}, ${kind}, head ${h + 1}`, A, base: softplus(layer[kind].bias[h]), delta: 1, layer: l, kind, h }))));
}

const heads = model ? trainedHeads() : data.heads;
let last = null; // the pass that all heads of one drawing share

/** Delta and D-hat per item of a head, with these gaps: the whole model runs. */
function scan(history, gaps, index) {
  const { layer, kind, h } = heads[index], key = JSON.stringify([history.rows, gaps]);
  if (last?.key !== key) {
    let now = 0;
    last = { key, trace: forward(model, { items: history.rows, times: gaps.map((gap, t) => now += t ? Math.round(gap) : 0) }) };
  }
  const found = last.trace.layers[layer][kind];
  return { delta: found.delta.map(row => row[h]), dHat: Array.from(found.time.dHat[h]) };
}

const told = history => { $("demo").hidden = !history.demo; explorer.show(history); };
const explorer = maskExplorer($("explorer"), { names: data.histories.map(one => one.name), heads, logMean: data.log_mean,
  logStd: data.log_std, scan: model && scan, onhistory: index => told(data.histories[index]) });
for (const [id, value] of [["mu", data.log_mean], ["sigma", data.log_std]]) $(id).textContent = +value.toFixed(2);
$("trained").hidden = !model;
$("invented").hidden = Boolean(model);
if (model) {
  $("whose").hidden = false;
  $("whose").append(make("strong", {}, data.about), " These are its own heads: the sliders A, base step and Δ begin at what training found.");
}
told(data.histories[0]);

/** For the console, and for tests. */
globalThis.mask = { data, explorer, explore, heads, scan };
