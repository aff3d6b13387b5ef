"""Figures as functions: frames or arrays in, a matplotlib Figure out. One style (``style.py``)."""

from mmm4rec_lite.plots.dataset import gap_histogram, match_bars, popularity_curve
from mmm4rec_lite.plots.filters import (
    adaptive_gain,
    alignment_bars,
    filter_gain,
    filter_in_out,
    frequency_maps,
    gap_spectra,
    planted_rhythms,
    reach_bars,
    score_bars,
)
from mmm4rec_lite.plots.items import contact_sheet, neighbour_grid, strip, weight_strip
from mmm4rec_lite.plots.mechanisms import (
    gap_response,
    influence_bars,
    mask_difference,
    mask_map,
    movement,
    step_chain,
    time_signals,
    weight_bars,
)
from mmm4rec_lite.plots.results import differences, epochs_to_best, history_curves, metric_bars
from mmm4rec_lite.plots.state_space import (
    chunk_map,
    half_life_bars,
    half_life_lines,
    matrix_row,
    memory_curves,
    scaling_curves,
)

__all__ = [
    "adaptive_gain",
    "alignment_bars",
    "chunk_map",
    "contact_sheet",
    "differences",
    "epochs_to_best",
    "filter_gain",
    "filter_in_out",
    "frequency_maps",
    "gap_histogram",
    "gap_response",
    "gap_spectra",
    "half_life_bars",
    "half_life_lines",
    "history_curves",
    "influence_bars",
    "mask_difference",
    "mask_map",
    "match_bars",
    "matrix_row",
    "memory_curves",
    "metric_bars",
    "movement",
    "neighbour_grid",
    "planted_rhythms",
    "popularity_curve",
    "reach_bars",
    "scaling_curves",
    "score_bars",
    "step_chain",
    "strip",
    "time_signals",
    "weight_bars",
    "weight_strip",
]
