"""Sequences of a dataset folder that stay on disk: a file of flat tensors beside its tables, mapped into memory.

The tables are read once, a block of interactions at a time, and checked as `load_dataset` does. Later, training and
ranking read what their batches touch.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mmm4rec_lite.data.schema import INTERACTIONS, check_tables, read_blocks, read_table
from mmm4rec_lite.data.split import Sequences, flat_sequences
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.files import lock, sweep
from mmm4rec_lite.utils.tensorfile import TEXTS, load_tensors, pack, save_tensors

FILE, BLOCK = "sequences.safetensors", 1_000_000  # interactions read at once
FORM = dict.fromkeys(("items", "times", "first"), (torch.int64, 1)) | {
    "users": TEXTS,
    "item_count": int,
    "made_of": list,
}
READ = "sequences", "delete it, and it is made anew", FORM


def open_sequences(folder: Path | str, file: Path | str | None = None) -> Sequences:
    """What `sequences` makes of a dataset, without loading it; every split takes them in its place.

    Parameters
    ----------
    folder : as `load_dataset` reads it; images are not looked at
    file : where the sequences are kept, by default in the folder; made where it is missing or of other tables

    Examples
    --------
    >>> from mmm4rec_lite.data import leave_one_out
    >>> split = leave_one_out(open_sequences("data_samples/toy", "toy.safetensors"))
    >>> len(split.test), split.sequences.item_count
    (80, 60)
    """
    tables = [Path(folder, f"{table}.parquet") for table in ("interactions", "items")]
    lost = [table.name for table in tables if not table.is_file()]
    refuse(lost, f"{folder}: {', '.join(lost)} missing; mmm4rec_lite.data.dataset tells what belongs there")
    made_of = [[table.stat().st_size, table.stat().st_mtime_ns] for table in tables]
    file = Path(folder, FILE) if file is None else Path(file)
    sweep(file.parent)
    tensors, notes = load_tensors(file, *READ) if file.is_file() else ({}, {})
    if notes.get("made_of") != made_of:
        with lock(file, "making the sequences"):
            _save(file, _flat(*tables), made_of)
        tensors, notes = load_tensors(file, *READ)
    items, first, M = tensors["items"], tensors["first"], len(tensors["items"])
    fits = M > 0 and all(len(tensor) == M for tensor in tensors.values()) and items.min() >= 1
    fits = fits and items.max() <= notes["item_count"] and first.min() >= 0 and (first <= torch.arange(M)).all()
    refuse(not fits, f"{file} is damaged (numbers out of range); {READ[1]}")
    return Sequences(**tensors, users=notes["users"], item_count=notes["item_count"])


def _save(file, made, made_of):
    tensors = dict(items=made.items, times=made.times, first=made.first, users=pack(made.users))
    save_tensors(file, READ[0], tensors, item_count=made.item_count, made_of=made_of)


def _flat(interactions, items):
    """The sequences of two tables, in memory."""
    items, code, blocks = read_table(items).assign(image=None), {}, []
    for number, block in enumerate(read_blocks(interactions, INTERACTIONS, BLOCK)):
        where = {"interactions": f"{interactions}, rows from {number * BLOCK}", "items": str(items)}
        rows, known = check_tables(block, items, None, where.__getitem__)
        user, names = pd.factorize(rows["user"])
        user = np.array([code.setdefault(name, len(code)) for name in names], dtype=np.int32)[user]
        item = pd.Index(known["item"]).get_indexer(rows["item"]).astype(np.int32)
        blocks.append((user, item, rows["timestamp"].to_numpy()))
    refuse(not blocks, f"{interactions}: no rows")
    rank, users = pd.factorize(pd.Index(list(code)), sort=True)
    user, item, time = map(np.concatenate, zip(*blocks))
    user = rank.astype(np.int32)[user]
    order = np.lexsort((time, user))  # a stable sort: among equals the rows' order stays
    return flat_sequences(user[order], item[order] + 1, time[order], list(users), len(items))
