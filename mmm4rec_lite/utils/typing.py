"""Shapes in annotations, ``Float[Tensor, "B L N"]``, as jaxtyping reads them; without it they say ``Tensor`` only."""

from typing import Any

from torch import Tensor

try:
    from jaxtyping import Bool, Complex, Float, Int
except ImportError:

    class _Unchecked:
        def __class_getitem__(cls, kind: tuple[Any, str]) -> Any:
            return kind[0]

    Bool = Complex = Float = Int = _Unchecked  # type: ignore

__all__ = ["Bool", "Complex", "Float", "Int", "Tensor"]
