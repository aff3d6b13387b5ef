"""Frozen item features: pictures and texts in, rows of numbers out.

- ``encoders``: `load_encoder` gives an `Encoder` by name; ``packaged`` builds the pretrained pair that comes with pip.
- ``extraction``: `extract` encodes a dataset's items once, resumably, into one file.
- ``store``: `Features`, that file: saved, loaded, aligned with item ids, never mixed between encoders.
- ``tables``: `FeatureTable`, vectors from a file: a further modality, or a stand-in for text or pictures.
- ``hub``: manners towards the libraries behind the encoders.
"""

from mmm4rec_lite.features.encoders import ENCODERS, Encoder, load_encoder
from mmm4rec_lite.features.extraction import extract
from mmm4rec_lite.features.store import Features, load_features
from mmm4rec_lite.features.tables import FeatureTable, codes, codes_table, load_table, read_table, with_table

__all__ = ["ENCODERS", "Encoder", "FeatureTable", "Features", "codes", "codes_table", "extract", "load_encoder"]
__all__ += ["load_features", "load_table", "read_table", "with_table"]
