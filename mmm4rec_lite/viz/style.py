"""What all figures share: one style, safe for colour-blind readers and readable in print, and its small parts."""

from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

STYLE: dict[str, Any] = dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False)
STYLE |= {"figure.dpi": 100, "font.size": 10}
WORDS: dict[str, Any] = {"parse_math": False}  # for words of data, where "$" is a dollar
COLOURS, MARKERS = sns.color_palette("colorblind"), "os^Dv<>"


@contextmanager
def _drawing(*style):
    with sns.axes_style(*style), plt.rc_context(STYLE):
        yield


styled, gridless = (_drawing("whitegrid"), _drawing())  # decorators of figure functions: with grey lines, without


def empty_figure(width: float, height: float, layout: Any = "constrained") -> Figure:
    """An empty figure of that size (inches) that notebooks show when it is returned, and only then."""
    figure: Any = plt.figure(figsize=(width, height), layout=layout)
    plt.close(figure)

    def words(include=None, exclude=None):
        told = described(figure)
        return ({"text/plain": told}, {"image/png": {"alt": told}}) if told else ({}, {})

    figure._repr_mimebundle_ = words  # notebooks keep the alternative text beside the picture
    return figure


def described(figure: Figure) -> str:
    """A figure in words, for those who do not see it: its title; each panel's title, axes and legend."""
    words = [figure.get_suptitle()]
    for axis in figure.axes:
        legend = axis.get_legend()
        card = str(axis.get_label()).removeprefix("<colorbar>")  # an item without a picture
        named = {"x": f"{card} {axis.get_xlabel()}".strip(), "y": axis.get_ylabel()}
        named["legend"] = ", ".join(text.get_text() for text in legend.get_texts()) if legend else ""
        told = [
            axis.get_title("left") or axis.get_title(),
            *(f"{name}: {label}" for name, label in named.items() if label),
        ]
        words.append("; ".join(filter(None, told)))
    return " | ".join(filter(None, words)).replace("\n", " ").replace("$", "")


def panel(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of that size (inches) with one panel."""
    figure = empty_figure(width, height)
    return figure, figure.subplots()


def panel_row(count: int, width: float, height: float, sharey: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure of that size (inches) with ``count`` panels side by side."""
    figure = empty_figure(width, height)
    return figure, list(figure.subplots(1, count, squeeze=False, sharey=sharey)[0])


def panels(
    table: pd.DataFrame, by: str, width: float, height: float, each: float = 0, size: float = 9, sharey: bool = True
) -> tuple[Figure, list[tuple[Axes, Any, pd.DataFrame]]]:
    """(figure, [(axis, value, its rows)]): a panel for every value of a column, its title in letters of ``size``;
    the figure is ``width`` plus ``each`` times the number of panels wide."""
    groups = list(table.groupby(by, sort=False))
    figure, axes = panel_row(len(groups), width + each * len(groups), height, sharey)
    for axis, (value, _) in zip(axes, groups):
        axis.set_title(str(value), fontsize=size, loc="left", **WORDS)
    return figure, [(axis, *group) for axis, group in zip(axes, groups)]


def captioned(figure: Figure, caption: str, size: float = 9) -> Figure:
    """The figure with a line above it: what was measured, on what data, at which scale; nothing if there is none."""
    if caption:
        figure.suptitle(caption, fontsize=size, x=0.01, ha="left", **WORDS)
    return figure


def legend_beside(axis: Axes, **look: Any) -> None:
    """The legend to the right of an axis, at its top."""
    axis.legend(**{"fontsize": 8, "loc": "upper left", "bbox_to_anchor": (1, 1), **look})


def grouped_bars(axis: Axes, groups: Mapping[str, Iterable], first: int = 0, flat: bool = False, **look: Any) -> None:
    """Bars side by side at the places ``first``, ``first`` + 1, ...: a colour and a line of the legend per group."""
    width, bars = 0.8 / len(groups), axis.barh if flat else axis.bar
    for i, (name, sizes) in enumerate(groups.items()):
        sizes = [float(size) for size in sizes]
        places = first + np.arange(len(sizes)) + (i + 0.5) * width - 0.4
        bars(places, sizes, width, color=COLOURS[i % len(COLOURS)], label=name, **look)


def log_axis(axis: Axes) -> None:
    """A logarithmic x axis of plain numbers."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()


def shortened(titles: Iterable[str], width: int = 22) -> list[str]:
    """Titles cut to ``width`` letters, at the end of a word."""
    return [shorten(title, width, placeholder="...") for title in titles]


def span(seconds: float, digits: int = 0) -> str:
    """A gap in the unit a reader would use, with so many digits after the point."""
    units = ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min"))
    size, unit = next((one for one in units if seconds >= one[0]), (1, "s"))
    return f"{seconds / size:.{digits}f} {unit}"
