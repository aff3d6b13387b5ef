"""What all explorers share: controls above, a figure and its numbers below, and errors where the reader sees them."""

import base64
import html
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mmm4rec_lite.data import Dataset
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.style import empty_figure

Action = Callable[["Explorer"], None]  # what a control does before the redraw
WIDE: dict[str, Any] = dict(style={"description_width": "10em"}, layout={"width": "29em"})  # a control, two in a row


class Explorer(ipywidgets.VBox):
    """Controls, a figure and a line of numbers, drawn anew whenever a control changes.

    Each control is an attribute by its name; ``figure`` is one and the same matplotlib Figure all along, which is also
    the static figure for pages without a kernel; ``numbers`` and ``error`` are HTML widgets.

    Parameters
    ----------
    name : what it shows, in a few words
    figure : with artists that ``redraw`` changes. Those that are ``animated`` are drawn over the rest of the figure,
        which is drawn only when limits, ticks or titles of its axes change: text costs most of a redraw
    controls : name -> widget; every change of a ``value`` redraws
    redraw : sets the artists and returns the numbers as HTML
    rows : lists of names, how the controls stand
    actions : name -> what to do before the redraw when this control changes or is pressed
    start : what to do before the first one
    """

    def __init__(
        self,
        name: str,
        figure: Figure,
        controls: Mapping[str, Any],
        redraw: Callable[["Explorer"], str],
        rows: Sequence[Sequence[str]],
        actions: Mapping[str, Action] | None = None,
        start: Action | None = None,
    ):
        self.name, self.figure, self._redraw, actions = name, figure, redraw, actions or {}
        self._canvas, self._held, self._still = FigureCanvasAgg(figure), False, (None, None)
        self._moving = figure.findobj(lambda artist: artist.get_animated())
        width = int(figure.bbox.width)
        self.image = ipywidgets.Image(format="png", layout={"width": f"{width}px", "max_width": "100%"})
        self.numbers, self.error = ipywidgets.HTML(), ipywidgets.HTML()
        for key, control in controls.items():
            setattr(self, key, control)
            react = lambda *_, key=key: self.do(actions[key]) if key in actions else self.redraw()
            if isinstance(control, ipywidgets.Button):
                control.on_click(react)
            else:
                control.observe(react, names="value")
        boxes = [ipywidgets.HBox([controls[key] for key in row], layout={"flex_flow": "row wrap"}) for row in rows]
        super().__init__([*boxes, self.error, self.image, self.numbers])
        if start:
            with self.held():
                start(self)
        self._draw()  # what fails at once fails the cell

    def redraw(self) -> None:
        """Compute, draw and show; an error appears in the line above the figure, which then stays as it was."""
        if self._held:
            return
        with self._shown():
            self._draw()

    def do(self, action: Action) -> None:
        """Run ``action(self)``, then redraw once, whatever controls it changed."""
        if self._held:
            return
        with self._shown():
            with self.held():
                action(self)
            self.redraw()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Changes of controls inside do not redraw."""
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before

    @contextmanager
    def _shown(self):
        try:
            self.error.value = ""
            yield
        except Exception as error:  # whatever it is: Jupyter would put it into a log that nobody reads
            told = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            self.error.value = f'<b style="color:#b3261e">Not drawn: {html.escape(told)}</b>'

    def _draw(self):
        numbers = self._redraw(self)
        self.image.value = self._png()
        self.numbers.value = numbers

    def _png(self):
        drawn = [
            (a.get_xlim(), a.get_ylim(), a.get_title(), a.get_title("left"), *a.get_xticks(), *a.get_yticks())
            for a in self.figure.axes
        ]
        if drawn != self._still[0]:
            self._canvas.draw()
            self._still = drawn, self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._still[1])
        for artist in self._moving:
            artist.draw(self._canvas.get_renderer())
        file = io.BytesIO()
        Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB").save(file, "png", compress_level=1)
        return file.getvalue()

    def __repr__(self):
        return f"Explorer: {self.name} (its controls need a running kernel)"

    def _repr_mimebundle_(self, **kwargs):
        """The widget, and for pages without a kernel the figure as it stands."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, *metadata = bundle if isinstance(bundle, tuple) else (bundle,)
        data = {**data, "image/png": base64.b64encode(self.image.value).decode()}
        return (data, *metadata) if metadata else data


def fixed_figure(height: float) -> Figure:
    """An empty figure, ``height`` inches high, whose axes stay where they are put: drawn, it is not laid out anew."""
    figure = empty_figure(9.6, height)
    figure.set_layout_engine("none")
    return figure


def slider(
    name: str, value: float, low: float, high: float, step: float = 0.05, log: bool = False, readout: str = ".2f"
) -> Any:
    """A slider; ``log``: of the decimal logarithm, in steps of 0.02."""
    look = dict(description=name, value=value, readout_format=readout, **WIDE)
    if log:
        return ipywidgets.FloatLogSlider(min=math.log10(low), max=math.log10(high), step=0.02, **look)
    return ipywidgets.FloatSlider(min=low, max=high, step=step, **look)


def set_within(slider: Any, value: float) -> None:
    """Set a slider to ``value``, with wider limits where it needs them."""
    place = math.log10(value) if isinstance(slider, ipywidgets.FloatLogSlider) else value
    slider.min, slider.max = min(slider.min, place), max(slider.max, place)
    slider.value = value


def choice(name: str, options: Sequence[Any], value: Any = None) -> Any:
    """A drop-down list."""
    return ipywidgets.Dropdown(description=name, options=options, value=value, **WIDE)


def user_choice(dataset: Dataset, user: str | None = None, least: int = 5, most: int = 200) -> Any:
    """A drop-down list of users, ``user`` chosen: the first ``most`` with at least ``least`` interactions."""
    counts = dataset.interactions["user"].value_counts(sort=False)
    users = list(counts.index[counts >= least][:most]) or list(counts.index[:most])
    if user is not None and user not in counts.index:
        raise InputError(f"{dataset.name} has no user {user!r}; one that it has: {users[0]!r}")
    users = users if user is None or user in users else [user, *users]
    return choice("user", users, user or users[0])


def check_items(name: str, model: Any, dataset: Dataset, features: Any = None) -> None:
    """InputError of the explorer ``name`` unless model, dataset and, where given, features are of the same items."""
    lost = features is not None and set(dataset.items["item"]) - set(features.items)
    if lost or len(model.image_features) != len(dataset.items) + 1:
        given = f"model, dataset {dataset.name} and features" if features else f"model and dataset {dataset.name}"
        told = "are not of the same items; load the model with this dataset's features"
        raise InputError(f"{name}: {given} {told}")
