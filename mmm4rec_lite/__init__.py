"""MMM4Rec (arXiv 2506.02916), readable: see README.md for a map of the files."""

import os

# Before torch starts its threads: waiting ones should sleep, not spin. On a machine with other work to do,
# spinning makes a training step ten times slower; on an idle one the difference is small.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from mmm4rec_lite.config import ModelConfig, Quirks  # noqa: E402
from mmm4rec_lite.errors import KitError  # noqa: E402
from mmm4rec_lite.model import MMM4Rec  # noqa: E402

__all__ = ["KitError", "MMM4Rec", "ModelConfig", "Quirks"]
