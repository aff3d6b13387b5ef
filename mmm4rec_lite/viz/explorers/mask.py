"""The decay mask: what one head keeps of a user's history, and what that depends on."""

import html
import math
from typing import Any

import ipywidgets
import numpy as np
import torch
from torch.nn.functional import softplus

from mmm4rec_lite.analysis import capture_scans
from mmm4rec_lite.analysis.decay import explore, left_over
from mmm4rec_lite.data import Dataset
from mmm4rec_lite.evaluation import as_batch, user_history
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.explorers.explorer import WIDE, Explorer, choice, fixed_figure, set_within, slider, user_choice
from mmm4rec_lite.viz.explorers.tiles import Tile, Tiles, pictures
from mmm4rec_lite.viz.style import COLOURS, span, styled

ITEMS = 12  # the latest items that are shown where no model sets a window


def mask_explorer(dataset: Dataset, model: MMM4Rec | None = None, user: str | None = None) -> Explorer:
    """An explorer of the decay mask over real histories of ``dataset``.

    Without a model: one head as in ``decay.explore``, whose numbers are the sliders'. With one: its own scans and
    heads; choosing a head sets A and the base step to the head's, and then the sliders change the chosen scan alone
    (Delta times the items' own Delta), while changed times go through the whole model.

    Parameters
    ----------
    dataset : with times
    model : one that reads times, over the same items
    user : whom to begin with; None: the first of those offered

    Examples
    --------
    >>> from mmm4rec_lite.data import load_dataset
    >>> explorer = mask_explorer(load_dataset("data_samples/store"))
    """
    if model is not None and not model.config.time:
        raise InputError("mask_explorer: this model reads no times (time=False); take one that does, or none")
    window = model.config.max_len if model else ITEMS
    hours = (1 / 60, 24 * 1000)
    controls = {
        "user": user_choice(dataset, user),
        "A": slider("A", -4.0, -16, -0.05),
        "delta": slider("Delta" + (" times" if model else ""), 1.0, -3, 5),
        "base": slider("base step", 0.05, 1e-4, 1, log=True, readout=".3g"),
        "scale": slider("all gaps times", 1.0, 1e-3, 1e3, log=True, readout=".3g"),
        "which": choice("one gap: before", [("(no item)", 0)], 0),
        "gap": slider("its length (hours)", 24.0, *hours, log=True, readout=".3g"),
        "time": ipywidgets.Checkbox(True, description="time-aware", indent=False, layout={"width": "8em"}),
    }
    if model:
        names = list(capture_scans(model, *as_batch(dataset, user_history(dataset, controls["user"].value), window)))
        controls["scan"] = choice("scan", names, names[0])
        controls["head"] = ipywidgets.IntSlider(1, 1, model.config.n_heads, description="head", **WIDE)
    figure, draw = _view(pictures(dataset))
    history: dict[str, Any] = {}

    def load(explorer):
        """The chosen user's history, with its own gaps."""
        rows = user_history(dataset, explorer.user.value).tail(window)
        history.update(rows=rows, gaps=rows["timestamp"].diff().fillna(0).to_numpy())
        explorer.scale.value, titles = 1.0, rows["title"].tolist()
        explorer.which.options = [("(as it is)", 0), *((f"{i + 1}. {titles[i]}", i) for i in range(1, len(titles)))]

    def redraw(explorer):
        gaps, one = history["gaps"] * explorer.scale.value, explorer.which.value
        explorer.gap.disabled = not one
        if one:
            gaps[one] = 3600 * explorer.gap.value
        if model is None:
            state = explore(gaps, explorer.A.value, explorer.delta.value, explorer.base.value, explorer.time.value)
        else:
            state = _of_model(model, dataset, history["rows"], gaps, explorer)
        draw(history["rows"], gaps, state, one)
        return _numbers(history["rows"], state)

    def pick(explorer):
        """Sliders to what the chosen head has."""
        core = capture_scans(model, *as_batch(dataset, history["rows"], window))[explorer.scan.value][0]
        h = explorer.head.value - 1
        set_within(explorer.A, -core.A_log[h].exp().item())
        set_within(explorer.base, softplus(core.step.bias[h].double()).item())
        explorer.delta.value = 1.0

    def select(explorer):
        """The gap's slider to the chosen gap."""
        set_within(explorer.gap, max(history["gaps"][explorer.which.value] * explorer.scale.value / 3600, hours[0]))

    def start(explorer):
        load(explorer)
        if model:
            pick(explorer)

    rows = [["user", "time"], ["which", "gap"], ["scale", "A"], ["delta", "base"], ["scan", "head"] if model else []]
    actions = {"user": load, "which": select, "scan": pick, "head": pick}
    return Explorer("the decay mask of a history", figure, controls, redraw, rows, actions, start)


