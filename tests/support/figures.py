"""Figures drawn for the tests of plots."""

import io

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def drawn(figure):
    """The figure's axes, once it is known to be a figure that draws and that pyplot does not keep."""
    assert isinstance(figure, Figure) and not plt.get_fignums()
    figure.savefig(io.BytesIO(), format="png")
    return figure.axes


def legend(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def ticks(axis):
    return [label.get_text() for label in axis.get_yticklabels()]
