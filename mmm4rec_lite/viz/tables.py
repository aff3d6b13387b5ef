"""Tables to read on a page: text wrapped, a column of verdicts coloured. pandas Stylers, their frame in ``.data``."""

from collections.abc import Mapping, Sequence

import pandas as pd
from pandas.io.formats.style import Styler


def plain_table(table: pd.DataFrame, precision: int = 3) -> Styler:
    """A frame with words in it as a Styler: cells wrapped, all to the left, no index, nothing where a cell is empty."""
    return (
        table.style.hide(axis="index")
        .format(precision=precision, thousands=",", na_rep="")
        .set_properties(**{"white-space": "pre-line", "text-align": "left", "vertical-align": "top"})
        .set_table_styles([{"selector": "th", "props": "text-align: left"}])
    )


def text_table(
    table: pd.DataFrame, verdicts: str, inks: Mapping[str, str], wide: Sequence[str] = (), width: str = "30em"
) -> Styler:
    """A frame of text as a Styler: cells wrapped, line breaks kept, no index.

    verdicts: the column in bold; inks: its values -> colour. wide: columns that get at least ``width``.
    """
    return (
        plain_table(table)
        .set_properties(subset=list(wide), **{"min-width": width})
        .map(lambda verdict: f"color: {inks.get(verdict, 'inherit')}; font-weight: bold", subset=verdicts)
    )
