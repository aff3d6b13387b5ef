"""MMM4Rec (arXiv 2506.02916), readable."""

from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.errors import InputError

__all__ = ["InputError", "MMM4Rec", "ModelConfig", "Quirks"]
