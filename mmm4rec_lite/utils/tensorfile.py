"""Tensors and notes in one safetensors file, never pickled; a checksum notices changed bytes.

What is read is mapped, not loaded: a tensor's bytes come from the disk where they are used. The map is private, so that
to write into such a tensor changes no file, and nobody here changes a file in place: a new one takes its name.
"""

import json
import math
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from mmm4rec_lite.utils.digest import raw
from mmm4rec_lite.utils.errors import InputError, first_line, refuse
from mmm4rec_lite.utils.files import atomic
from mmm4rec_lite.utils.typing import Tensor

_KEY, _PIECE = "mmm4rec_lite", 2**20
TEXTS = "texts"
_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.eye}


def save_tensors(path: Path | str, kind: str, tensors: Mapping[str, Tensor], **notes: Any) -> None:
    """Write tensors (name -> tensor) and JSON notes as a file of a ``kind`` ("model", ...): whole or not at all.

    Numbers must be finite: weights that are not are no result, and would replace one.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if lost := [name for name, tensor in tensors.items() if not finite(tensor)]:
        raise InputError(f"{path}: {lost[0]} holds numbers that are not finite, so nothing is saved there")
    notes = {"kind": kind, **notes}
    checksum = _checksum(tensors, notes, (raw(tensors[name]) for name in sorted(tensors)))
    with atomic(path) as temporary:
        save_file(tensors, temporary, {_KEY: json.dumps(notes | {"checksum": checksum})})


def load_tensors(
    path: Path | str, kind: str, again: str, needs: Mapping[str, Any] = MappingProxyType({})
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, notes) of such a file; ``again`` says in an InputError how to make one.

    ``needs``: what must be there. Notes by their type; tensors as (type, number of axes); `TEXTS`, a packed list of
    texts, which is returned among the notes, and whose entries are the rows' names in messages.
    """
    path = Path(path)
    refuse(not path.is_file(), f"{path}: there is no such {kind} file; {again}")
    try:
        with safe_open(path, framework="pt") as file:
            notes = parse((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except Exception as error:  # of a file from a stranger, anything
        raise InputError(f"{path} is no {kind} file or is damaged ({first_line(error)}); {again}") from None
    found = notes.get("kind", "something else") if isinstance(notes, dict) else "something else"
    shown = found if isinstance(found, str) and found.isprintable() and len(found) < 60 else "another"
    refuse(found != kind, f"{path} is no {kind} file but {shown}; {again}")
    faults: dict[str, int] = {}
    changed = notes.pop("checksum", None) != _checksum(tensors, notes, _stored(path, tensors, faults))
    refuse(changed, f"{path} is damaged (its checksum differs); {again}")
    rows = None
    for name, form in needs.items():
        if form == TEXTS and name in tensors:
            with suppress(ValueError, RecursionError):
                notes[name] = rows = unpack(tensors.pop(name))
            fits = isinstance(rows, list) and all(isinstance(row, str) for row in rows)
        elif isinstance(form, tuple):
            fits = name in tensors and (tensors[name].dtype, tensors[name].dim()) == form
        else:
            fits = form != TEXTS and isinstance(notes.get(name), form)
        refuse(not fits, f"{path} is no {kind} file of this library ({name} is missing or of another form); {again}")
    for name, row in faults.items():
        whose = f"the {name} of item {rows[row]!r}" if rows is not None and row < len(rows) else name
        raise InputError(f"{path}: {whose} is not finite; {again}")
    return tensors, notes


def finite(tensor: Tensor) -> bool:
    """Whether all numbers are; without a copy."""
    if not tensor.numel() or not tensor.is_floating_point():
        return True
    return all(end.isfinite() for end in (tensor if tensor.itemsize > 1 else tensor.float()).aminmax())


class Allocating(TorchFunctionMode):
    """Inside it no more than ``most`` numbers are allocated by sizes that a file gave; InputError before the first."""

    def __init__(self, most: int, told: str):
        super().__init__()
        self.left, self.told = most, told

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _FACTORIES:
            given = [*args, (kwargs or {}).get("size", ())]
            sizes = [n for part in given for n in (part if isinstance(part, (tuple, list)) else [part])]
            self.left -= math.prod(n for n in sizes if isinstance(n, int))
            refuse(self.left < 0, self.told)
        return func(*args, **kwargs or {})


def parse(text: str | bytes) -> Any:
    """JSON from a stranger; ValueError for what is none, NaN and what nests too deep included."""
    try:
        return json.loads(text, parse_constant=dict[str, Any]().__getitem__)
    except (RecursionError, KeyError) as error:
        raise ValueError(f"nested too deep, or {first_line(error)} in place of a number") from None


def pack(value: Any) -> Tensor:
    """A JSON value, such as a long list of ids, as a tensor of bytes."""
    return torch.frombuffer(bytearray(json.dumps(value, ensure_ascii=False).encode()), dtype=torch.uint8)


def unpack(packed: Tensor) -> Any:
    """What `pack` was given."""
    return parse(packed.numpy().tobytes())


def _checksum(tensors, notes, content):
    """Of names, types, shapes, notes, and ``content``: the tensors' bytes in the order of their names, in pieces."""
    about = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    crc = zlib.crc32(json.dumps([about, notes], sort_keys=True).encode())
    for piece in content:
        crc = zlib.crc32(piece, crc)
    return crc


def _stored(path, tensors, faults):
    """The same bytes, read from the file: what is read through the map stays in the process's memory.

    ``faults`` gets the first row that is not finite of each tensor that has one.
    """
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        about = json.loads(file.read(size))
        for name in sorted(about.keys() - {"__metadata__"}):
            (start, end), tensor = about[name]["data_offsets"], tensors[name]
            file.seek(8 + size + start)
            step = max(1, _PIECE // tensor.itemsize) * tensor.itemsize
            for place in range(start, end, step):
                piece = bytearray(file.read(min(step, end - place)))
                yield piece
                if tensor.is_floating_point() and name not in faults:
                    numbers = torch.frombuffer(piece, dtype=tensor.dtype)
                    if not finite(numbers):
                        first = (place - start) // tensor.itemsize + int((~numbers.isfinite()).nonzero()[0])
                        faults[name] = first // max(1, tensor[0].numel()) if tensor.dim() else 0
