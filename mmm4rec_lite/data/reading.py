"""Tables as frames: text of any usual kind, jsonl, parquet, packed or not, one file or a folder of parts."""

import bz2
import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa

from mmm4rec_lite.data.schema import read_parquet
from mmm4rec_lite.data.separated import ATOMIC, DOUBLE, Told, distinct, read_separated
from mmm4rec_lite.utils.errors import InputError, refuse

KINDS = (".csv", ".tsv", ".txt", ".dat", *ATOMIC, ".jsonl", ".ndjson", ".json", ".parquet")
TAKE = "take csv, tsv, txt, dat or jsonl (also with .gz, .bz2 or .zst), RecBole's atomic files, or parquet"
PACKED: dict[bytes, Callable[[bytes], Any]] = {  # by their first bytes
    b"\x1f\x8b": lambda content: gzip.GzipFile(fileobj=io.BytesIO(content)),
    b"BZh": lambda content: bz2.BZ2File(io.BytesIO(content)),
    b"\x28\xb5\x2f\xfd": lambda content: pa.CompressedInputStream(pa.BufferReader(content), "zstd"),
}
UNFOLDED, TIMES = 2**28, 200  # a packed table has not more bytes than this, or than so many times its file's
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
CHUNK = 50_000  # lines of JSON held as objects at once
FAULTS: tuple[type[BaseException], ...] = (OSError, EOFError, ValueError, OverflowError, zlib.error, RecursionError)
FAULTS += (MemoryError, LookupError, csv.Error, pd.errors.ParserWarning, pa.ArrowException)


def read_any(
    source: pd.DataFrame | Path | str,
    encoding: str | None = None,
    quotes: bool | None = None,
    missing: Sequence[str] = (),
    named: bool | None = None,
) -> pd.DataFrame:
    """A table (a path, or a frame as it is) with text for column names.

    A missing value of a text file is an empty one, \\N, or one of the words ``missing``; of other files their null.

    Parameters
    ----------
    source : a file or a folder of parts, whose names may hold more columns (Hive's ``year=2024/``); or a frame
    encoding : of text; None: UTF-8, or as the byte order mark says; of MovieLens' ``::`` files Latin-1, too
    quotes : whether quotes hold values together or belong to the text; None: as the kind of file and its lines say
    named : whether the first line names the columns, which are called "1", "2", ... otherwise; None: as it looks.
        The frame's ``attrs`` tell: "names" is "known", "unsure" or "none", "sequences" has columns of words for words
    """
    if isinstance(source, pd.DataFrame):
        return source.reset_index(drop=True).set_axis(distinct(source.columns), axis=1)
    path, form = Path(source), dict(quotes=quotes, missing=missing, named=named)
    refuse(not path.exists(), f"{path}: there is no such file")
    read = lambda file, kind: _read_file(file, kind, encoding, form)
    table = _read_folder(path, read) if path.is_dir() else read(path, _kind(path))
    refuse(table.empty, f"{path}: no rows")
    return table


def as_text(values: pd.Series) -> pd.Series:
    """A column as text, stripped, missing where it is empty."""
    try:
        cells = pa.Array.from_pandas(values)
        if pa.types.is_dictionary(cells.type):
            cells = cells.cast(cells.type.value_type)
        if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
            cells = pd.to_datetime(cells.to_pandas(), utc=True).astype(str).replace("NaT", np.nan)
        elif pa.types.is_nested(cells.type) or pa.types.is_binary(cells.type) or pa.types.is_duration(cells.type):
            cells = [_cell(value) for value in cells.to_pylist()]
        else:
            if pa.types.is_floating(cells.type):
                known = cells.to_pandas().dropna()
                if ((known % 1 == 0) & (known.abs() < 2**53)).all():
                    cells = cells.cast(pa.int64())
            cells = cells.cast(pa.string()).to_pandas()
    except (pa.ArrowException, ValueError, OverflowError, TypeError):  # of several types, as JSON may be
        cells = pa.array(map(_cell, values), pa.string())
    out = pd.Series(cells, dtype=str).set_axis(values.index).str.strip()
    out = out.where(out != "")
    # 17.0 is what is left of 17 when a table with gaps was written.
    return out.str[:-2] if out.dropna().str.fullmatch(r"\d+\.0").all() else out


def _cell(value):
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, (list, tuple, np.ndarray)):
        return ", ".join(filter(None, map(_cell, value))) or None
    return _whole(json.dumps(value, default=str) if isinstance(value, dict) else str(value))


