/** The mask explorer in a notebook (anywidget): Python hands over one history at a time, and hears what is set. */

import { maskExplorer } from "./mask.js";

function render({ model, el }) {
  const get = name => model.get(name), root = document.createElement("div");
  el.append(root);
  const explorer = maskExplorer(root, { names: get("users"), heads: [get("head")], logMean: get("log_mean"), logStd: get("log_std"),
    first: get("users").indexOf(get("user")),
    onhistory: index => { model.set("user", get("users")[index]); model.save_changes(); },
    onchange: values => { model.set("values", values); model.save_changes(); } });
  model.on("change:history", () => explorer.show(get("history")));
  explorer.show(get("history"));
}

export default { render };
