# ruff: noqa: F401 (what is imported here is offered)
"""Explorers: controls over figures and the model, one call each; `page` is the one that needs no Python."""

from mmm4rec_lite.utils.optional import extra

with extra("notebooks"):
    from mmm4rec_lite.viz.explorers.exchange import block_exchange
    from mmm4rec_lite.viz.explorers.filters import filter_explorer
    from mmm4rec_lite.viz.explorers.mask import mask_explorer
    from mmm4rec_lite.viz.explorers.modality import modality_dial
    from mmm4rec_lite.viz.explorers.what_if import what_if
