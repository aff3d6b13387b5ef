/** The mask explorer in a notebook (anywidget): Python hands over one history at a time, and hears what is set. */

import { maskExplorer } from "./mask.js";
import { trained } from "./trained.js";

function render({ model, el }) {
  const get = name => model.get(name), root = document.createElement("div");
  const own = () => get("weights").config ? trained(get("weights")) : { heads: [get("head")] };
  let found = own(); // whose items are the history's
  el.append(root);
  const explorer = maskExplorer(root, { names: get("users"), heads: found.heads, logMean: get("log_mean"), logStd: get("log_std"),
    scan: found.scan && ((...given) => found.scan(...given)), first: get("users").indexOf(get("user")),
    onhistory: index => { model.set("user", get("users")[index]); model.save_changes(); },
    onchange: values => { model.set("values", values); model.save_changes(); } });
  for (const control of root.querySelectorAll("input, select, button, canvas, summary"))
    control.dataset.lmSuppressShortcuts = "true"; // its keys are its own, not JupyterLab's: arrows move the slider, not the cell
  model.on("change:history", () => { found = own(); explorer.show(get("history")); });
  explorer.show(get("history"));
}

export default { render };
