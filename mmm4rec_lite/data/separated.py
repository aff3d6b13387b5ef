"""Text with separators: which one, whether quotes hold values together, whether the first line names the columns."""

import csv
import io
import re
import warnings
from collections.abc import Iterable, Sequence

import pandas as pd

from mmm4rec_lite.data.columns import is_usual

ATOMIC = (".inter", ".item", ".user")  # RecBole's: tabs, no quotes, names with a type behind ":"
TYPE = r":(?:token|token_seq|float|float_seq)$"
SEPARATORS = (",", ";", "\t", "|", "\x01", "^", "~")
DOUBLE, ONE = b"::", "\x1f"  # MovieLens' separator, and what stands in for it
SAY = "say --quotes none where quotes belong to the text, or --quotes csv where they hold a value together"


class Told(ValueError):
    """What is wrong with a table, in which line, and what to do."""


def read_separated(
    content: bytes, kind: str, quotes: bool | None = None, missing: Sequence[str] = (), named: bool | None = None
) -> pd.DataFrame:
    """A table of text (UTF-8); parameters and ``attrs`` as `reading.read_any` has them."""
    if not content.strip():
        raise ValueError("the file is empty")
    own = re.match(rb"sep=(.)\r?\n", content)  # a spreadsheet's first line
    content = b"\n" + content[own.end() :] if own else content  # lines keep their numbers
    sep = own[1].decode("latin-1") if own else _separator(content, kind)
    if sep == DOUBLE.decode():
        content, sep = content.replace(DOUBLE, ONE.encode()), ONE
    form = _quoting(content, sep, False if sep == ONE or kind in ATOMIC else quotes)
    head = content[: 2**20].decode("utf-8", "ignore")
    one, blanks = (" ", True) if sep == r"\s+" else (sep, False)
    lines = lambda text: csv.reader(io.StringIO(text, newline=""), delimiter=one, skipinitialspace=blanks, **form)
    first = [name.strip() for name in next(filter(any, lines(head)), [])]
    if not first:
        raise ValueError("no column has a name or a value")
    atomic = kind in ATOMIC or all(re.search(TYPE, name) for name in first)
    usual, numbers = sum(map(is_usual, first)), any(re.fullmatch(r"[+-]?\d+(?:\.\d+)?", name) for name in first)
    known = atomic or usual > 1
    if named is None:
        named = known or not numbers
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # lines longer than the header
        options = dict(sep=sep, dtype=str, keep_default_na=False, na_values=["", "\\N", *missing], index_col=False)
        try:
            table = pd.read_csv(io.BytesIO(content), header=0 if named else None, **options, **form)
        except (pd.errors.ParserError, pd.errors.ParserWarning):
            raise _uneven(lines(content.decode()), sep.replace(ONE, "::"), named) from None
    names = [re.sub(TYPE, "", name) if atomic else name for name in first]
    table.columns = distinct(names if named else range(1, table.shape[1] + 1))
    words = [name for name, full in zip(table, first) if atomic and full.endswith("_seq")]
    state = "none" if not named else "known" if known else "unsure"
    table.attrs = {"names": state, "sequences": words, "movielens": sep == ONE}
    return table


def _uneven(lines, sep, named):
    """What to say of the first line with more values than the first of all, or else of a quote that never closes."""
    top, longer, start = None, None, 1
    for line in lines:
        place, start = start, lines.line_num + 1
        top = top or (any(line) and (place, len(line)))
        if top and len(line) > top[1] and (longer is None or any(line[top[1] :])):
            longer = (place, line)
            if any(line[top[1] :]):
                break
    if longer is None:
        return Told(f"the quote that opens in line {place} is not closed; {SAY}")
    told = f"line {longer[0]} has {len(longer[1])} values ({' '.join(sep.join(longer[1]).split())[:60]!r})"
    top = f"line {top[0]} {'names' if named else 'has'} {top[1]}"
    return Told(f"{told}, {top}; put values that hold {sep!r} in quotes, and remove lines above the columns' names")


def distinct(names: Iterable[object]) -> list[str]:
    """The names of columns as text, each once."""
    out: list[str] = []
    for place, name in enumerate(map(str, names)):
        name = name if name.strip() else f"column {place + 1}"
        same = (f"{name}.{n}" for n in range(1, place + 2))
        out.append(name if name not in out else next(one for one in same if one not in out))
    return out


def _separator(content, kind):
    """What stands between values: "::" or a tab in all lines, or else the commonest sign of the first line."""
    text = re.sub(r'"[^"\n]*"', "q", content[: 2**16].decode("utf-8", "ignore"))
    lines = [line for line in text.split("\n") if line.strip()][:50]
    count = {sep: [line.count(sep) for line in lines] for sep in (DOUBLE.decode(), *SEPARATORS)}
    alike = {sep: sum(n == found[0] for n in found) / len(found) for sep, found in count.items() if found and found[0]}
    for sep in ("::", "\t"):
        if alike.get(sep, 0) > 0.9 or (sep == "\t" and kind in ATOMIC):
            return sep
    if alike:
        return max(alike, key=lambda sep: (alike[sep] > 0.5, count[sep][0], alike[sep]))
    words = {len(line.split()) for line in lines}
    return r"\s+" if len(words) == 1 and words != {1} else ","


def _quoting(content, sep, quotes):
    """Options of readers. By the format, quotes of csv hold values together; of tsv they may belong to the text."""
    plain = {"quoting": csv.QUOTE_NONE}
    if quotes is False or b'"' not in content:
        return plain
    between = re.escape("\t " if sep == r"\s+" else sep).encode() + rb"\r\n"
    held = rb'(?<![^%s])"(?:[^"%s]+|""%s)*+"(?![^%s])'
    options = {}
    for more, options in ((b"", {}), (rb"\\", {"escapechar": "\\"})):  # noqa: B007
        pattern = held % (between, more, rb"|\\." if more else b"", between)
        long = any(b"\n" in value[0] for value in re.finditer(pattern, content))
        broken = re.search(rb'(?<![^%s])".{0,40}' % between, re.sub(pattern, b"", content))
        if not broken:
            break
    if quotes is None and (broken or long):
        widths = {line.count(sep.encode()) for line in io.BytesIO(content) if line.strip()}
        if sep == "\t" and (broken or len(widths) == 1):
            return plain
        if broken or (len(widths) == 1 and widths != {0}):
            told = "it has quotes over several whole lines"
            if broken:
                kept = re.sub(pattern, lambda value: b"\n" * value[0].count(b"\n"), content)
                line = kept[: kept.index(broken[0])].count(b"\n") + 1
                told = f"line {line} has a quote that opens a value and does not close it"
                told += f" ({broken[0].decode('utf-8', 'replace')!r})"
            raise Told(f"{told}; {SAY}")
    return {} if broken else options
