"""The dual-channel Fourier filter: plant periods in a time signal and see what passes."""

from itertools import product

import ipywidgets
import numpy as np
import torch

from mmm4rec_lite.analysis import filter_state
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.viz.explorers.explorer import Explorer, choice, slider
from mmm4rec_lite.viz.style import COLOURS, empty_figure, gridless

CHANNELS = {"both": (1, 1), "text": (1, 0), "image": (0, 1)}  # where a wave is planted: text, image
PANELS = ("signals in", "spectrum in", "gain |K| of each channel", "signal out", "spectrum out", "out over in, by bin")


def filter_explorer(model: MMM4Rec | None = None, length: int = 20, seed: int = 0) -> Explorer:
    """An explorer of a model's Fourier filters (eq. 12-16); without one: of a fresh filter over ``length`` steps."""
    if model is None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = MMM4Rec(ModelConfig(max_len=length), torch.zeros(2, 1), torch.zeros(2, 1))
    refuse(not model.config.time, "filter_explorer: this model has no filter (time=False); take one with time, or none")
    L, layers = model.config.max_len, model.layers
    refuse(L < 4, f"filter_explorer: a window of {L} steps holds no two periods; it takes 4 or more")
    rows = [
        {f"period{i}": slider(f"period {i} (steps)", start, 2, L, 0.1, ".1f") for i, start in ((1, L / 2), (2, 4.0))},
        {f"size{i}": slider(f"amplitude {i}", start, 0, 1) for i, start in ((1, 1.0), (2, 0.5))},
        {f"where{i}": choice(f"{i} planted in", list(CHANNELS), "both") for i in (1, 2)},
    ]
    layer = ipywidgets.IntSlider(1, 1, max(len(layers), 2), description="layer")
    figure, draw = _view(L)

    def respond(waves, number):
        """What the filter of that layer does; a wave of amplitude a and period p: a cos(2 pi t / p) at step t."""
        signals = torch.zeros(2, L)
        for period, size, where in waves:
            wave = size * torch.cos(2 * torch.pi * torch.arange(L) / period)
            signals += torch.tensor(CHANNELS[where])[:, None] * wave
        state = filter_state(layers[number - 1].filter, *signals.to(next(model.parameters())))
        draw(signals.numpy(), state)
        return state

    def redraw(explorer):
        waves = list(zip(*([control.value for control in row.values()] for row in rows[:3])))
        state, told = respond(waves, layer.value), []
        for period, _, _ in waves:
            near = min(int(np.floor(L / period + 0.5)), len(state["bins"]) - 1)
            given, out = state["text"][near] + state["image"][near], state["fused"][near]
            gains = f"text {state['gain_text'][near]:.2f}, image {state['gain_image'][near]:.2f}"
            amplitudes = f"amplitude in {given:.2f}, out {out:.2f}"
            told.append(f"<b>period {period:.1f} steps</b> (bin {near}): {amplitudes}, gain |K| {gains}")
        return "<br>".join(told)

    for number, second in product(range(1, len(layers) + 1), (L / 2, 4.0)):  # see ``_view``: axes that hold these
        respond([(L / 2, 1, "both"), (second, 1, "both")], number)
    rows += [{"layer": layer}] if len(layers) > 1 else []
    return Explorer("what the Fourier filter passes", figure, rows, redraw, {})


@gridless
def _view(L):
    """The figure, and a function that draws signals and a state into it; limits grow to hold what is drawn and never
    shrink: sizes can be compared, and drawing axes anew is slow."""
    bins, figure = np.arange(L // 2 + 1), empty_figure(9.6, 4.2, "none")
    axes = [figure.add_axes((x, y, 0.265, 0.33)) for y in (0.58, 0.11) for x in (0.05, 0.385, 0.72)]
    for i, (axis, title) in enumerate(zip(axes, PANELS)):
        axis.set_title(title, fontsize=10, loc="left")
        axis.tick_params(labelsize=8)
        steps, ratio = i in (0, 3), i in (2, 5)
        axis.set(xlim=(-0.5, L - 0.5) if steps else (-0.6, len(bins) - 0.4), ylim=(0, 1e-9))
        axis.set_xlabel("step" if steps else "cycles per window" if i > 2 else "", fontsize=8)
        axis.axhline(1 if ratio else 0, color="black", lw=0.6, ls=":")
    dotted = dict(lw=1.5, marker="o", ms=3)
    looks = [[(0, dict(lw=4, alpha=0.5, label="text")), (1, dict(label="image", **dotted))]] * 3 + [[(2, dotted)]] * 3
    line = lambda axis, colour, look: axis.plot([], [], color=COLOURS[colour], animated=True, **look)[0]
    lines = [[line(axis, *own) for own in both] for axis, both in zip(axes, looks)]
    axes[0].legend(fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1.02, 0.98))

    def draw(signals, state):
        given = state["text"] + state["image"]
        ratio = np.where(given > 0.1 * max(given.max(), 1e-9), state["fused"] / np.maximum(given, 1e-9), np.nan)
        pairs = [signals, (state["text"], state["image"]), (state["gain_text"], state["gain_image"])]
        for i, values in enumerate([*pairs, [state["signal"]], [state["fused"]], [ratio]]):
            for line, y in zip(lines[i], values):
                line.set_data(np.arange(L) if len(y) == L else bins, y)
            most = np.nanmax(np.abs(values), initial=1.9 if i in (2, 5) else 0.1)  # around 1: what passes all
            if most > axes[i].get_ylim()[1]:
                axes[i].set_ylim(1.15 * most * (-1 if i in (0, 3) else -0.06), 1.15 * most)

    return figure, draw
