/** The stand-alone page of the decay mask: histories inside, heads of an invented layer or those of a trained model. */

import { explore } from "./decay.js";
import { $, make, span } from "./drawing.js";
import { maskExplorer } from "./mask.js";
import { trained } from "./trained.js";

const data = JSON.parse($("data").textContent), { heads, scan } = data.model ? trained(data.model) : data;

const told = history => { $("demo").hidden = !history.demo; explorer.show(history); };
const explorer = maskExplorer($("explorer"), { names: data.histories.map(one => one.name), heads, logMean: data.log_mean,
  logStd: data.log_std, scan, onhistory: index => told(data.histories[index]) });
const numbers = { mu: +data.log_mean.toFixed(2), sigma: +data.log_std.toFixed(2), usual: span(Math.expm1(data.log_mean)),
  spread: Math.round(Math.exp(data.log_std)) };
for (const [id, value] of Object.entries(numbers)) $(id).textContent = value;
for (const words of document.querySelectorAll(".trained, .invented")) words.hidden = words.className === (scan ? "invented" : "trained");
if (scan) {
  $("whose").hidden = false;
  $("whose").append(make("strong", {}, data.about), " These are its own heads: the sliders A, base step and Δ begin at what training found.");
}
told(data.histories[0]);

/** For the console, and for tests. */
globalThis.mask = { data, explorer, explore, heads, scan };
