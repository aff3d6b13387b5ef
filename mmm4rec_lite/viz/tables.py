"""Tables to read on a page: text wrapped, a column of verdicts coloured. pandas Stylers, their frame in ``.data``."""

from collections.abc import Mapping, Sequence

import pandas as pd
from pandas.io.formats.style import Styler

CELL = {"white-space": "pre-line", "text-align": "left", "vertical-align": "top"}


def plain_table(table: pd.DataFrame, precision: int = 3) -> Styler:
    """A frame with words in it: cells wrapped, line breaks kept, to the left, no index, nothing where one is empty."""
    styler = table.style.hide(axis="index").format(precision=precision, thousands=",", na_rep="")
    return styler.set_properties(**CELL).set_table_styles([{"selector": "th", "props": "text-align: left"}])


def text_table(
    table: pd.DataFrame, verdicts: str, inks: Mapping[str, str], wide: Sequence[str] = (), width: str = "30em"
) -> Styler:
    """The same with the column ``verdicts`` in bold, coloured by ``inks``; columns ``wide``: at least ``width``."""
    ink = lambda verdict: f"color: {inks.get(verdict, 'inherit')}; font-weight: bold"
    return plain_table(table).set_properties(subset=list(wide), **{"min-width": width}).map(ink, subset=verdicts)
