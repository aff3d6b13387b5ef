"""A dataset for sequential recommendation, and the plain folder that holds one (other columns are not read):

``interactions.parquet``  user (string), item (string), timestamp (integer, seconds since 1970). The order of the rows
                          decides between interactions of one user at the same second.
``items.parquet``         item (unique), title, text (what a text encoder reads), image (path relative to the folder,
                          null where there is none), domain, categories (optional; several with "|" between). All
                          strings. Row i is item index i + 1; 0 is padding.
``dataset.json``          ``{"name": ..., "info": {...}}``; info tells the source, the terms and the tie rule.
``images/``               optional; any path below the folder will do.
``sequences.safetensors`` optional, made by `open_sequences` from both tables; `Dataset.save` leaves it out.
"""

import json
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mmm4rec_lite.data.pictures import picture_path
from mmm4rec_lite.data.schema import check_tables, read_table
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.utils.files import atomic_folder, lock, sweep
from mmm4rec_lite.utils.tensorfile import parse
from mmm4rec_lite.utils.typing import Bool, Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Interactions and items, checked and in total order; made by `from_frames`, `load_dataset` or `import_tables`.

    Parameters
    ----------
    interactions : user, item, timestamp (int64 seconds), sorted by user (as a string), then time, then the tie rule
    items : item, title, text, image (str or None, relative to ``folder``), domain, categories (with "|" between, or
        ""); row i is item index i + 1
    info : source, terms, tie rule

    Examples
    --------
    >>> load_dataset("data_samples/toy").select("mugs")
    Dataset toy-mugs: 40 users, 29 items, 453 interactions
    """

    name: str
    interactions: pd.DataFrame
    items: pd.DataFrame
    folder: Path | None = None
    info: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_frames(
        cls,
        name: str,
        interactions: pd.DataFrame,
        items: pd.DataFrame,
        folder: Path | str | None = None,
        info: dict[str, Any] | None = None,
        ties: str = "line",
        seed: int = 0,
    ) -> "Dataset":
        """Check two tables (columns: see the module) and order them; InputError tells the first fault."""
        folder = None if folder is None else Path(folder)
        interactions, items = check_tables(interactions, items, folder, "the table {}".format)
        info = {"ties": ties if ties == "line" else f"{ties}, seed {seed}", **(info or {})}
        return cls(name, order(interactions, ties, seed), items, folder, info)

    def __repr__(self) -> str:
        users, rows = self.interactions["user"].nunique(), len(self.interactions)
        return f"Dataset {self.name}: {users} users, {len(self.items)} items, {rows} interactions"

    @property
    def domains(self) -> list[str]:
        """The names of the domains, sorted."""
        return sorted(self.items["domain"].unique())

    def select(self, domain: str, k: int | None = None) -> "Dataset":
        """The items of one domain and their interactions, k-cored again as the whole was; named ``<name>-<domain>``."""
        refuse(domain not in self.domains, f"{self.name} has no domain '{domain}'; it has: {', '.join(self.domains)}")
        items = self.items[self.items["domain"] == domain]
        rows = self.interactions[self.interactions["item"].isin(items["item"])]
        part = replace(self, name=f"{self.name}-{domain}", interactions=rows, items=items)
        cores = [about.get("core", 5) for about in self.info.get("parts", {"": self.info}).values()]
        k = min(cores) if k is None else k
        return k_core(part, k) if k > 1 or rows.empty else part

    def save(
        self, folder: Path | str, kept: Collection[str] = (), beside: Callable[[Path], None] = lambda folder: None
    ) -> None:
        """Write or replace a dataset folder, whole or not at all; images ``kept`` come from the older one there.

        ``beside``: called with the new folder before it takes its place, to write further files.
        """
        folder = Path(folder).absolute()
        if folder.exists() and not (folder / "dataset.json").is_file() and (folder.is_file() or os.listdir(folder)):
            raise InputError(f"{folder} exists and is not a dataset folder; choose another place to save to")
        with lock(folder, "writing"), atomic_folder(folder) as new:
            self.interactions.to_parquet(new / "interactions.parquet", index=False)
            self.items.to_parquet(new / "items.parquet", index=False)
            about = json.dumps({"name": self.name, "info": self.info}, indent=2)
            (new / "dataset.json").write_text(about + "\n", encoding="utf-8")
            for image in self.items["image"].dropna().unique():
                (new / image).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(picture_path(image, folder if image in kept else self.folder), new / image)
            beside(new)


def load_dataset(folder: Path | str) -> Dataset:
    """Read and check a dataset folder, in total order; an `InputError` tells the first fault.

    Parameters
    ----------
    folder : written by `Dataset.save` or by ``mmm4rec-lite data`` (see the module); its images stay where they are

    Examples
    --------
    >>> load_dataset("data_samples/toy")
    Dataset toy: 80 users, 60 items, 1035 interactions
    """
    folder = Path(folder)
    if not folder.is_dir():
        sweep(folder.parent)  # puts back what a killed call had taken away
    refuse(not folder.is_dir(), f"{folder}: no such dataset folder")
    for file in ("dataset.json", "interactions.parquet", "items.parquet"):
        if not (folder / file).is_file():
            raise InputError(f"{folder}: {file} is missing; mmm4rec_lite.data.dataset tells what belongs there")
    try:
        about = {"info": {}, **parse((folder / "dataset.json").read_text(encoding="utf-8"))}
        if not (isinstance(about["name"], str) and isinstance(about["info"], dict)):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise InputError(f'{folder / "dataset.json"}: expected {{"name": "...", "info": {{...}}}}') from None
    interactions, items = (read_table(folder / f"{table}.parquet") for table in ("interactions", "items"))
    interactions, items = check_tables(interactions, items, folder, lambda table: f"{folder / table}.parquet")
    return Dataset(about["name"], order(interactions), items, folder, about["info"])


def order(interactions: pd.DataFrame, ties: str = "line", seed: int = 0) -> pd.DataFrame:
    """In total order (user, time, tie rule): among equals "line" keeps the rows' order, "shuffle" draws one."""
    refuse(ties not in ("line", "shuffle"), f"unknown tie rule '{ties}'; take 'line' or 'shuffle'")
    count, users = len(interactions), pd.factorize(interactions["user"], sort=True)[0]
    rank = np.arange(count) if ties == "line" else np.random.default_rng(seed).permutation(count)
    return interactions.iloc[np.lexsort((rank, interactions["timestamp"].to_numpy(), users))].reset_index(drop=True)


