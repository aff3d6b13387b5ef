"""The one style of all figures, safe for colour-blind readers and readable in print."""

import matplotlib.pyplot as plt
import seaborn as sns

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


def span(seconds, digits=0):
    """A gap in the unit a reader would use, with so many digits after the point."""
    for size, unit in ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.{digits}f} s"
