"""Figures as functions: frames or arrays in, a matplotlib Figure out. One style (``style.py``)."""

from mmm4rec_lite.utils.optional import extra

with extra("viz"):
    from mmm4rec_lite.viz.items import contact_sheet, neighbour_grid, strip, strips, weight_strip
    from mmm4rec_lite.viz.masks import half_life_bars, mask_difference, mask_map, picture_mask, weight_bars
    from mmm4rec_lite.viz.results import ablation_bars, convergence_curves, differences, history_curves, metric_bars
    from mmm4rec_lite.viz.spectra import filter_gain, frequency_maps, gap_spectra
    from mmm4rec_lite.viz.tables import plain_table, text_table

__all__ = [
    "ablation_bars",
    "contact_sheet",
    "convergence_curves",
    "differences",
    "filter_gain",
    "frequency_maps",
    "gap_spectra",
    "half_life_bars",
    "history_curves",
    "mask_difference",
    "mask_map",
    "metric_bars",
    "neighbour_grid",
    "picture_mask",
    "plain_table",
    "strip",
    "strips",
    "text_table",
    "weight_bars",
    "weight_strip",
]