def tie_share(interactions: pd.DataFrame) -> float:
    """Share (0 to 1) of users' neighbouring interactions with equal time; ``interactions`` in total order."""
    user, time = (interactions[column].to_numpy() for column in ("user", "timestamp"))
    neighbours = user[1:] == user[:-1]
    return float((time[1:] == time[:-1])[neighbours].mean()) if neighbours.any() else 0.0


def in_core(codes: Sequence[np.ndarray], k: int) -> np.ndarray:
    """Which rows [M] are in the k-core: bool. ``codes``: the rows' users and items as integers from 0, [M] each."""
    keep = np.ones(len(codes[0]), dtype=bool)
    while True:
        enough = keep & np.all([np.bincount(code[keep], minlength=code.max() + 1)[code] >= k for code in codes], axis=0)
        if (enough == keep).all():
            return keep
        keep = enough


def k_core(dataset: Dataset, k: int = 5) -> Dataset:
    """Keep users and items with at least k interactions, until nothing changes; InputError if none is left."""
    keep = in_core([pd.factorize(dataset.interactions[column])[0] for column in ("user", "item")], k)
    refuse(not keep.any(), f"{dataset.name}: nothing is left of its {k}-core; take a smaller k or more interactions")
    interactions, items = dataset.interactions[keep], dataset.items
    items = items[items["item"].isin(interactions["item"].unique())]
    interactions, items = interactions.reset_index(drop=True), items.reset_index(drop=True)
    return replace(dataset, interactions=interactions, items=items, info=dataset.info | {"core": k})


