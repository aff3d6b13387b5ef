"""The decay mask: what one head keeps of a user's history, and what that depends on."""

import base64
import io
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch.nn.functional import softplus

from mmm4rec_lite.analysis import capture_scans
from mmm4rec_lite.analysis.decay import LOG_MEAN, LOG_STD, explore, left_over
from mmm4rec_lite.data import Dataset
from mmm4rec_lite.evaluation import as_batch, user_history
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.typing import Float
from mmm4rec_lite.viz.explorers.explorer import check_items, user_choice
from mmm4rec_lite.viz.explorers.page import history, with_model
from mmm4rec_lite.viz.explorers.tiles import Tile, Tiles, pictures
from mmm4rec_lite.viz.live.assets import bundle, read
from mmm4rec_lite.viz.masks import mask_colours, past
from mmm4rec_lite.viz.style import COLOURS, empty_figure, gridless, span

ITEMS = 12  # the latest items that are shown where no model sets a window
HEAD = dict(A=-4.0, base=0.05, delta=1.0)  # as in ``decay.explore``, where no model has heads


class MaskExplorer(anywidget.AnyWidget):
    """What ``mask_explorer`` gives: drawn, and a model run, in the browser, by the modules of ``viz/live``.

    ``user`` chooses the history, ``values`` are what the controls say: head (of all scans), A, base, delta, time,
    place and gap (seconds before the item at that place, from 0; 0: as it is), scale (of all gaps).
    """

    _esm = bundle(["decay", "drawing", "mask", "model", "trained", "mask_widget"])
    _css = read("mask.css") + read("mask_widget.css")
    users: Any = traitlets.List().tag(sync=True)
    weights: Any = traitlets.Dict().tag(sync=True)  # of the model, with the vectors of the history's items
    history: Any = traitlets.Dict().tag(sync=True)
    user: Any = traitlets.Unicode().tag(sync=True)
    values: Any = traitlets.Dict().tag(sync=True)
    head: Any = traitlets.Dict(HEAD | dict(name="as set")).tag(sync=True)
    log_mean, log_std = traitlets.Float(LOG_MEAN).tag(sync=True), traitlets.Float(LOG_STD).tag(sync=True)

    def __init__(self, dataset: Dataset, model: MMM4Rec | None, user: str | None):
        users = user_choice(dataset, user)
        self.dataset, self.model, self.most = dataset, model, model.config.max_len if model else ITEMS
        super().__init__(users=[*users.options], user=users.value)

    @traitlets.observe("user")
    def _load(self, change):
        shown, first = history(self.dataset, change["new"], self.most), HEAD
        if self.model is not None:
            found = with_model(self.model, self.dataset, [shown])
            self.weights, (shown,) = found["model"], found["histories"]
            core = self.model.layers[0].tissd[0].core
            first = HEAD | dict(A=-core.A_log[0].exp().item(), base=softplus(core.step.bias[0].double()).item())
        self.history = shown
        self.values = dict(head=0, **first, time=True, place=0, gap=0, scale=1.0)

    @property
    def gaps(self) -> Float[np.ndarray, " L"]:
        """Seconds before each item, as the controls say."""
        gaps, place = np.array(self.history["gaps"], dtype=float) * self.values["scale"], self.values["place"]
        if place > 0 and self.values["gap"]:
            gaps[place] = self.values["gap"]
        return gaps

    @property
    def state(self) -> dict[str, Any]:
        """The numbers of ``decay.explore`` or ``left_over`` behind what is shown."""
        own = {name: self.values[name] for name in ("A", "delta", "base", "time")}
        return explore(self.gaps, **own) if self.model is None else self._scanned(**own)

    @torch.no_grad()
    def _scanned(self, A, delta, base, time):
        rows = user_history(self.dataset, self.user).tail(self.most)
        times = rows["timestamp"].iloc[0] + np.cumsum(self.gaps).round().astype(np.int64)
        found = capture_scans(self.model, *as_batch(self.dataset, rows.assign(timestamp=times), self.most))
        scan, h = divmod(self.values["head"], self.model.config.n_heads)
        core, own, d, _ = [*found.values()][scan]
        d_hat = core.step(own, d)[1][0, h, : len(rows)] if time else 1.0
        bias = base + np.log(-np.expm1(-base))  # softplus(bias) = base
        dt = softplus((delta * own[0, : len(rows), h] * d_hat).double() + bias)
        return left_over(self.gaps, dt.cpu().numpy(), A)

    @property
    def figure(self) -> Figure:
        """The same as a static figure."""
        figure, draw = _view(pictures(self.dataset))
        rows = user_history(self.dataset, self.user).tail(self.most)
        draw(rows, self.gaps, self.state, self.values)
        return figure

    @property
    def words(self) -> str:
        """The same in words: the head, its half-life, and of each item what is left and its share of the state."""
        state, own = self.state, self.values
        items = zip(state["left"], state["weight"])
        told = "; ".join(
            f"item {i}: {100 * left:.0f} %, {100 * share:.0f} %" for i, (left, share) in enumerate(items, 1)
        )
        life = f"half-life {state['half_life_steps']:.1f} steps, {span(state['half_life_seconds'])}"
        time = "on" if own["time"] else "off"
        head = f"A {own['A']:.3g}, base step {own['base']:.3g}, Delta {own['delta']:.3g}, time-awareness {time}"
        return f"The decay mask of {self.user}'s history. {head}; {life}. Left of each item, and its share: {told}."

    def __repr__(self):
        return "Explorer: the decay mask of a history (its controls need a running notebook)"

    def _repr_mimebundle_(self, **kwargs):
        """The widget, and for pages without a kernel the figure as it stands."""
        file = io.BytesIO()
        self.figure.savefig(file, format="png")
        data, more = super()._repr_mimebundle_(**kwargs)
        picture = {"image/png": base64.b64encode(file.getvalue()).decode()}
        return data | picture, more | {"image/png": {"alt": self.words}}


