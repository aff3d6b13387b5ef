"""The two tables of a dataset: their columns and types, and everything that can be wrong with them."""

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from pandas.api.types import is_integer_dtype, is_string_dtype

from mmm4rec_lite.utils.errors import InputError

INTERACTIONS = ["user", "item", "timestamp"]
ITEMS = ["item", "title", "text", "image", "domain"]
LATEST = 10**11  # seconds: the year 5138; today's milliseconds are 17 times more


def read_table(path: Path) -> pd.DataFrame:
    """A parquet file as a frame; InputError if it cannot be read."""
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable parquet file ({' '.join(str(error).split())})") from None


def check_tables(
    interactions: pd.DataFrame, items: pd.DataFrame, folder: Path | None, where: Callable[[str], str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two tables with exactly their columns and types; an InputError names a table as ``where(table)``."""
    rows_at, items_at = where("interactions"), where("items")
    interactions = _columns(interactions, INTERACTIONS, rows_at)
    items = _columns(items, ITEMS, items_at)
    first, last = interactions["timestamp"].agg(["min", "max"])
    if last > LATEST:
        raise InputError(f"{rows_at}: timestamp {last} looks like milliseconds; expected seconds since 1970")
    if first < 0:
        raise InputError(f"{rows_at}: timestamp {first} is negative; expected seconds since 1970")
    if (twice := items["item"].duplicated()).any():
        example = items["item"][twice].iloc[0]
        raise InputError(f"{items_at}: {twice.sum()} repeated item ids, such as '{example}'; keep one row each")
    if (lost := ~interactions["item"].isin(items["item"])).any():
        example = interactions["item"][lost].iloc[0]
        raise InputError(
            f"{rows_at}: {lost.sum()} interactions with unknown items, such as '{example}'; "
            "add these to the items or drop the interactions"
        )
    for image in items["image"].dropna():
        if folder is None or os.path.isabs(image) or ".." in Path(image).parts:
            raise InputError(f"{items_at}: image '{image}' must be a path below the dataset's folder")
        if not (folder / image).is_file():
            raise InputError(f"{items_at}: image '{image}' is not in {folder}; put it there or set it to null")
    return interactions, items


def _columns(frame, columns, where):
    """The wanted columns with their types; image becomes str or None."""
    for column in columns:
        if column not in frame:
            raise InputError(f"{where}: column '{column}' is missing; expected {', '.join(columns)}")
    if frame.empty:
        raise InputError(f"{where}: no rows")
    frame, types = frame[columns].reset_index(drop=True), {}
    for column in columns:
        values = frame[column].dropna() if column == "image" else frame[column]
        if (null := values.isna()).any():
            raise InputError(
                f"{where}: column '{column}' has {null.sum()} null values, the first in row "
                f"{null.argmax()} (from 0); fill or drop them"
            )
        integer = column == "timestamp"
        if len(values) and not (is_integer_dtype(values) if integer else is_string_dtype(values)):
            wanted = "integers (seconds since 1970)" if integer else "strings"
            raise InputError(f"{where}: column '{column}' is of type {values.dtype}; expected {wanted}")
        types[column] = "int64" if integer else object if column == "image" else str
    frame = frame.astype(types)
    if "image" in frame:
        frame["image"] = frame["image"].where(frame["image"].notna(), None)
    return frame
