"""Tensors and notes in one safetensors file, never pickled; a checksum notices changed bytes.

What is read is mapped, not loaded: a tensor's bytes come from the disk where they are used. The map is private, so that
to write into such a tensor changes no file, and nobody here changes a file in place: a new one takes its name.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mmm4rec_lite.utils.digest import raw
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.utils.files import atomic
from mmm4rec_lite.utils.typing import Tensor

_KEY, _PIECE = "mmm4rec_lite", 2**20


def save_tensors(path: Path | str, kind: str, tensors: Mapping[str, Tensor], **notes: Any) -> None:
    """Write tensors (name -> tensor) and JSON notes as a file of a ``kind`` ("model", ...): whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    notes = {"kind": kind, **notes}
    checksum = _checksum(tensors, notes, (raw(tensors[name]) for name in sorted(tensors)))
    with atomic(path) as temporary:
        save_file(tensors, temporary, {_KEY: json.dumps(notes | {"checksum": checksum})})


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
    changed = notes.pop("checksum", None) != _checksum(tensors, notes, _stored(path))
    refuse(changed, f"{path} is damaged (its checksum differs); {again}")
    return tensors, notes


def pack(value: Any) -> Tensor:
    """A JSON value, such as a long list of ids, as a tensor of bytes."""
    return torch.frombuffer(bytearray(json.dumps(value, ensure_ascii=False).encode()), dtype=torch.uint8)


def unpack(packed: Tensor) -> Any:
    """What `pack` was given."""
    return json.loads(packed.numpy().tobytes())


def _checksum(tensors, notes, content):
    """Of names, types, shapes, notes, and ``content``: the tensors' bytes in the order of their names, in pieces."""
    about = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    crc = zlib.crc32(json.dumps([about, notes], sort_keys=True).encode())
    for piece in content:
        crc = zlib.crc32(piece, crc)
    return crc


def _stored(path):
    """The same bytes, read from the file: what is read through the map stays in the process's memory."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        about = json.loads(file.read(size))
        for name in sorted(about.keys() - {"__metadata__"}):
            start, end = about[name]["data_offsets"]
            file.seek(8 + size + start)
            for place in range(start, end, _PIECE):
                yield file.read(min(_PIECE, end - place))
