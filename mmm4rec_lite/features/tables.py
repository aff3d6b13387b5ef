"""Feature vectors that come in a table: a further modality (audio...), or a stand-in for text or picture features."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite.data.columns import find_column
from mmm4rec_lite.data.reading import as_text, read_any
from mmm4rec_lite.features.store import Features, load_rows, save_rows
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.utils.errors import InputError, first_line, refuse
from mmm4rec_lite.utils.typing import Bool, Float, Tensor


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Vectors of one modality for I items; tables of one name, source and width may be mixed."""

    name: str  # of the modality, such as "audio"
    items: list[str]  # item ids, each once
    vectors: Float[Tensor, "..."]  # [I, D], finite, as they were given; other shapes are told
    source: str  # what made the vectors, in words
    dropped: int = 0  # rows left out because they held NaN or infinity

    def __post_init__(self):
        n, shape = len(self.items), list(self.vectors.shape)
        wrong = len(shape) != 2 or shape[0] != n or 0 in shape
        refuse(wrong, f"{self.source}: expected one vector for each of {n} items, got numbers of shape {shape}")
        items = pd.Index(self.items)
        if items.has_duplicates:
            raise InputError(f"{self.source}: item {items[items.duplicated()][0]!r} has several vectors; keep one")

    @property
    def fingerprint(self) -> str:
        """Digest of name, source and width: who made the vectors, not which items they are of."""
        return digest([self.name, self.source, self.vectors.shape[1]])

    def align(self, item_ids: Iterable[str]) -> tuple[Float[Tensor, "K D"], Bool[Tensor, " K"]]:
        """Vectors (or zeros) and whether there is one, in the order of ``item_ids``, behind a row 0 for padding."""
        item_ids = list(item_ids)
        row = torch.tensor(pd.Index(self.items).get_indexer(item_ids))
        has = row >= 0
        if not has.any():
            told = f"it has items such as {self.items[0]!r}, wanted are such as {item_ids[:1]}"
            raise InputError(f"{self.source}: no vector for any of {len(item_ids)} items ({told}); check its item ids")
        vectors = self.vectors[row.clamp(min=0)] * has[:, None]
        return F.pad(vectors, (0, 0, 1, 0)), F.pad(has, (1, 0))

    def coverage(self, item_ids: Iterable[str]) -> dict[str, int]:
        """Counts: items, with a vector, without one, vectors of other items, vectors not finite."""
        wanted, mine = set(item_ids), set(self.items)
        both, others = len(wanted & mine), len(mine - wanted)
        counts = {"items": len(wanted), "with a vector": both, "without a vector": len(wanted) - both}
        return counts | {"vectors of other items": others, "vectors with NaN or infinity, left out": self.dropped}

    def save(self, path: Path | str) -> None:
        """Write the file ``path``: whole or not at all."""
        save_rows(path, "feature table", vars(self))


def load_table(path: Path | str) -> FeatureTable:
    """Read a `FeatureTable` file; InputError if it is not there, is none, or is damaged."""
    known = {"vectors": (torch.float32, 2), "name": str, "source": str, "dropped": int}
    return FeatureTable(**load_rows(path, "feature table", "make it with the command `features-table`", known))


