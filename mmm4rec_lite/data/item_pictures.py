"""Where items' pictures are: files named by an item's id, and whatever the cells of an image column hold."""

import atexit
import base64
import binascii
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pandas as pd

from mmm4rec_lite.data.ids import places, spelled
from mmm4rec_lite.data.pictures import FORMATS, head_fault, misplaced, picture_format
from mmm4rec_lite.utils.errors import InputError, reasons, refuse

SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes}
WEB, ELSEWHERE = r"(?:[a-zA-Z][\w+.-]+:)?//|www\.", r"[a-zA-Z]:[\\/]|\\\\|file:"
BARE = r"(?:[/_]9j[/_]|iVBOR|R0lGOD|UklGR|Qk|SUkq|TU0A|AAAA..Z0eXB)[A-Za-z0-9+/_\-\s]{200,}={0,2}\s*"  # base64 alone
UNREAD, ADDRESS = "pictures in the image column that cannot be read", "web addresses in the image column, not fetched"
BROKEN, OTHERS = "picture files that cannot be read", "files named by an item that are no picture of a known format"
LOST = "pictures that the image column names and that are not there"


def find_pictures(
    name: str, beside: Path, cells: pd.Series, ids: pd.Series, images: Path | str | None
) -> tuple[pd.Series, Path, dict[str, Any]]:
    """Each item's picture (a path or None), the folder that these paths lie below, and counts of what was not taken.

    ``cells``: of the image column, those that hold something; paths are relative to ``images``, or else to the folder
    ``beside``, which the table ``name`` lies in. Pictures in cells (bytes, data addresses) are written into a folder
    that goes when the process ends.
    """
    refuse(images is not None and not Path(images).is_dir(), f"{images}: there is no such folder of pictures")
    root = Path(beside if images is None else images).resolve()
    fault_of = misplaced(root)
    notes: dict[str, Any] = dict.fromkeys((LOST, ADDRESS, UNREAD), 0)
    paths: dict[Any, str] = {}
    held: dict[Any, bytes] = {}
    for row, cell in cells.items():
        taken, reason = _take(cell, root, fault_of, name)
        held |= {row: taken} if isinstance(taken, bytes) else {}
        paths |= {row: taken} if isinstance(taken, str) else {}
        notes |= {reason: notes[reason] + 1} if reason else {}
    found = pd.Series(paths, dtype=object).reindex(ids.index)
    if images is not None:
        own, more = _named(root, ids, fault_of, name, set(paths.values()))
        found, notes = found.where(found.notna(), own), notes | more
    faults = {path: fault for path in found.dropna().unique() if (fault := head_fault(root / path))}
    if faults:
        notes[BROKEN] = reasons(faults)
        found = found.mask(found.isin(faults))
    if images is not None and found.isna().all() and not held:
        wanted = "files named <item id>.jpg (png, webp...), or an image column with paths relative to this folder"
        there = "; ".join(f"{note}: {notes[note]}" for note in (BROKEN, OTHERS) if note in notes)
        raise InputError(f"{images}: no picture of any item; expected {wanted}{there and f' ({there})'}")
    found = found.astype(object).map(lambda path: path and f"{root.name}/{path}", na_action="ignore").astype(object)
    return (*(_written(root, found, held) if held else (found.where(found.notna(), None), root.parent)), notes)


def _take(cell, root, fault_of, name):
    """(a path below the root, or the bytes of a picture, or None; why nothing was taken)."""
    reasons = set()
    for part in _parts(cell):
        part = f"data:;base64,{part}" if isinstance(part, str) and re.fullmatch(BARE, part) else part
        if isinstance(part, bytes) or part[:5].lower() == "data:":
            if picture_format(content := part if isinstance(part, bytes) else _data(part)):
                return content, ""
            reasons.add(UNREAD)
        elif re.match(ELSEWHERE, part):
            reasons.add(LOST)
        elif re.match(WEB, part):
            reasons.add(ADDRESS)
        else:
            for path in dict.fromkeys((part, part.replace("\\", "/"))):
                if not (fault := fault_of(path)):
                    return path, ""
                if fault.startswith("must"):
                    remedy = "give paths relative to --images, or to the items' table"
                    raise InputError(f"{name}: the picture {part[:80]!r} does not lie below {root.name}; {remedy}")
            reasons.add(LOST)
    return None, next((reason for reason in (UNREAD, ADDRESS, LOST) if reason in reasons), "")


def _parts(cell) -> Iterator[str | bytes]:
    """The texts and bytes in a cell, in order: itself, or those in lists and mappings, also in JSON."""
    todo = [cell]
    while todo:
        cell = todo.pop()
        if isinstance(cell, dict):
            todo += reversed(cell.values())
        elif isinstance(cell, (list, tuple, np.ndarray)):
            todo += reversed(cell)
        elif isinstance(cell, bytes | int | float):
            yield cell if isinstance(cell, bytes) else str(cell)
        elif isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{"):
            with suppress(ValueError, RecursionError):
                todo.append(json.loads(cell))
        elif isinstance(cell, str) and cell.strip():
            yield cell.strip()


def _data(address):
    """The bytes in a data address, nothing where it is broken."""
    about, _, content = address.partition(",")
    with suppress(binascii.Error, ValueError):
        wide = content.replace("-", "+").replace("_", "/")  # as addresses have it
        return base64.b64decode(wide) if about.lower().endswith(";base64") else unquote_to_bytes(content)
    return b""


def _named(root, ids, fault_of, name, used):
    """(each item's file by its id, looked up in a list, so that no id is ever taken for a path; counts of others)."""
    files = {path.name: path.is_file() for path in sorted(root.iterdir())}
    known = [file for file, there in files.items() if there and Path(file).suffix.lower() in SUFFIXES]
    stems = spelled(pd.Series([Path(file).stem for file in known], dtype=object))  # names of any bytes
    first = stems.drop_duplicates().dropna()
    at = places(ids, pd.Index(first))
    chosen = [known[first.index[place]] if place >= 0 else None for place in at]
    if outside := [file for file in chosen if file and fault_of(file)]:
        raise InputError(f"{name}: the picture {outside[0][:80]!r} does not lie below {root.name}, it is a link")
    names = set(ids)
    others = [file for file in files if file not in known and Path(file).stem in names]
    spare = [file for file, own in zip(known, stems.isin(first.iloc[at[at >= 0]])) if not own and file not in used]
    notes = {"pictures of no item": len(spare)}
    if others:
        notes[OTHERS] = f"{len(others)}, such as {others[0]}"
    return pd.Series(chosen, ids.index, dtype=object), notes


def _written(root, found, held):
    """The same with the pictures ``held`` in memory as files, all below one folder of this process's."""
    folder = Path(tempfile.mkdtemp(prefix="mmm4rec-pictures-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for row, content in held.items():
        found[row] = f"images/{row}{FORMATS[picture_format(content)][0]}"
        (folder / "images").mkdir(exist_ok=True)
        (folder / found[row]).write_bytes(content)
    for path in found.drop(list(held)).dropna().unique():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root.parent / path, folder / path)
    return found.where(found.notna(), None), folder
