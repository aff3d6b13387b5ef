"""Tensors and notes in one safetensors file, never pickled; a checksum notices changed bytes."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mmm4rec_lite.utils.digest import raw
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.utils.files import atomic
from mmm4rec_lite.utils.typing import Tensor

_KEY = "mmm4rec_lite"


def save_tensors(path: Path | str, kind: str, tensors: Mapping[str, Tensor], **notes: Any) -> None:
    """Write tensors (name -> tensor) and JSON notes as a file of a ``kind`` ("model", ...): whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    notes = {"kind": kind, **notes}
    with atomic(path) as temporary:
        save_file(tensors, temporary, {_KEY: json.dumps(notes | {"checksum": _checksum(tensors, notes)})})


def load_tensors(path: Path | str, kind: str, again: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, notes) of such a file; ``again`` says in an InputError how to make one."""
    path = Path(path)
    refuse(not path.is_file(), f"{path}: there is no such {kind} file; {again}")
    try:
        with safe_open(path, framework="pt") as file:
            notes = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is no {kind} file or is damaged ({error}); {again}") from None
    found = notes.get("kind", "something else") if isinstance(notes, dict) else "something else"
    refuse(found != kind, f"{path} is no {kind} file but {found}; {again}")
    changed = notes.pop("checksum", None) != _checksum(tensors, notes)
    refuse(changed, f"{path} is damaged (its checksum differs); {again}")
    return tensors, notes


def _checksum(tensors, notes):
    about = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    crc = zlib.crc32(json.dumps([about, notes], sort_keys=True).encode())
    for name in sorted(tensors):
        crc = zlib.crc32(raw(tensors[name]), crc)
    return crc
