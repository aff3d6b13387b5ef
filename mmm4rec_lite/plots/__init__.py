"""Figures as functions: frames or arrays in, a matplotlib Figure out. One style (``style.py``)."""

from mmm4rec_lite.plots.dataset import gap_histogram, match_bars, popularity_curve
from mmm4rec_lite.plots.items import contact_sheet, neighbour_grid, strip
from mmm4rec_lite.plots.mechanisms import mask_map, movement, time_signals, weight_bars
from mmm4rec_lite.plots.results import differences, epochs_to_best, history_curves, metric_bars

__all__ = [
    "contact_sheet",
    "differences",
    "epochs_to_best",
    "gap_histogram",
    "history_curves",
    "mask_map",
    "match_bars",
    "metric_bars",
    "movement",
    "neighbour_grid",
    "popularity_curve",
    "strip",
    "time_signals",
    "weight_bars",
]
