"""Tables to read on a page: text wrapped, a column of verdicts coloured. pandas Stylers, their frame in ``.data``."""


def plain_table(table, precision=3):
    """A frame with words in it as a Styler: cells wrapped, all to the left, no index, nothing where a cell is empty."""
    return (
        table.style.hide(axis="index")
        .format(precision=precision, thousands=",", na_rep="")
        .set_properties(**{"white-space": "pre-line", "text-align": "left", "vertical-align": "top"})
        .set_table_styles([{"selector": "th", "props": "text-align: left"}])
    )


def text_table(table, verdicts, inks, wide=(), width="30em"):
    """A frame of text as a Styler: cells wrapped, line breaks kept, no index.

    verdicts: the column in bold; inks: its values -> colour. wide: columns that get at least ``width``.
    """
    return (
        plain_table(table)
        .set_properties(subset=list(wide), **{"min-width": width})
        .map(lambda verdict: f"color: {inks.get(verdict, 'inherit')}; font-weight: bold", subset=verdicts)
    )
