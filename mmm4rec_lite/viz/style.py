"""The one style of all figures, safe for colour-blind readers and readable in print."""

from functools import partial, wraps
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

STYLE = {"axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 100, "font.size": 10}
COLOURS = sns.color_palette("colorblind")


def captioned(figure, caption):
    """The figure with a line above it: what was measured, on what data, at which scale; nothing if there is none."""
    if caption:
        figure.suptitle(caption, fontsize=9, x=0.01, ha="left")
    return figure


def empty_figure(width, height):
    """An empty figure that notebooks show when it is returned, and only then."""
    figure = plt.figure(figsize=(width, height), layout="constrained")
    plt.close(figure)
    return figure


def panel_row(count: int, width: float, height: float, **shared: Any) -> tuple[Figure, list[Axes]]:
    """(figure, axes): ``count`` panels side by side in a figure of that size (inches), heights shared by default."""
    figure = empty_figure(width, height)
    return figure, list(figure.subplots(1, count, squeeze=False, **{"sharey": True, **shared})[0])


def legend_beside(axis: Axes, **look: Any) -> None:
    """The legend to the right of an axis, at its top."""
    axis.legend(**{"frameon": False, "fontsize": 8, "loc": "upper left", "bbox_to_anchor": (1, 1), **look})


def span(seconds, digits=0):
    """A gap in the unit a reader would use, with so many digits after the point."""
    for size, unit in ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.{digits}f} s"


def log_axis(axis):
    """A logarithmic axis of plain numbers."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()


def styled(figure=None, *, grid=True):
    """Decorator of a figure function: it draws in the one style, on a grid of grey lines unless ``grid=False``."""
    if figure is None:
        return partial(styled, grid=grid)

    @wraps(figure)
    def drawn(*args, **kwargs):
        with sns.axes_style("whitegrid" if grid else None), plt.rc_context(STYLE):
            return figure(*args, **kwargs)

    return drawn
