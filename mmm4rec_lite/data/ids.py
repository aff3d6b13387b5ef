"""One spelling of an id in two tables, and the two columns of ids that match."""

import re
import unicodedata
from collections.abc import Iterable

import numpy as np
import pandas as pd

from mmm4rec_lite.data.columns import plain
from mmm4rec_lite.data.reading import as_text

WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}  # full-width signs -> ASCII
UNSEEN = " \t\r\n\xa0\u3000\u200b\u2060\ufeff"  # at an id's ends
ENOUGH = 0.8  # share of interactions that should find their item


def spelled(values: pd.Series) -> pd.Series:
    """Ids as text, of one spelling: Unicode composed, wide digits as usual ones, 7.0 as 7 where none is 7.5."""
    codes, known = pd.factorize(as_text(values))
    known = pd.Series(known, dtype=str)
    odd = ~known.map(str.isascii).astype(bool)
    if odd.any():
        one = lambda name: unicodedata.normalize("NFC", name).translate(WIDE).strip(UNSEEN) or np.nan
        known = pd.Series(np.where(odd, known.map(one), known), dtype=str)
    dotted = known.str.contains(".", regex=False).fillna(False).astype(bool)
    if dotted.any() and known[dotted].str.fullmatch(r"\d+\.0+").all():
        known = known.mask(dotted, known.str.partition(".")[0])
    return known.reindex(codes).set_axis(values.index)  # -1, a missing id, finds nothing


def places(wanted: pd.Series, known: pd.Index) -> np.ndarray:
    """Where in ``known`` every wanted id stands, or -1: as it is, or else by its `_key`, where one id has that."""
    at = known.get_indexer(wanted)
    lost = wanted[(at < 0) & wanted.notna().to_numpy()]
    if len(lost):
        keys = pd.Series(known).map(_key)
        keys = keys[~keys.duplicated(keep=False)]
        names = pd.Series(lost.unique())
        found = pd.Index(keys).get_indexer(names.map(_key))
        place = dict(zip(names, np.where(found < 0, -1, keys.index.to_numpy()[found]) if len(keys) else found))
        at[(at < 0) & wanted.notna().to_numpy()] = lost.map(place)
    return at


def _key(name):
    name = unicodedata.normalize("NFKC", name).strip()
    number = re.fullmatch(r"0*(\d+?)(?:\.0+)?", name)
    return number[1] if number else name


class Pair:
    """A column of ids in the interactions and one in the items: how many interactions find their item by them."""

    def __init__(self, left: str, ids: pd.Series, right: str, known: pd.Series):
        self.left, self.ids, self.right, self.known = left, ids, right, known
        first = self.known.drop_duplicates().dropna()
        self.at = np.append(first.index.to_numpy(), -1)[places(self.ids, pd.Index(first))]  # rows of the items
        self.count, self.rows = int((self.at >= 0).sum()), max(int(self.ids.notna().sum()), 1)

    def __str__(self) -> str:
        return f"{self.left} = {self.right}: {self.count} of {self.rows}"

    def rank(self) -> tuple[bool, int]:
        """Columns of one name go first where they join enough: numbers of lines may join everything by chance."""
        return plain(self.left) == plain(self.right) and self.count >= ENOUGH * self.rows, self.count


def pairs(log: pd.DataFrame, goods: pd.DataFrame, left: Iterable[str], right: Iterable[str]) -> list[Pair]:
    """Every two of these columns, those that join best first."""
    here, there = ({name: spelled(table[name]) for name in names} for table, names in ((log, left), (goods, right)))
    found = [Pair(*one, *other) for one in here.items() for other in there.items()]
    return sorted(found, key=Pair.rank, reverse=True)


def candidates(log: pd.DataFrame, goods: pd.DataFrame, than: Pair) -> list[str]:
    """The columns, of any name, by which more of the interactions join ``than`` by a pair, best first; in words."""
    some, part = log.iloc[:: len(log) // 5_000 + 1], goods.iloc[:: len(goods) // 5_000 + 1]
    short = {name: as_text(part[name]).dropna() for name in part}
    ids = [name for name, text in short.items() if text.nunique() > len(part) / 10 and text.str.len().median() < 100]
    here, there = ({name: _keys(table[name]) for name in names} for table, names in ((some, list(some)), (goods, ids)))
    known = {name: pd.Index(keys.dropna().unique()) for name, keys in there.items()}
    joined = {
        (a, b): float((known[b].get_indexer(here[a].dropna()) >= 0).sum()) / len(some) for a in here for b in known
    }
    joined.pop((than.left, than.right), None)
    best = [
        pair for pair in sorted(joined, key=joined.__getitem__, reverse=True) if joined[pair] > than.count / than.rows
    ]
    return [f"{left} = {right} ({joined[left, right]:.0%})" for left, right in best[:5]]


def _keys(values):
    return spelled(values).map(lambda name: _key(name[:100]), na_action="ignore")
