"""Frozen item features: `extract` encodes a dataset into `Features`; a `FeatureTable` holds vectors from elsewhere."""

from mmm4rec_lite.features.encoders import ENCODERS, Encoder, load_encoder
from mmm4rec_lite.features.extraction import extract
from mmm4rec_lite.features.store import Features, load_features
from mmm4rec_lite.features.tables import FeatureTable, codes, codes_table, load_table, read_table, with_table

__all__ = ["ENCODERS", "Encoder", "FeatureTable", "Features", "codes", "codes_table", "extract", "load_encoder"]
__all__ += ["load_features", "load_table", "read_table", "with_table"]
