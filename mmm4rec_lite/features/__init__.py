"""Frozen item features: pictures and texts in, rows of numbers out.

- ``encoders``: `load_encoder` gives an `Encoder` by name (``packaged``, ``siglip``, ``random``, a folder).
- ``extract``: `extract` encodes a dataset's items once, resumably, into one file.
- ``store``: `Features`, that file: saved, loaded, aligned with item ids, never mixed between encoders.
- ``tables``: `FeatureTable`, vectors from a file: a further modality, or a stand-in for text or pictures.
- ``packaged``: the pretrained pair that comes with pip, as an open_clip folder.
- ``hub``: no vain look-ups at the model hub, no chatter.
- ``torchvision_guard``: torchvision on installations where its import fails.

open_clip and what it pulls in are imported by `load_encoder`, not by this package.
"""

from mmm4rec_lite.features.encoders import ENCODERS, Encoder, load_encoder
from mmm4rec_lite.features.extraction import extract
from mmm4rec_lite.features.store import Features, load_features
from mmm4rec_lite.features.tables import FeatureTable, codes, codes_table, load_table, read_table, with_table

__all__ = [
    "ENCODERS",
    "Encoder",
    "FeatureTable",
    "Features",
    "codes",
    "codes_table",
    "extract",
    "load_encoder",
    "load_features",
    "load_table",
    "read_table",
    "with_table",
]
