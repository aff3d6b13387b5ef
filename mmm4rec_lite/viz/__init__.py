# ruff: noqa: F401, I001 (what is imported here is offered)
"""Figures as functions: frames or arrays in, a matplotlib Figure out. One style (``style.py``)."""

from mmm4rec_lite.utils.optional import extra

with extra("viz"):
    from mmm4rec_lite.viz.items import contact_sheet, neighbour_grid, strip, strips, weight_strip
    from mmm4rec_lite.viz.masks import half_life_bars, mask_difference, mask_map, picture_mask, weight_bars
    from mmm4rec_lite.viz.results import ablation_bars, convergence_curves, differences, history_curves, metric_bars
    from mmm4rec_lite.viz.results import plain_table, text_table
    from mmm4rec_lite.viz.spectra import filter_gain, frequency_maps, gap_spectra
