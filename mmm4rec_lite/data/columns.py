"""The usual names of columns in tables of shops and logs, and how a table's own are found."""

import re
from collections.abc import Sequence

import pandas as pd

from mmm4rec_lite.utils.errors import InputError

# Usual names in lower case, letters and digits only; the first that a table has is taken. Others: their own name.
NAMES = {
    "user": "userid user uid customerid customer reviewerid visitorid visitor memberid member buyerid buyer "
    "accountid account clientid client userno customerno kundennummer kundenid kunde",
    "item": "itemid item asin parentasin sku productid product articleid article iid movieid movie bookid book "
    "trackid songid videoid newsid contentid artikelnummer artikelid artikel",
    "time": "timestamp unixreviewtime unixtime time datetime ts eventtime createdat purchasedat orderedat "
    "purchasetime ordertime created date purchasedate orderdate eventdate day zeitstempel bestelldatum datum",
    "title": "title name itemname productname itemtitle producttitle movietitle booktitle articletitle trackname "
    "songtitle bezeichnung",
    "category": "categories category genres genre tags class kategorie warengruppe",
    "brand": "brand manufacturer marke",
    "description": "description beschreibung",
    "image": "image images imagepath imagefile picture pictures photo",
    "rating": "rating overall score stars bewertung",
}
OTHERS = {"id", "text", "domain", "price", "position"}  # that show a line to be one of names


def plain(name: object) -> str:
    """A column's name as `NAMES` has it, also that of a second column of one name (title.1)."""
    return re.sub(r"\.\d+$|[^a-z0-9]", "", str(name).lower())


def is_usual(name: object) -> bool:
    """Whether a value of a table's first line is the usual name of a column."""
    return plain(name) in OTHERS.union(*map(str.split, NAMES.values()))


def usual_columns(table: pd.DataFrame, what: str, more: Sequence[str] = ()) -> list[str]:
    """The columns with a usual name (`NAMES`, then ``more``) for ``what``, the commonest name first."""
    names = [(plain(column), column) for column in table.columns]
    return [column for name in (*NAMES.get(what, what).split(), *more) for own, column in names if own == name]


def find_column(
    table: pd.DataFrame, what: str, wanted: str | None, where: str, must: bool = True, more: Sequence[str] = ()
) -> str | None:
    """The column that holds ``what``: the wanted one (InputError if it is not there), or else the first with a usual
    name (`NAMES`, or in ``more``); where none is recognised None, or an InputError if there ``must`` be one."""
    if wanted is not None and wanted not in table:
        raise InputError(f"{where} has no column {wanted!r} for the {what}; it has: {list_columns(table)}")
    found = wanted if wanted is not None else next(iter(usual_columns(table, what, more)), None)
    if found is None and must:
        raise InputError(f"{where}: no {what} column was recognised among: {list_columns(table)}; say --{what} COLUMN")
    return found


def list_columns(table: pd.DataFrame) -> str:
    """The names of a table's columns, for a message."""
    return ", ".join(map(str, table.columns))[:200]