def mask_explorer(dataset: Dataset, model: MMM4Rec | None = None, user: str | None = None) -> MaskExplorer:
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
    if model is not None:
        check_items("mask_explorer", model, dataset)
    return MaskExplorer(dataset, model, user)


@gridless
def _view(picture):
    """The figure, and a function that draws a state into it."""
    figure = empty_figure(9.6, 3.6, "none")
    heat, bars = figure.add_axes((0.06, 0.13, 0.285, 0.78)), figure.add_axes((0.45, 0.4, 0.545, 0.51))
    row = Tiles(figure.add_axes((0.45, 0.08, 0.545, 0.3)), picture, most=76, captions=2)
    look = dict(cmap=mask_colours(), interpolation="nearest", interpolation_stage="rgba")
    image = heat.imshow(np.zeros((2, 2)), vmin=0, vmax=1, **look)
    heat.set(xlabel="past item s (grey: the future)", ylabel="read at step t")
    scale = figure.colorbar(image, cax=figure.add_axes((0.353, 0.13, 0.012, 0.78)), ticks=[0, 0.5, 1])
    scale.ax.tick_params(labelsize=8)
    bar = lambda colour, name: bars.stairs([0], [0, 1], fill=True, color=COLOURS[colour], label=name)
    left, share = bar(0, "still left of it"), bar(1, "its share of what the state holds")
    bars.set(xticks=[], ylim=(0, 1.02))
    bars.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"], fontsize=8)
    bars.set_title("at the last step", fontsize=10, loc="left")
    bars.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2)
    words = "tiles fade with what is left of the item; below: the gap before it"
    figure.text(0.45, 0.02, words, fontsize=8)

    def draw(rows, gaps, state, own):
        n, ticks = len(rows), range(1, len(rows) + 1, 1 + len(rows) // 6)
        image.set(data=past(state["mask"]), extent=(0.5, n + 0.5, n + 0.5, 0.5))
        heat.set_title(f"decay mask $M_{{ts}}$ ($A$ = {own['A']:.3g}, base step {own['base']:.3g})", fontsize=10)
        heat.set(xlim=(0.5, n + 0.5), ylim=(n + 0.5, 0.5), xticks=ticks, yticks=ticks)
        edges = np.repeat(np.arange(n), 4) + np.tile([0.1, 0.5, 0.5, 0.9], n)
        for stairs, values, place in ((left, state["left"], 0), (share, state["weight"], 2)):
            heights = np.zeros((n, 4))
            heights[:, place] = values
            stairs.set_data(heights.ravel()[:-1], edges)
        bars.set_xlim(0, n)
        below = ["first", *("+" + span(gap).replace(" ", "\n") for gap in gaps[1:])]
        told = zip(rows["item"], rows["title"], below, state["left"])
        row.show([Tile(*words, i == own["place"] > 0, kept, i + 1) for i, (*words, kept) in enumerate(told)])

    return figure, draw
