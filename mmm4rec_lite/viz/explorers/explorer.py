"""What all explorers share: controls above, a figure and its numbers below, and errors where the reader sees them."""

import base64
import html
import io
import math
from contextlib import contextmanager

import ipywidgets
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.style import empty_figure


class Explorer(ipywidgets.VBox):
    """Controls, a figure and a line of numbers, drawn anew whenever a control changes.

    Each control is an attribute by its name; ``figure`` is one and the same matplotlib Figure all along, which is also
    the static figure for pages without a kernel; ``numbers`` and ``error`` are HTML widgets.

    Args:
        name: what it shows, in a few words.
        figure: with artists that ``redraw`` changes. Those that are ``animated`` are drawn over the rest of the figure,
            which is drawn only when limits, ticks or titles of its axes change: text costs most of a redraw.
        controls: name -> widget; every change of a ``value`` redraws.
        redraw: function (explorer) that sets the artists and returns the numbers as HTML.
        rows: lists of names, how the controls stand; default: two in a row.
        actions: name -> function (explorer) to run before the redraw when this control changes or is pressed.
    """

    def __init__(self, name, figure, controls, redraw, rows=None, actions=None):
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
        names = list(controls)
        rows = rows or [names[i : i + 2] for i in range(0, len(names), 2)]
        boxes = [ipywidgets.HBox([controls[key] for key in row], layout={"flex_flow": "row wrap"}) for row in rows]
        super().__init__([*boxes, self.error, self.image, self.numbers])
        self._draw()  # what fails at once fails the cell

    def redraw(self):
        """Compute, draw and show; an error appears in the line above the figure, which then stays as it was."""
        if self._held:
            return
        with self._shown():
            self._draw()

    def do(self, action):
        """Run ``action(self)``, then redraw once, whatever controls it changed."""
        if self._held:
            return
        with self._shown():
            with self.held():
                action(self)
            self.redraw()

    @contextmanager
    def held(self):
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


def fixed_figure(width, height):
    """An empty figure whose axes stay where they are put: nothing is laid out anew when it is drawn."""
    figure = empty_figure(width, height)
    figure.set_layout_engine("none")
    return figure


def slider(name, value, low, high, step=None, log=False, live=True, readout=".2f"):
    """A slider; ``log``: of the decimal logarithm. ``live``: redraw while it is dragged."""
    common = dict(
        description=name,
        value=value,
        continuous_update=live,
        readout_format=readout,
        style={"description_width": "10em"},
        layout={"width": "29em"},
    )
    if log:
        return ipywidgets.FloatLogSlider(min=math.log10(low), max=math.log10(high), step=step or 0.02, **common)
    return ipywidgets.FloatSlider(min=low, max=high, step=step or 0.05, **common)


def set_within(slider, value):
    """Set a slider to ``value``, with wider limits where it needs them."""
    place = math.log10(value) if isinstance(slider, ipywidgets.FloatLogSlider) else value
    slider.min, slider.max = min(slider.min, place), max(slider.max, place)
    slider.value = value


def choice(name, options, value=None):
    """A drop-down list."""
    return ipywidgets.Dropdown(
        description=name, options=options, value=value, style={"description_width": "10em"}, layout={"width": "29em"}
    )


def some_users(dataset, user=None, least=5, most=200):
    """Users to choose from: the first ``most`` with at least ``least`` interactions, and ``user`` before them."""
    counts = dataset.interactions["user"].value_counts(sort=False)
    users = list(counts.index[counts >= least][:most]) or list(counts.index[:most])
    if user is not None and user not in counts.index:
        raise InputError(f"{dataset.name} has no user {user!r}; one that it has: {users[0]!r}")
    return users if user is None or user in users else [user, *users]
