"""The two tables of a dataset: their columns and types, and everything that can be wrong with them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from pandas.api.types import is_integer_dtype, is_string_dtype

from mmm4rec_lite.data.pictures import misplaced
from mmm4rec_lite.utils.errors import InputError, refuse

INTERACTIONS = ["user", "item", "timestamp"]
ITEMS = ["item", "title", "text", "image", "domain", "categories"]  # the last may be missing: nothing is known then
TYPES = {"timestamp": "int64", "image": object}  # all else: str
TIMES, STRINGS = (is_integer_dtype, "integers (seconds since 1970)"), (is_string_dtype, "strings")
MOST_ROWS = 20  # of a parquet file, for each of its bytes
LATEST = 10**11  # seconds: the year 5138; today's milliseconds are 17 times more


def read_table(path: Path) -> pd.DataFrame:
    """A parquet file as a frame; InputError if it cannot be read."""
    try:
        return read_parquet(path).to_pandas(ignore_metadata=True)
    except Exception as error:  # readers of damaged files raise anything
        raise _unreadable(path, error) from None


def read_csv(path: Path | str, what: str, columns: Sequence[str]) -> pd.DataFrame:
    """A csv with at least these columns; where it is none, InputError calls it ``what``."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a csv of {what} ({error})") from None
    lost = [name for name in columns if name not in table]
    refuse(bool(lost), f"{path}: no column {', '.join(lost)}; it is not a csv of {what}")
    return table


def read_parquet(path: Path) -> pa.Table:
    """A parquet file whose bytes are what its types say; raises anything for a damaged one, or that unfolds."""
    table = _opened(path).read()
    table.validate(full=True)
    return table


def read_blocks(path: Path, columns: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    """The ``columns`` of a parquet file, those of them that it has, at most so many ``rows`` at a time."""
    try:
        for block in _opened(path, memory_map=True).iter_batches(rows, columns=columns):
            block.validate(full=True)
            yield block.to_pandas()
    except Exception as error:
        raise _unreadable(path, error) from None


def _opened(path, **how):
    file, size = pa.parquet.ParquetFile(path, **how), path.stat().st_size
    if (rows := file.metadata.num_rows) > max(10**7, MOST_ROWS * size):
        raise ValueError(f"{rows:,} rows in {size:,} bytes, as no table has")
    return file


def _unreadable(path, error):
    return InputError(f"{path}: not a readable parquet file ({' '.join(str(error).split())[:200]})")


def check_tables(
    interactions: pd.DataFrame, items: pd.DataFrame, folder: Path | None, where: Callable[[str], str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two tables with exactly their columns and types; an InputError names a table as ``where(table)``."""
    rows_at, items_at = where("interactions"), where("items")
    items = items.assign(categories=items["categories"].fillna("") if "categories" in items else "")
    interactions, items = _columns(interactions, INTERACTIONS, rows_at), _columns(items, ITEMS, items_at)
    first, last = interactions["timestamp"].agg(["min", "max"])
    if last > LATEST or first < 0:
        fault = f"{last} looks like milliseconds" if last > LATEST else f"{first} is negative"
        raise InputError(f"{rows_at}: timestamp {fault}; expected seconds since 1970")
    if (twice := items["item"].duplicated()).any():
        example = items["item"][twice].iloc[0]
        raise InputError(f"{items_at}: {twice.sum()} repeated item ids, such as '{example}'; keep one row each")
    if (lost := ~interactions["item"].isin(items["item"])).any():
        fault = f"{lost.sum()} interactions with unknown items, such as '{interactions['item'][lost].iloc[0]}'"
        raise InputError(f"{rows_at}: {fault}; add these to the items or drop the interactions")
    images = items["image"].dropna()
    fault_of = misplaced(folder) if folder else lambda _: "must be a path below the dataset's folder"
    for image in images:
        if fault := fault_of(image):
            raise InputError(f"{items_at}: image '{image[:200]}' {fault}; put it there or set it to null")
    return interactions, items


def _columns(frame, columns, where):
    """The wanted columns with their types; image becomes str or None."""
    if missing := [column for column in columns if column not in frame]:
        raise InputError(f"{where}: column '{missing[0]}' is missing; expected {', '.join(columns)}")
    refuse(frame.empty, f"{where}: no rows")
    frame = frame[columns].reset_index(drop=True)
    for column in columns:
        values = frame[column].dropna() if column == "image" else frame[column]
        if (null := values.isna()).any():
            fault = f"has {null.sum()} null values, the first in row {null.argmax()} (from 0)"
            raise InputError(f"{where}: column '{column}' {fault}; fill or drop them")
        fits, wanted = TIMES if column == "timestamp" else STRINGS
        if len(values) and not fits(values):
            raise InputError(f"{where}: column '{column}' is of type {values.dtype}; expected {wanted}")
    frame = frame.astype({column: TYPES.get(column, str) for column in columns})
    return frame.assign(image=frame["image"].where(frame["image"].notna(), None)) if "image" in frame else frame