def augmented_text(dataset: Dataset, share: float = 0.15, seed: int = 0) -> Dataset:
    """With every word of a text left out with probability ``share`` (one stays), as UniSRec and MISSRec pre-train."""
    refuse(not 0 < share < 1, f"share: {share} of the words cannot be left out; take a number between 0 and 1")
    draw, texts = np.random.default_rng(seed), map(str.split, dataset.items["text"])
    fewer = [list(compress(words, draw.random(len(words)) >= share)) or words[:1] for words in texts]
    return replace(dataset, items=dataset.items.assign(text=list(map(" ".join, fewer))))


def category_table(items: pd.DataFrame, most: int = 500) -> Bool[Tensor, "K C"] | None:
    """Which items (rows of `Dataset.items`, behind row 0 for padding) have which of the ``most`` common categories."""
    one = items["categories"].str.split("|").reset_index(drop=True).explode().str.strip()
    names = one[one != ""].value_counts().sort_index().sort_values(ascending=False, kind="stable").index[:most]
    place = names.get_indexer(one)
    table = np.zeros((len(items) + 1, len(names)), dtype=bool)
    table[one.index[place >= 0] + 1, place[place >= 0]] = True
    return torch.from_numpy(table) if len(names) else None


def distinct_ids(datasets: Sequence[Dataset]) -> list[Dataset]:
    """The datasets with ids that a union can hold: an item id that two share becomes ``<dataset name>/<item>``."""
    ids = pd.concat([dataset.items["item"] for dataset in datasets])
    shared = ids[ids.duplicated()].unique()
    own = lambda ids, name: ids.mask(ids.isin(shared), name + "/" + ids)
    named = lambda frame, name: frame.assign(item=own(frame["item"], name))
    return [replace(d, items=named(d.items, d.name), interactions=named(d.interactions, d.name)) for d in datasets]


def some_users(dataset: Dataset, share: float, seed: int = 0) -> Dataset:
    """A share (0 to 1) of the users, drawn by ``seed``, and the items that they took; no k-core any more."""
    refuse(not 0 < share <= 1, f"share: {share} of the users; take a number above 0, 1 at most")
    users = dataset.interactions["user"].unique()
    drawn = np.random.default_rng(seed).permutation(users)[: max(round(share * len(users)), 1)]
    rows = dataset.interactions[dataset.interactions["user"].isin(drawn)].reset_index(drop=True)
    items = dataset.items[dataset.items["item"].isin(rows["item"].unique())].reset_index(drop=True)
    return replace(dataset, interactions=rows, items=items, info=dataset.info | {"core": 1, "share of users": share})


def union(datasets: Sequence[Dataset], name: str) -> Dataset:
    """One dataset from several domains: users kept apart as ``<dataset name>/<user>``, item ids unchanged."""
    names = [dataset.name for dataset in datasets]
    if len(set(names)) < max(len(names), 1):
        raise InputError(f"a union needs datasets of different names, got: {', '.join(names) or 'none'}")
    folders = [dataset.folder.absolute() for dataset in datasets if dataset.folder]
    folder = Path(os.path.commonpath(folders)) if folders else None
    items = pd.concat([_below(dataset, folder) for dataset in datasets], ignore_index=True)
    if (twice := items["item"].duplicated()).any():
        raise InputError(f"union '{name}': item '{items['item'][twice].iloc[0]}' is in two datasets; ids must differ")
    rows = pd.concat([d.interactions.assign(user=d.name + "/" + d.interactions["user"]) for d in datasets])
    return Dataset(name, order(rows), items, folder, {"parts": {d.name: d.info for d in datasets}})


def _below(dataset, folder):
    """The items with image paths relative to ``folder``, which holds the dataset's own."""
    if not dataset.folder or dataset.folder.absolute() == folder:
        return dataset.items
    inner = dataset.folder.absolute().relative_to(folder)
    image = [None if path is None else str(inner / path) for path in dataset.items["image"]]
    return dataset.items.assign(image=pd.Series(image, index=dataset.items.index, dtype=object))