def read_table(
    path: Path | str, name: str, item: str | None = None, items: Iterable[str] | None = None, source: str | None = None
) -> FeatureTable:
    """The `FeatureTable` of a modality ``name`` in a file of vectors. Nothing is unpickled.

    ``path``: .npz (arrays ``items`` or ``item_id``, of text or numbers, and ``vectors`` or one called as the modality
    [I, D]), .npy (an array [I, D] whose rows follow ``items``), .parquet, or csv, tsv and jsonl (also .gz): a column
    ``item`` of ids (None finds the usual names), and columns of numbers or one of lists. ``source``: what made the
    vectors; None: the file's name.
    """
    path = Path(path)
    refuse(not path.is_file(), f"{path}: there is no such file")
    kind = path.suffix.lower()
    if kind in (".npy", ".npz"):
        ids, vectors = _numpy(path, items, name)
    elif kind == ".parquet":
        try:
            ids, vectors = _columns(pd.read_parquet(path, engine="pyarrow"), item, path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a readable parquet file ({first_line(error)})") from None
    else:
        ids, vectors = _columns(read_any(path, named=True), item, path)
    finite = np.isfinite(vectors).all(axis=1) if vectors.ndim == 2 else np.ones(len(vectors), bool)
    refuse(not finite.any(), f"{path}: no row of finite numbers")
    n, rule = len(vectors), ", its rows in the order of the dataset's items.parquet" if kind == ".npy" else ""
    refuse(len(ids) != n, f"{path}: {n} vectors for {len(ids)} items; expected one for each{rule}")
    ids = [one for one, keep in zip(ids, finite) if keep]
    kept = torch.from_numpy(np.ascontiguousarray(vectors[finite]))
    return FeatureTable(name, ids, kept, source or path.name, n - len(kept))


def codes(column: Iterable[Any]) -> tuple[Float[Tensor, "I C"], list[str]]:
    """Multi-hot vectors of texts with codes ("<A_164> <B_64>", or words between blanks), and each column's code."""
    found = [re.findall(r"<[^<>]+>|[^\s<>]+", text) if isinstance(text, str) else [] for text in column]
    names = sorted({code for row in found for code in row})
    refuse(not names, "codes: none found; expected texts such as '<A_164> <B_64>'")
    places = pd.Series(found).explode().dropna()
    out = torch.zeros(len(found), len(names))
    out[torch.tensor(places.index), torch.tensor(pd.Index(names).get_indexer(places))] = 1
    return out, names


def codes_table(items: Iterable[str], column: Iterable[Any], name: str, source: str) -> FeatureTable:
    """A `FeatureTable` of `codes`; items without a code have no vector. The codes themselves are part of its source."""
    vectors, names = codes(column)
    has = vectors.any(dim=1)
    ids = [item for item, one in zip(items, has.tolist()) if one]
    return FeatureTable(name, ids, vectors[has], f"{source}, {len(names)} codes ({digest(names)[:12]})")


def with_table(features: Features, modality: str, table: FeatureTable) -> Features:
    """`Features` with a table's vectors, scaled to length 1 or zeros, in the place of the "image" or "text" rows.

    The encoder's name and fingerprint change: what was trained on one is not used with the other.
    """
    refuse(modality not in ("image", "text"), f"modality {modality!r} cannot be replaced; choose 'image' or 'text'")
    vectors, has = table.align(features.items)
    rows, old = F.normalize(vectors[1:], dim=1), features.encoder
    encoder = old | {f"{modality}_dim": rows.shape[1], "aligned": False}
    encoder["name"] = f"{old['name']}, {modality}: {table.source}"
    encoder["fingerprint"] = digest([old["fingerprint"], modality, table.fingerprint])
    source = digest(f"{features.source} {modality}", rows)
    changes: dict[str, Any] = {modality: rows, "encoder": encoder, "source": source}
    if modality == "image":
        encoder |= {"missing": "zeros", "preprocessing": None}
        changes |= {"has_image": has[1:], "bad_images": {}}
    return replace(features, **changes)


def _numpy(path, items, name):
    """Ids and vectors of a .npy or .npz file."""
    try:
        content = np.load(path, allow_pickle=False)
        bare = isinstance(content, np.ndarray)
        wanted = {"items": ("items", "item_id", "item"), "vectors": ("vectors", name)}
        found = {} if bare else {what: [k for k in known if k in content][:1] for what, known in wanted.items()}
        arrays = {"vectors": content} if bare else {what: content[k] for what, keys in found.items() for k in keys}
    except Exception as error:  # numpy, zipfile and zlib raise many kinds for a damaged file
        told = f"cannot be read as arrays of numbers and text ({first_line(error)}); pickled objects are not read"
        raise InputError(f"{path}: {told}") from None
    if bare and items is None:
        raise InputError(f"{path}: a bare array names no items; give their ids, or an .npz of items and vectors")
    if not bare and len(arrays) < 2:
        raise InputError(f"{path}: expected the arrays items and vectors (or {name}), it has: {', '.join(content)}")
    ids, vectors = items if bare else as_text(pd.Series(arrays["items"].tolist())), arrays["vectors"]
    refuse(vectors.dtype.kind not in "fiub", f"{path}: its vectors are of type {vectors.dtype}; expected numbers")
    return list(ids), vectors.astype(np.float32)


def _columns(table, item, path):
    """Ids and vectors of a frame with a column of ids and columns of numbers, or one of lists."""
    key = find_column(table, "item", item, path.name, more=("id",))
    ids = as_text(table[key])
    rest = table.drop(columns=key)[ids.notna()]
    refuse(not rest.shape[1], f"{path}: no column beside {key!r}; expected numbers")
    try:
        if rest.shape[1] == 1 and isinstance(rest.iloc[0, 0], (list, np.ndarray)):
            vectors = np.stack([np.asarray(row, dtype=np.float32) for row in rest.iloc[:, 0]])
        else:
            vectors = rest.apply(pd.to_numeric).to_numpy(np.float32)
    except (ValueError, TypeError) as error:
        told = f"not numbers, or lists of one length ({first_line(error)}); keep only the vectors"
        raise InputError(f"{path}: the columns beside {key!r} are {told}") from None
    return ids.dropna().tolist(), vectors
