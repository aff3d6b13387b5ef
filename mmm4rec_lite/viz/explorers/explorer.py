"""What all explorers share: controls above, a figure and its numbers below, and errors where the reader sees them."""

import base64
import html
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mmm4rec_lite.data import Dataset
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.viz.style import described

Action = Callable[["Explorer"], None]  # what a control does before the redraw
Actions = Mapping[str, Action]
Redraw = Callable[["Explorer"], str]  # sets the figure's artists and returns the numbers as HTML
Rows = Sequence[Mapping[str, Any]]
WIDE: dict[str, Any] = dict(style={"description_width": "10em"}, layout={"width": "29em"})  # a control, two in a row


class Explorer(ipywidgets.VBox):
    """Controls (rows of widgets by name), a figure and a line of numbers, drawn anew whenever a control changes.

    Each control is an attribute by its name; ``figure`` stays one and the same, static for pages without a kernel.
    ``animated`` artists are drawn over the rest, which is drawn anew only when limits, ticks or titles change (slow).
    ``actions``: what to do before the redraw when the control of that name changes or is pressed; "start": at first.
    """

    def __init__(self, name: str, figure: Figure, rows: Rows, redraw: Redraw, actions: Actions):
        self.name, self.figure, self._redraw, self._busy = name, figure, redraw, False
        self._canvas, self._still = FigureCanvasAgg(figure), (None, None)
        self._moving = figure.findobj(lambda artist: artist.get_animated())
        width = f"{int(figure.bbox.width)}px"
        self.image = ipywidgets.Image(format="png", layout={"width": width, "max_width": "100%"})
        self.numbers, self.error = ipywidgets.HTML(), ipywidgets.HTML()
        for key, control in ((key, control) for row in rows for key, control in row.items()):
            setattr(self, key, control)
            button = isinstance(control, ipywidgets.Button)
            listen = control.on_click if button else partial(control.observe, names="value")
            listen(lambda *_, key=key: self.do(actions.get(key)))
        boxes = [ipywidgets.HBox([*row.values()], layout={"flex_flow": "row wrap"}) for row in rows]
        super().__init__([*boxes, self.error, self.image, self.numbers])
        self._run(actions.get("start"))  # what fails at once fails the cell

    def do(self, action: Action | None = None) -> None:
        """Run ``action(self)``, then redraw once; an error appears above the figure, which then stays as it was."""
        if self._busy:
            return
        self.error.value = ""
        try:
            self._run(action)
        except Exception as error:  # whatever it is: Jupyter would put it into a log that nobody reads
            told = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            self.error.value = f'<b style="color:#b3261e">Not drawn: {html.escape(told)}</b>'

    def _run(self, action):
        self._busy = True  # so that controls changed in here do nothing of their own
        try:
            if action:
                action(self)
            numbers = self._redraw(self)
            self.image.value, self.numbers.value = self._png(), numbers
        finally:
            self._busy = False

    def _png(self):
        axes = self.figure.axes
        drawn = [(a.axis(), a.get_title(), a.get_title("left"), *a.get_xticks(), *a.get_yticks()) for a in axes]
        if drawn != self._still[0]:
            self._canvas.draw()
            self._still = drawn, self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._still[1])
        for artist in self._moving:
            artist.draw(self._canvas.get_renderer())
        file = io.BytesIO()
        Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB").save(file, "png", compress_level=1)
        return file.getvalue()

    def close(self) -> None:
        """Let go of all controls, and so of the figure, which Jupyter would keep as long as the kernel runs."""
        parts: list[Any] = [self]
        for part in parts:  # grows meanwhile
            inner = [*getattr(part, "children", ()), getattr(part, "layout", None), getattr(part, "style", None)]
            parts.extend(one for one in inner if one is not None)
        for part in reversed(parts):
            part.unobserve_all()
            ipywidgets.Widget.close(part)

    def __repr__(self):
        return f"Explorer: {self.name} (its controls need a running kernel)"

    def _repr_mimebundle_(self, **kwargs):
        """The widget, and for pages without a kernel the figure as it stands, with its numbers as alternative text."""
        told = [described(self.figure), html.unescape(re.sub("<[^>]+>", "", self.numbers.value.replace("<br>", ". ")))]
        data = super()._repr_mimebundle_(**kwargs) | {"image/png": base64.b64encode(self.image.value).decode()}
        return data, {"image/png": {"alt": " ".join(f"Explorer: {self.name}. {'. '.join(filter(None, told))}".split())}}


def slider(name: str, value: float, low: float, high: float, step: float = 0.05, readout: str = ".2f") -> Any:
    """A slider."""
    look = dict(description=name, readout_format=readout, **WIDE)
    return ipywidgets.FloatSlider(value, min=low, max=high, step=step, **look)


def log_slider(name: str, value: float, low: float, high: float) -> Any:
    """A slider of the decimal logarithm."""
    look = dict(description=name, value=value, readout_format=".3g", step=0.02, **WIDE)
    return ipywidgets.FloatLogSlider(min=math.log10(low), max=math.log10(high), **look)


def set_within(slider: Any, value: float) -> None:
    """Set a slider to ``value``, with wider limits where it needs them."""
    place = math.log10(value) if isinstance(slider, ipywidgets.FloatLogSlider) else value
    slider.min, slider.max = min(slider.min, place), max(slider.max, place)
    slider.value = value


def choice(name: str, options: Sequence[Any], value: Any = None) -> Any:
    """A drop-down list."""
    return ipywidgets.Dropdown(description=name, options=options, value=value, **WIDE)


def user_choice(dataset: Dataset, user: str | None = None) -> Any:
    """A drop-down list of users, ``user`` chosen: the first 200 with at least 5 interactions."""
    counts = dataset.interactions["user"].value_counts(sort=False)
    users = list(counts.index[counts >= 5][:200]) or list(counts.index[:200])
    unknown = user is not None and user not in counts.index
    refuse(unknown, f"{dataset.name} has no user {user!r}; one that it has: {users[0]!r}")
    return choice("user", users if user in (None, *users) else [user, *users], user or users[0])


def check_items(name: str, model: Any, dataset: Dataset, features: Any = None) -> None:
    """InputError of the explorer ``name`` unless model, dataset and, where given, features are of the same items."""
    lost = features is not None and set(dataset.items["item"]) - set(features.items)
    if lost or len(model.image_features) != len(dataset.items) + 1:
        given = f"model, dataset {dataset.name} and features" if features else f"model and dataset {dataset.name}"
        raise InputError(f"{name}: {given} are not of the same items; load the model with this dataset's features")
