"""Frozen item features: pictures and texts in, rows of numbers out.

- ``encoders``: `load_encoder` gives an `Encoder` by name (``packaged``, ``siglip``, ``random``, a folder).
- ``extract``: `extract` encodes a dataset's items once, resumably, into one file.
- ``store``: `Features`, that file: saved, loaded, aligned with item ids, never mixed between encoders.
- ``packaged``: the pretrained pair that comes with pip, as an open_clip folder.
- ``hub``: no vain look-ups at the model hub, no chatter.
- ``torchvision_guard``: torchvision on installations where its import fails.

open_clip and what it pulls in are imported by `load_encoder`, not by this package.
"""

from mmm4rec_lite.features.encoders import ENCODERS, Encoder, load_encoder
from mmm4rec_lite.features.extract import extract
from mmm4rec_lite.features.store import Features, load_features

__all__ = ["ENCODERS", "Encoder", "Features", "extract", "load_encoder", "load_features"]
