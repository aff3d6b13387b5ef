/** The stand-alone page of the decay mask: histories inside, heads of an invented layer or those of a trained model. */

import { explore } from "./decay.js";
import { $, make } from "./drawing.js";
import { maskExplorer } from "./mask.js";
import { trained } from "./trained.js";

const data = JSON.parse($("data").textContent), { heads, scan } = data.model ? trained(data.model) : data;

const told = history => { $("demo").hidden = !history.demo; explorer.show(history); };
const explorer = maskExplorer($("explorer"), { names: data.histories.map(one => one.name), heads, logMean: data.log_mean,
  logStd: data.log_std, scan, onhistory: index => told(data.histories[index]) });
for (const [id, value] of [["mu", data.log_mean], ["sigma", data.log_std]]) $(id).textContent = +value.toFixed(2);
$("trained").hidden = !scan;
$("invented").hidden = Boolean(scan);
if (scan) {
  $("whose").hidden = false;
  $("whose").append(make("strong", {}, data.about), " These are its own heads: the sliders A, base step and Δ begin at what training found.");
}
told(data.histories[0]);

/** For the console, and for tests. */
globalThis.mask = { data, explorer, explore, heads, scan };
