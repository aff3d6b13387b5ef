"""Tensors with their shapes in annotations: ``Float[Tensor, "B L N"]``, as jaxtyping reads them.

The core does not need jaxtyping. Where it is not installed, an annotation says ``Tensor`` and no more; in the tests
it is, and every call is checked.
"""

from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Complex, Float, Int
else:
    try:
        from jaxtyping import Bool, Complex, Float, Int
    except ImportError:

        class _Unchecked:
            def __class_getitem__(cls, kind: tuple[Any, str]) -> Any:
                return kind[0]

        Bool = Complex = Float = Int = _Unchecked

__all__ = ["Bool", "Complex", "Float", "Int", "Tensor"]
