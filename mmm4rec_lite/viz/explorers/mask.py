"""The decay mask: what one head keeps of a user's history, and what that depends on."""

import base64
import html
import io
import math
from typing import Any

import anywidget
import ipywidgets
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
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.typing import Float
from mmm4rec_lite.viz.explorers.explorer import WIDE, Explorer, choice, log_slider, set_within, slider, user_choice
from mmm4rec_lite.viz.explorers.page import history
from mmm4rec_lite.viz.explorers.tiles import Tile, Tiles, pictures
from mmm4rec_lite.viz.live.assets import bundle, read
from mmm4rec_lite.viz.masks import mask_colours, past
from mmm4rec_lite.viz.style import COLOURS, empty_figure, gridless, span

ITEMS = 12  # the latest items that are shown where no model sets a window
MINUTE = 1 / 60  # in hours: the least gap of the slider


NOTED = dict(head=0, A=-4.0, base=0.05, delta=1.0, time=True, place=0, gap=0.0, scale=1.0)  # where a reader begins


class MaskWidget(anywidget.AnyWidget):
    """The decay mask of one head as in ``decay.explore``, drawn in the browser by the module that the page has too.

    ``user`` chooses the history (``history``: what is shown of it); ``values``: what the controls say.
    """

    _esm = bundle(["decay", "drawing", "mask", "mask_widget"])
    _css = read("mask.css") + read("mask_widget.css")
    users: Any = traitlets.List().tag(sync=True)
    history: Any = traitlets.Dict().tag(sync=True)
    user: Any = traitlets.Unicode().tag(sync=True)
    values: Any = traitlets.Dict(NOTED).tag(sync=True)
    head = traitlets.Dict(dict(name="as set", A=NOTED["A"], base=NOTED["base"], delta=NOTED["delta"])).tag(sync=True)
    log_mean, log_std = traitlets.Float(LOG_MEAN).tag(sync=True), traitlets.Float(LOG_STD).tag(sync=True)

    def __init__(self, dataset: Dataset, user: str | None = None):
        users = user_choice(dataset, user)
        self.dataset = dataset
        super().__init__(users=[str(name) for name in users.options], user=users.value)

    @traitlets.observe("user")
    def _load(self, change):
        self.history = history(self.dataset, change["new"], ITEMS)
        self.values = NOTED

    @property
    def gaps(self) -> Float[np.ndarray, " L"]:
        """Seconds before each item, as the controls say."""
        gaps, place = np.array(self.history["gaps"], dtype=float) * self.values["scale"], int(self.values["place"])
        if 0 < place < len(gaps) and self.values["gap"]:
            gaps[place] = self.values["gap"]
        return gaps

    @property
    def state(self) -> dict[str, Any]:
        """The numbers of ``decay.explore`` behind what is shown."""
        own = {name: self.values[name] for name in ("A", "delta", "base", "time")}
        return explore(self.gaps, **own)

    @property
    def figure(self) -> Figure:
        """The same as a static figure."""
        figure, draw = _view(pictures(self.dataset))
        rows = user_history(self.dataset, self.user).tail(ITEMS)
        draw(rows, self.gaps, self.state, int(self.values["place"]))
        for artist in figure.findobj(lambda artist: artist.get_animated()):
            artist.set_animated(False)
        return figure

    def __repr__(self):
        return "Explorer: the decay mask of a history (its controls need a browser)"

    def _repr_mimebundle_(self, **kwargs):
        """The widget, and for pages without a kernel the figure as it stands."""
        file = io.BytesIO()
        self.figure.savefig(file, format="png")
        data, more = super()._repr_mimebundle_(**kwargs)
        return data | {"image/png": base64.b64encode(file.getvalue()).decode()}, more


