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

from mmm4rec_lite.data.reading import as_text, find_column, read_any
from mmm4rec_lite.features.store import Features, load_rows, save_rows
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.utils.errors import InputError, first_line
from mmm4rec_lite.utils.typing import Bool, Float, Tensor


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Vectors of one modality for I items.

    Attributes
    ----------
    name : of the modality, such as "audio"
    items : item ids, each once
    vectors : float32, finite, as they were given
    source : what made the vectors, in words; tables of one name, source and width may be mixed
    dropped : number of rows left out because they held NaN or infinity
    """

    name: str
    items: list[str]
    vectors: Float[Tensor, "..."]  # [I, D]; other shapes are told
    source: str
    dropped: int = 0

    def __post_init__(self):
        n, shape = len(self.items), list(self.vectors.shape)
        if len(shape) != 2 or shape[0] != n or 0 in shape:
            raise InputError(f"{self.source}: expected one vector for each of {n} items, got numbers of shape {shape}")
        items = pd.Series(self.items)
        if items.duplicated().any():
            example = items[items.duplicated()].iloc[0]
            raise InputError(f"{self.source}: item {example!r} has several vectors; keep one")

    @property
    def fingerprint(self) -> str:
        """Digest of name, source and width: who made the vectors, not which items they are of."""
        return digest([self.name, self.source, self.vectors.shape[1]])

    def align(self, item_ids: Iterable[str]) -> tuple[Float[Tensor, "K D"], Bool[Tensor, " K"]]:
        """Vectors and whether there is one, in the order of ``item_ids``, behind a row 0 for padding.

        Items without a vector get zeros and False. InputError when no item has one.
        """
        item_ids = list(item_ids)
        row = pd.Index(self.items).get_indexer(item_ids)
        if not (row >= 0).any():
            raise InputError(
                f"{self.source}: no vector for any of {len(item_ids)} items (it has items such as "
                f"{self.items[0]!r}, wanted are such as {item_ids[:1]}); check its item ids"
            )
        has = torch.tensor(row >= 0)
        vectors = self.vectors[torch.tensor(row).clamp(min=0)] * has[:, None]
        return F.pad(vectors, (0, 0, 1, 0)), F.pad(has, (1, 0))

    def coverage(self, item_ids: Iterable[str]) -> dict[str, int]:
        """Counts: items, with a vector, without one, vectors of other items, vectors not finite."""
        wanted, mine = set(item_ids), set(self.items)
        both = len(wanted & mine)
        return {
            "items": len(wanted),
            "with a vector": both,
            "without a vector": len(wanted) - both,
            "vectors of other items": len(mine) - both,
            "vectors with NaN or infinity, left out": self.dropped,
        }

    def save(self, path: Path | str) -> None:
        """Write the file ``path``: whole or not at all."""
        save_rows(path, "feature table", vars(self))


def load_table(path: Path | str) -> FeatureTable:
    """Read a `FeatureTable` file; InputError if it is not there, is none, or is damaged."""
    return FeatureTable(**load_rows(path, "feature table", "make it with the command `features-table`"))


def read_table(
    path: Path | str, name: str, item: str | None = None, items: Iterable[str] | None = None, source: str | None = None
) -> FeatureTable:
    """A `FeatureTable` from a file of vectors. Nothing is unpickled.

    Parameters
    ----------
    path : .npz (arrays ``items``, of text or numbers, and ``vectors`` [I, D]), .npy (an array [I, D] whose rows follow
        ``items``), .parquet, or csv, tsv and jsonl (also .gz): a column of item ids, and columns of numbers, or one
        column of lists
    name : of the modality
    item : the column of item ids; None finds the usual names
    items : item ids, for .npy alone
    source : what made the vectors; None: the file's name

    Raises
    ------
    InputError : no such file, pickled objects, no numbers, a wrong shape, an item twice
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    kind = path.suffix.lower()
    if kind in (".npy", ".npz"):
        ids, vectors = _numpy(path, items)
    elif kind == ".parquet":
        try:
            ids, vectors = _columns(pd.read_parquet(path, engine="pyarrow"), item, path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a readable parquet file ({first_line(error)})") from None
    else:
        ids, vectors = _columns(read_any(path), item, path)
    finite = np.isfinite(vectors).all(axis=1) if vectors.ndim == 2 else np.ones(len(vectors), bool)
    if not finite.any():
        raise InputError(f"{path}: no row of finite numbers")
    if len(ids) != len(vectors):
        rule = ", its rows in the order of the dataset's items.parquet" if kind == ".npy" else ""
        raise InputError(f"{path}: {len(vectors)} vectors for {len(ids)} items; expected one for each{rule}")
    ids = [one for one, keep in zip(ids, finite) if keep]
    vectors = torch.from_numpy(np.ascontiguousarray(vectors[finite], dtype=np.float32))
    return FeatureTable(name, ids, vectors, source or path.name, int((~finite).sum()))


def codes(column: Iterable[Any]) -> tuple[Float[Tensor, "I C"], list[str]]:
    """Multi-hot vectors of discrete codes, such as "<A_164> <B_64> <C_209>": 0 and 1, and the codes of the columns.

    ``column``: texts with codes (what stands in < >, or else words between blanks); missing or empty: zeros.
    """
    found = [re.findall(r"<[^<>]+>|[^\s<>]+", text) if isinstance(text, str) else [] for text in column]
    names = sorted({code for row in found for code in row})
    if not names:
        raise InputError("codes: none found; expected texts such as '<A_164> <B_64>'")
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
    """`Features` with a table's vectors, scaled to length 1, in the place of the "image" or "text" rows.

    Items without a vector get zeros (and has_image False, for "image"). The encoder's name and fingerprint
    change: what was trained on one is not used with the other.
    """
    if modality not in ("image", "text"):
        raise InputError(f"modality {modality!r} cannot be replaced; choose 'image' or 'text'")
    vectors, has = table.align(features.items)
    rows = F.normalize(vectors[1:], dim=1)
    old = features.encoder
    encoder = {
        **old,
        "name": f"{old['name']}, {modality}: {table.source}",
        f"{modality}_dim": rows.shape[1],
        "fingerprint": digest([old["fingerprint"], modality, table.fingerprint]),
        "aligned": False,
    }
    source = digest(f"{features.source} {modality}", rows)
    changes: dict[str, Any] = {modality: rows, "encoder": encoder, "source": source}
    if modality == "image":
        encoder |= {"missing": "zeros", "preprocessing": None}
        changes |= {"has_image": has[1:], "bad_images": {}}
    return replace(features, **changes)


def _numpy(path, items):
    """Ids and vectors of a .npy or .npz file."""
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            if items is None:
                raise InputError(
                    f"{path}: a bare array names no items; give their ids, or an .npz of items and vectors"
                )
            ids, vectors = list(items), content
        else:
            with content:
                if not {"items", "vectors"} <= set(content.files):
                    has = ", ".join(content.files)
                    raise InputError(f"{path}: expected the arrays items and vectors, it has: {has}")
                ids, vectors = as_text(pd.Series(content["items"].tolist())).tolist(), content["vectors"]
    except InputError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise many kinds for a damaged file
        told = f"cannot be read as arrays of numbers and text ({first_line(error)}); pickled objects are not read"
        raise InputError(f"{path}: {told}") from None
    if vectors.dtype.kind not in "fiub":
        raise InputError(f"{path}: its vectors are of type {vectors.dtype}; expected numbers")
    return ids, vectors.astype(np.float32)


def _columns(table, item, path):
    """Ids and vectors of a frame with a column of ids and columns of numbers, or one of lists."""
    key = find_column(table, "item", item, path.name, more=("id",))
    ids = as_text(table[key])
    rest = table.drop(columns=key)[ids.notna()]
    if not rest.shape[1]:
        raise InputError(f"{path}: no column beside {key!r}; expected numbers")
    try:
        if rest.shape[1] == 1 and isinstance(rest.iloc[0, 0], (list, np.ndarray)):
            vectors = np.stack([np.asarray(row, dtype=np.float32) for row in rest.iloc[:, 0]])
        else:
            vectors = rest.apply(pd.to_numeric).to_numpy(np.float32)
    except (ValueError, TypeError) as error:
        told = f"not numbers, or lists of one length ({first_line(error)}); keep only the vectors"
        raise InputError(f"{path}: the columns beside {key!r} are {told}") from None
    return ids.dropna().tolist(), vectors
