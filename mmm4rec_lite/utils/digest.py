"""One hash for whatever is told apart by its content: encoders, parts, runs, folders of a cache."""

import hashlib
import json
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
import torch

from mmm4rec_lite.utils.typing import Tensor


def digest(*parts: Any) -> str:
    """SHA-256, in hexadecimal, of bytes, texts and tensors' numbers (no shape or type), all else as JSON, sorted."""
    plain = lambda value: asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = raw(part)
        elif not isinstance(part, bytes):
            part = (part if isinstance(part, str) else json.dumps(part, sort_keys=True, default=plain)).encode()
        found.update(part)
    return found.hexdigest()


def raw(tensor: Tensor) -> np.ndarray:
    """The bytes of a tensor's numbers, row by row, of any type and on any device."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
