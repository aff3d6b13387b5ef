"""MMM4Rec (arXiv 2506.02916), readable: a multi-modal Mamba for sequential recommendation.

>>> import mmm4rec_lite as m4r
>>> toy = m4r.load_dataset("data_samples/toy")
>>> m4r.leave_one_out(toy).test.shape  # one held-out target per user
torch.Size([80])

The public names stand in ``__init__.pyi``, with the rooms that they come from. Each is imported when it is first
used, so that this import takes a moment only, and needs no optional library.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_HOMES = {name.name: node.module for node in _STUB.body if isinstance(node, ast.ImportFrom) for name in node.names}
__all__ = sorted(name for name, home in _HOMES.items() if home != __name__)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    value = import_module(f"{home}.{name}") if home == __name__ else getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