@torch.no_grad()
def _of_model(model, dataset, rows, gaps, explorer):
    """One head of one scan with these gaps; its rate, base step and size of Delta as the sliders say."""
    times = rows["timestamp"].iloc[0] + np.cumsum(gaps).round().astype(np.int64)
    found = capture_scans(model, *as_batch(dataset, rows.assign(timestamp=times), model.config.max_len))
    core, delta, d, _ = found[explorer.scan.value]
    h, base = explorer.head.value - 1, explorer.base.value
    d_hat = core.step(delta, d)[1][0, h] if explorer.time.value else 1.0
    bias = base + math.log(-math.expm1(-base))  # softplus(bias) = base
    dt = softplus(explorer.delta.value * delta[0, :, h] * d_hat + bias)[: len(gaps)]
    return left_over(gaps, dt.double().cpu().numpy(), explorer.A.value)


def _numbers(rows, state):
    heaviest = int(state["weight"].argmax())
    steps, seconds = state["half_life_steps"], state["half_life_seconds"]
    life = f"{steps:.1f}" if steps >= 1 else f"{steps:.2g}"
    return (f"<b>half-life {life} steps, {span(seconds, 1)}</b>; " if math.isfinite(steps + seconds) else "") + (
        f"oldest of {len(rows)} items: {100 * state['left'][0]:.1f} % left; most weight: "
        f"{html.escape(rows['title'].iloc[heaviest])} ({100 * state['weight'][heaviest]:.0f} %)"
    )


@styled(grid=False)
def _view(picture):
    """The figure, and a function that draws a state into it."""
    figure = fixed_figure(3.6)
    heat, bars = figure.add_axes((0.06, 0.13, 0.285, 0.78)), figure.add_axes((0.45, 0.4, 0.545, 0.51))
    row = Tiles(figure.add_axes((0.45, 0.08, 0.545, 0.3)), picture, most=76, captions=2)
    look = dict(cmap="viridis", interpolation="nearest", interpolation_stage="rgba", animated=True)
    image = heat.imshow(np.zeros((2, 2)), vmin=0, vmax=1, **look)
    heat.set(xlabel="past item s", ylabel="read at step t")
    heat.set_title("decay mask $M_{ts}$", fontsize=10)
    scale = figure.colorbar(image, cax=figure.add_axes((0.353, 0.13, 0.012, 0.78)), ticks=[0, 0.5, 1])
    scale.ax.tick_params(labelsize=8)
    bar = lambda colour, name: bars.stairs([0], [0, 1], fill=True, color=COLOURS[colour], label=name, animated=True)
    left, share = bar(0, "still left of it"), bar(1, "its share of what the state holds")
    bars.set(xticks=[], ylim=(0, 1.02))
    bars.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"], fontsize=8)
    bars.set_title("at the last step", fontsize=10, loc="left")
    bars.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2)
    words = "tiles fade with what is left (numbers: the mask's items); below: the gap before it"
    figure.text(0.45, 0.02, words, fontsize=8)

    def draw(rows, gaps, state, one):
        n = len(rows)
        image.set_data(state["mask"])
        image.set_extent((0.5, n + 0.5, n + 0.5, 0.5))
        ticks = range(1, n + 1, 1 + n // 6)
        heat.set(xlim=(0.5, n + 0.5), ylim=(n + 0.5, 0.5), xticks=ticks, yticks=ticks)
        edges = np.repeat(np.arange(n), 4) + np.tile([0.1, 0.5, 0.5, 0.9], n)
        none = np.zeros(n)
        left.set_data(np.stack([state["left"], none, none, none], 1).ravel()[:-1], edges)
        share.set_data(np.stack([none, none, state["weight"], none], 1).ravel()[:-1], edges)
        bars.set_xlim(0, n)
        items = enumerate(zip(rows["item"], rows["title"], gaps, state["left"]))
        below = lambda i, gap: "+" + span(gap).replace(" ", "\n") if i else "first"
        row.show([Tile(item, title, below(i, gap), i == one > 0, kept, i + 1) for i, (item, title, gap, kept) in items])

    return figure, draw
