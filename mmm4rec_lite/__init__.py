"""MMM4Rec (arXiv 2506.02916), readable: see README.md for a map of the files."""

from mmm4rec_lite.config import ModelConfig, Quirks
from mmm4rec_lite.errors import KitError
from mmm4rec_lite.model import MMM4Rec

__all__ = ["KitError", "MMM4Rec", "ModelConfig", "Quirks"]