def _whole(text):
    """Halves of characters, as texts cut in JSON have them, replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _kind(path):
    """The suffix that tells the kind of a file, "" where it tells none of `KINDS`."""
    kind = Path(re.sub(r"\.(gz|bz2|zst)$", "", path.name.lower())).suffix
    return kind if kind in KINDS and (kind != ".parquet" or path.suffix.lower() == kind) else ""


def _read_folder(folder, read):
    """All files below a folder, one after the other; hidden ones and those that begin with "_" are notes of writers."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.stat().st_size]
    files = [file for file in files if not any(part[0] in "._" for part in file.relative_to(folder).parts)]
    refuse(not files, f"{folder}: no file with a table in this folder")
    tables = []
    for file in files:
        bare = "." not in file.name  # part-00000: as the folder's name says, or text
        table = read(file, (_kind(folder) or ".csv") if bare else _kind(file))
        for part in file.relative_to(folder).parts[:-1]:
            name, equals, value = part.partition("=")
            table = table.assign(**{name: _whole(unquote(value))}) if equals else table
        first, loose = set(tables[0] if tables else table), "js" in _kind(file) or _kind(file) == ".parquet"
        if not first & set(table) if loose else first != set(table):
            fault = f"its columns ({', '.join(table)[:100]}) are not those of {files[0].name}"
            raise InputError(f"{file}: {fault} ({', '.join(tables[0])[:100]}); a folder holds the parts of one table")
        tables.append(table)
    whole = pd.concat(tables, ignore_index=True) if tables[1:] else tables[0]
    whole.attrs = tables[0].attrs
    return whole


def _read_file(path, kind, encoding, form):
    refuse(not path.is_file(), f"{path}: there is no such file")
    refuse(not kind, f"{path}: no table of a known kind; {TAKE}")
    try:
        if kind == ".parquet":
            return _read_parquet(path)
        content = path.read_bytes()
        refuse(content[:4] == b"PK\3\4", f"{path}: a zip archive or a spreadsheet; unpack it, or export it as csv")
        zipped = next((unpack for mark, unpack in PACKED.items() if content.startswith(mark)), None)
        if zipped is None and path.suffix.lower() in (".gz", ".bz2", ".zst"):
            raise ValueError(f"Not a {path.suffix[1:]} file: gzip, bzip2 or zstd was expected")
        content = content if zipped is None else _unfolded(zipped(content), max(UNFOLDED, TIMES * len(content)))
        movies = kind in (".dat", ".txt", ".csv") and DOUBLE in content[:1000]
        content = _utf8(content, encoding, movies)
        return _read_jsonl(content, kind) if "js" in kind else read_separated(content, kind, **form)
    except InputError:
        raise
    except Told as error:
        raise InputError(f"{path}: {error}") from None
    except FAULTS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        remedy = "check the file or export it again"
        if isinstance(error, LookupError | UnicodeError):
            remedy = "save it as UTF-8, or say --encoding (latin-1, cp1252, utf-16, shift_jis...)"
        raise InputError(f"{path}: cannot be read as {kind[1:]} ({reason}); {remedy}") from None


def _unfolded(stream, most):
    content = bytes(stream.read(most + 1))
    if len(content) > most:
        raise Told(f"unfolds to more than {most:,} bytes, {TIMES} times its size, as no table does; unpack it first")
    return content


def _utf8(content, encoding, western):
    """Text as the bytes of UTF-8, without a byte order mark."""
    found = encoding or next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    if found is None and b"\0" in content[:2]:  # every second byte, where letters are Latin
        found = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    try:
        text = content.decode(found or "utf-8")
    except UnicodeDecodeError:
        if found or not western:
            raise
        found, text = "latin-1", content.decode("latin-1")
    content = content if found is None else text.removeprefix("\ufeff").encode("utf-8", "replace")
    if b"\0" in content:
        raise UnicodeError("it holds NUL bytes")
    return content if b"\n" in content else content.replace(b"\r", b"\n")


def _read_jsonl(content, kind):
    if kind == ".json" and content.lstrip()[:1] == b"[":
        content = b"\n".join(json.dumps(record).encode() for record in json.loads(content))
    frames, records = [], []
    for number, line in enumerate(io.BytesIO(content), 1):
        try:
            record, halves = json.loads(line), b"\\ud" in line.lower()
            records += [{**(json.loads(_whole(json.dumps(record, ensure_ascii=False))) if halves else record)}]
        except (TypeError, ValueError, RecursionError):
            if line.strip():
                raise ValueError(f"line {number} is not one JSON object; expected one on each line") from None
        if len(records) == CHUNK:
            frames, records = [*frames, _compact(records)], []
    return pd.concat([*frames, _compact(records)], ignore_index=True)


def _compact(records):
    """A frame of records; columns of plain values are text already, which takes a tenth of the memory."""
    table = pd.DataFrame(records, dtype=object)
    for name in table:
        if not table[name].map(lambda value: isinstance(value, dict | list)).any():
            table[name] = as_text(table[name])
    return table.rename(columns=str)


def _read_parquet(path):
    table = read_parquet(path)
    names = distinct(table.column_names)
    return table.rename_columns(names).to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