def mask_explorer(dataset: Dataset, model: MMM4Rec | None = None, user: str | None = None) -> MaskWidget | Explorer:
    """An explorer of the decay mask over real histories of ``dataset``.

    Without a model: one head as in ``decay.explore``, whose numbers are the sliders', drawn in the browser.
    With one: its own scans and heads; choosing a head sets A and the base step to the head's, and then the sliders
    change the chosen scan alone (Delta times the items' own Delta), while changed times go through the whole model.

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
    return MaskWidget(dataset, user) if model is None else _of_model(dataset, model, user)


def _of_model(dataset, model, user):
    """The explorer over a model, which runs in Python."""
    refuse(not model.config.time, "mask_explorer: this model reads no times (time=False); take one that does, or none")
    window = model.config.max_len
    aware = ipywidgets.Checkbox(True, description="time-aware", indent=False, layout={"width": "8em"})
    which, gap = choice("one gap: before", [("(no item)", 0)], 0), log_slider("its length (hours)", 24.0, MINUTE, 24000)
    scans = lambda rows: capture_scans(model, *as_batch(dataset, rows, window))
    controls = {"user": user_choice(dataset, user), "time": aware}
    names = list(scans(user_history(dataset, controls["user"].value)))
    rows = [
        controls,
        {"which": which, "gap": gap},
        {"scale": log_slider("all gaps times", 1.0, 1e-3, 1e3), "A": slider("A", -4.0, -16, -0.05)},
        {"delta": slider("Delta times", 1.0, -3, 5), "base": log_slider("base step", 0.05, 1e-4, 1)},
        {
            "scan": choice("scan", names, names[0]),
            "head": ipywidgets.IntSlider(1, 1, model.config.n_heads, description="head", **WIDE),
        },
    ]
    now: dict[str, Any] = {}  # rows: of the chosen user; gaps: their own
    figure, draw = _view(pictures(dataset))

    def load(explorer):
        rows = user_history(dataset, explorer.user.value).tail(window)
        now.update(rows=rows, gaps=rows["timestamp"].diff().fillna(0).to_numpy())
        explorer.scale.value = 1.0
        titles = [(f"{i}. {title}", i - 1) for i, title in enumerate(rows["title"], 1)]
        explorer.which.options = [("(as it is)", 0), *titles[1:]]

    def pick(explorer):
        """Sliders to what the chosen head has."""
        core, h = scans(now["rows"])[explorer.scan.value][0], explorer.head.value - 1
        set_within(explorer.A, -core.A_log[h].exp().item())
        set_within(explorer.base, softplus(core.step.bias[h].double()).item())
        explorer.delta.value = 1.0

    def start(explorer):
        load(explorer)
        pick(explorer)

    def select(explorer):
        """The gap's slider to the chosen gap."""
        set_within(explorer.gap, max(now["gaps"][explorer.which.value] * explorer.scale.value / 3600, MINUTE))

    @torch.no_grad()
    def scanned(explorer, gaps):
        """One head of one scan with these gaps; its rate, base step and size of Delta as the sliders say."""
        times = now["rows"]["timestamp"].iloc[0] + np.cumsum(gaps).round().astype(np.int64)
        core, delta, d, _ = scans(now["rows"].assign(timestamp=times))[explorer.scan.value]
        h, base = explorer.head.value - 1, explorer.base.value
        d_hat = core.step(delta, d)[1][0, h] if explorer.time.value else 1.0
        bias = base + math.log(-math.expm1(-base))  # softplus(bias) = base
        dt = softplus(explorer.delta.value * delta[0, :, h] * d_hat + bias)[: len(gaps)]
        return left_over(gaps, dt.double().cpu().numpy(), explorer.A.value)

    def redraw(explorer):
        gaps, one = now["gaps"] * explorer.scale.value, explorer.which.value
        explorer.gap.disabled = not one
        if one:
            gaps[one] = 3600 * explorer.gap.value
        state = scanned(explorer, gaps)
        draw(now["rows"], gaps, state, one)
        titles, heaviest = now["rows"]["title"], int(state["weight"].argmax())
        steps, seconds = state["half_life_steps"], state["half_life_seconds"]
        life = f"<b>half-life {steps:{'.1f' if steps >= 1 else '.2g'}} steps, {span(seconds, 1)}</b>; "
        left = f"oldest of {len(titles)} items: {100 * state['left'][0]:.1f} % left"
        most = f"most weight: {html.escape(titles.iloc[heaviest])} ({100 * state['weight'][heaviest]:.0f} %)"
        return (life if math.isfinite(steps + seconds) else "") + f"{left}; {most}"

    actions = {"start": start, "user": load, "which": select, "scan": pick, "head": pick}
    return Explorer("the decay mask of a history", figure, rows, redraw, actions)


@gridless
def _view(picture):
    """The figure, and a function that draws a state into it."""
    figure = empty_figure(9.6, 3.6, "none")
    heat, bars = figure.add_axes((0.06, 0.13, 0.285, 0.78)), figure.add_axes((0.45, 0.4, 0.545, 0.51))
    row = Tiles(figure.add_axes((0.45, 0.08, 0.545, 0.3)), picture, most=76, captions=2)
    look = dict(cmap=mask_colours(), interpolation="nearest", interpolation_stage="rgba", animated=True)
    image = heat.imshow(np.zeros((2, 2)), vmin=0, vmax=1, **look)
    heat.set(xlabel="past item s (grey: the future)", ylabel="read at step t")
    heat.set_title("decay mask $M_{ts}$", fontsize=10)
    scale = figure.colorbar(image, cax=figure.add_axes((0.353, 0.13, 0.012, 0.78)), ticks=[0, 0.5, 1])
    scale.ax.tick_params(labelsize=8)
    bar = lambda colour, name: bars.stairs([0], [0, 1], fill=True, color=COLOURS[colour], label=name, animated=True)
    left, share = bar(0, "still left of it"), bar(1, "its share of what the state holds")
    bars.set(xticks=[], ylim=(0, 1.02))
    bars.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"], fontsize=8)
    bars.set_title("at the last step", fontsize=10, loc="left")
    bars.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2)
    words = "a tile fades with what is left of its item, and has its number in the mask; below: the gap before it"
    figure.text(0.45, 0.02, words, fontsize=8)

    def draw(rows, gaps, state, one):
        n, ticks = len(rows), range(1, len(rows) + 1, 1 + len(rows) // 6)
        image.set(data=past(state["mask"]), extent=(0.5, n + 0.5, n + 0.5, 0.5))
        heat.set(xlim=(0.5, n + 0.5), ylim=(n + 0.5, 0.5), xticks=ticks, yticks=ticks)
        edges = np.repeat(np.arange(n), 4) + np.tile([0.1, 0.5, 0.5, 0.9], n)
        for stairs, values, place in ((left, state["left"], 0), (share, state["weight"], 2)):
            heights = np.zeros((n, 4))
            heights[:, place] = values
            stairs.set_data(heights.ravel()[:-1], edges)
        bars.set_xlim(0, n)
        below = ["first", *("+" + span(gap).replace(" ", "\n") for gap in gaps[1:])]
        told = zip(rows["item"], rows["title"], below, state["left"])
        row.show([Tile(*words, i == one > 0, kept, i + 1) for i, (*words, kept) in enumerate(told)])

    return figure, draw
