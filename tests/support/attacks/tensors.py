"""Tensor files with changed bytes, and files whose checksum is right and whose content is not."""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import mmm4rec_lite as m4r
from mmm4rec_lite.data.mapped import open_sequences
from mmm4rec_lite.features.tables import load_table
from mmm4rec_lite.utils import tensorfile
from mmm4rec_lite.utils.errors import InputError
from tests.support import toy as make_toy
from tests.support.attacks import Report, shop

VALUES = [None, True, -1, 0, 10**6, 2**63, 1e308, "", "x", "../../etc", [], [1], {}, {"a": 1}, [[[[]]]], 0.5]
VALUES += ["x" * 10_000, "\x00\n\x1b[31m", "é", [None] * 1000]
HEADERS = [
    b"{",
    b"[" * 50_000,
    b'{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 8]}}',
    b"null",
    b"{}",
]


def _bytes(whole, rng):
    """Some bytes changed, cut off, doubled or put in; or another header."""
    whole, way = bytearray(whole), int(rng.integers(6))
    if way == 0:
        for place in rng.integers(0, len(whole), int(rng.integers(1, 9))):
            whole[place] ^= int(rng.integers(1, 256))
    elif way == 1:
        del whole[int(rng.integers(len(whole))) :]
    elif way == 2:
        start = int(rng.integers(len(whole)))
        whole[start:start] = rng.bytes(int(rng.integers(1, 100)))
    elif way == 3:  # in the header alone
        place = int(rng.integers(0, 8 + int.from_bytes(whole[:8], "little")))
        whole[place] ^= int(rng.integers(1, 256))
    elif way == 4:
        header = HEADERS[int(rng.integers(len(HEADERS)))]
        whole = bytearray(len(header).to_bytes(8, "little") + header + bytes(8))
    else:
        whole[:8] = int(rng.choice([0, 1, 2**31, 2**63 - 1])).to_bytes(8, "little")
    return bytes(whole)


def _nested(notes, rng):
    """A place somewhere in the notes: (container, key)."""
    box, key = notes, str(rng.choice(list(notes)))
    while isinstance(box[key], (dict, list)) and box[key] and rng.random() < 0.6:
        box = box[key]
        key = str(rng.choice(list(box))) if isinstance(box, dict) else int(rng.integers(len(box)))
    return box, key


def _tensor(tensor, rng):
    """A tensor with something wrong, or at least other."""
    way, tensor = int(rng.integers(9)), tensor.clone()
    if way == 0 and tensor.is_floating_point() and tensor.numel():
        tensor.view(-1)[int(rng.integers(tensor.numel()))] = float(rng.choice([np.nan, np.inf, -np.inf, 3e38]))
    elif way == 1:
        tensor = tensor[:-1] if tensor.dim() and len(tensor) else tensor.unsqueeze(0)
    elif way == 2:
        tensor = tensor.unsqueeze(0)
    elif way == 3:
        tensor = tensor.to([torch.float64, torch.float16, torch.int64, torch.bool, torch.uint8][int(rng.integers(5))])
    elif way == 4:
        tensor = torch.zeros(0)
    elif way == 5 and tensor.dtype == torch.int64 and tensor.numel():
        tensor.view(-1)[int(rng.integers(tensor.numel()))] = int(rng.choice([-1, -(2**62), 2**62, 10**9]))
    elif way == 6 and tensor.dtype == torch.uint8 and tensor.numel():
        tensor = torch.frombuffer(
            bytearray([b"[" * 9_999, b"{}", b"[1]", b"\xff", b"[NaN]", b'["a","a"]'][int(rng.integers(6))]),
            dtype=torch.uint8,
        )
    elif way == 7:
        tensor = torch.cat([tensor, tensor]) if tensor.dim() else tensor
    else:
        tensor = tensor.flatten()
    return tensor.contiguous()


def _crafted(path, file, rng):
    """The same file written anew with a right checksum after some changes."""
    with safe_open(file, framework="pt") as opened:
        notes = json.loads(opened.metadata()["mmm4rec_lite"])
        tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
    notes.pop("checksum")
    for _ in range(int(rng.integers(1, 3))):
        way, name = int(rng.integers(6)), str(rng.choice(list(tensors) or ["x"]))
        if way == 0:
            tensors.pop(name, None)
        elif way == 1:
            tensors[f"{name}.more"] = torch.ones(2)
        elif way in (2, 3) and name in tensors:
            tensors[name] = _tensor(tensors[name], rng)
        else:
            box, key = _nested(notes, rng)
            if key == "kind":
                continue
            if rng.random() < 0.25 and isinstance(box, dict):
                del box[key]
            else:
                box[key] = VALUES[int(rng.integers(len(VALUES)))]
    checksum = tensorfile._checksum(tensors, notes, (tensorfile.raw(tensors[name]) for name in sorted(tensors)))
    save_file(tensors, path, {"mmm4rec_lite": json.dumps(notes | {"checksum": checksum})})


def _use(kind, path):
    """Read a file as a user does, and look at what comes of it."""
    if kind == "features":
        found = m4r.Task(shop.toy(), m4r.load_features(path)).catalogue
        return found.text.isfinite().all() and found.image.isfinite().all()
    if kind == "table":
        return load_table(path).align(shop.toy().items["item"])[0].isfinite().all()
    if kind == "sequences":
        flat = open_sequences(make_toy.FOLDER, path)
        return all(len(part.items) for part in [m4r.data.batch(flat, m4r.leave_one_out(flat).test, 8)])
    if kind == "run":
        done = m4r.load_run(path.parent, shop.task())
        return m4r.recommend(done.model, shop.toy(), "user00", k=3)["score"].map(np.isfinite).all()
    history = shop.train_into(path.parent, 2)
    return np.isfinite(history["loss"]).all()


def attack(count: int, seed: int = 0) -> Report:
    """``count`` files: an InputError of one line, or numbers that are finite."""
    rng, report = np.random.default_rng(seed), Report()
    with tempfile.TemporaryDirectory() as work:
        files = shop.furnish(Path(work))
        whole = {kind: file.read_bytes() for kind, file in files.items()}
        for number in range(count):
            if report.late:
                break
            kind = str(rng.choice(list(files)))
            path = files[kind]
            if way := rng.random() < 0.4:
                path.write_bytes(_bytes(whole[kind], rng))
            else:
                original = path.with_name("original")
                original.write_bytes(whole[kind])
                _crafted(path, original, rng)
            what = f"{number} {kind} {'bytes' if way else 'crafted'}"
            try:
                fine = bool(_use(kind, path))
                report.saw("taken") if fine else report.fault(f"{what}: not finite")
            except InputError as error:
                report.saw("told") if "\n" not in str(error) else report.fault(f"{what}: several lines")
            except Exception as error:
                report.fault(f"{what}: {type(error).__name__}: {str(error)[:150]}")
            path.write_bytes(whole[kind])
    return report
