"""Amazon Reviews 2018 (Ni, Li and McAuley 2019): the published files into a dataset, and Table 1 beside the paper's.

Ratings are read, freed of exact repeats, joined and 5-cored by polars in streaming mode, on integer codes;
metadata pass by line by line (`amazon_meta`). The order of work is the public code's: repeats, metadata, 5-core.
"""

import difflib
import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mmm4rec_lite import published
from mmm4rec_lite.data.amazon_meta import FIELDS, ID, lines, metadata, record
from mmm4rec_lite.data.dataset import Dataset, in_core, union
from mmm4rec_lite.data.schema import LATEST
from mmm4rec_lite.data.statistics import COUNTS, dataset_statistics
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.optional import extra

with extra("data"):
    import polars as pl

CATEGORIES = {  # the paper's name of a domain -> Amazon's name of its files
    "Food": "Grocery_and_Gourmet_Food",
    "CDs": "CDs_and_Vinyl",
    "Kindle": "Kindle_Store",
    "Movies": "Movies_and_TV",
    "Home": "Home_and_Kitchen",
    "Scientific": "Industrial_and_Scientific",
    "Pantry": "Prime_Pantry",
    "Instruments": "Musical_Instruments",
    "Arts": "Arts_Crafts_and_Sewing",
    "Office": "Office_Products",
}
AMAZON_SOURCES = ("Food", "CDs", "Kindle", "Movies", "Home")
INFO = {
    "source": "Amazon Reviews 2018, https://nijianmo.github.io/amazon/index.html",
    "terms": "research use; not to be redistributed",
    "citation": "Ni, Li and McAuley (2019), Justifying Recommendations using Distantly-Labeled Reviews and "
    "Fine-Grained Aspects, https://doi.org/10.18653/v1/D19-1018",
}
RATINGS = {"item": pl.String, "user": pl.String, "rating": pl.Float32, "timestamp": pl.Int64}
CHUNK = 500_000  # reviews held as Python objects at once


def amazon(
    name: str,
    raw: Path | str,
    fields: Sequence[str] = ("title", "categories", "brand"),
    k: int = 5,
    progress: bool = True,
) -> tuple[Dataset, pd.DataFrame]:
    """One domain of Amazon Reviews 2018 from its published files, k-cored to a fixed point, and its image URLs.

    Parameters
    ----------
    name : one of the paper's ten (`CATEGORIES`) or Amazon's name of the files, such as ``Gift_Cards``
    raw : folder that holds the files, itself or in a folder called ``name``: ratings ``NAME.csv`` (item,
        user, rating, seconds; no header) or reviews ``NAME.json.gz`` or ``NAME_5.json.gz``, the first
        of these that is there; and ``meta_NAME.json.gz``
    fields : what the text is made of, in this order (`amazon_meta.FIELDS`)
    k : users and items keep at least so many interactions
    progress : show a bar while metadata are read

    Returns
    -------
    The dataset and a frame [item, url], one row per item that has one. The dataset's info counts what was read,
    dropped and why. Times are whole days, so ties are common: they keep the file's order. Items are
    sorted by id. The same files give the same dataset.

    Raises
    ------
    InputError : files absent, cut or empty, an unknown field, or nothing left
    """
    if (unknown := [field for field in fields if field not in FIELDS]) or not fields:
        raise InputError(f"fields: {', '.join(unknown) or 'none given'}; choose from {', '.join(FIELDS)}")
    name, ratings_file, metadata_file = _find(name, Path(raw))
    rows, read = _ratings(ratings_file)
    found = len(rows)
    rows = rows.lazy().unique(list(RATINGS), keep="first", maintain_order=True).collect(engine="streaming")
    distinct = len(rows)
    enough = rows.group_by("item").len().filter(pl.col("len") >= k)["item"]
    items, known, meta = metadata(metadata_file, set(enough.cast(pl.String)), fields, progress)
    ids = pl.Series(list(known), dtype=pl.String).cast(rows["item"].dtype)
    rows = rows.filter(pl.col("item").is_in(ids.implode()))
    if rows.is_empty():
        raise InputError(
            f"{ratings_file}: none of its {read['lines']} lines is an interaction with an item of "
            f"{metadata_file.name}; expected item, user, rating, seconds since 1970"
        )
    core = rows.filter(in_core([rows[side].to_physical().to_numpy() for side in ("user", "item")], k))
    if core.is_empty():
        raise InputError(f"{ratings_file}: nothing is left of its {k}-core")
    read |= {"exact repeats": found - distinct, "item without metadata": distinct - len(rows)}
    read |= {f"outside the {k}-core": len(rows) - len(core), "kept": len(core)}
    items = items[items["item"].isin(core["item"].unique().cast(pl.String).to_list())]
    items = items.sort_values("item", ignore_index=True).assign(image=None, domain=name)
    urls = items.loc[items["url"] != "", ["item", "url"]].reset_index(drop=True)
    interactions = core.select(pl.col("user", "item").cast(pl.String), "timestamp").to_pandas()
    del rows, core
    kept = {"without title": int((items["title"] == items["item"]).sum())}
    kept |= {"without text": int((items["text"] == "").sum()), "with image URL": len(urls)}
    files = {"files": [ratings_file.name, metadata_file.name], "fields": list(fields), "core": k}
    info = {**INFO, **files, "interactions": read, "metadata": meta, "items": kept}
    return Dataset.from_frames(name, interactions, items.drop(columns="url"), info=info), urls


def domain(name: str) -> str:
    """A domain's name as datasets have it: the paper's, in any case, where it has one. InputError for what is none."""
    if not re.fullmatch(r"\w+", name):
        known = ", ".join(CATEGORIES)
        raise InputError(
            f"'{name}' is no category; take one of {known} or a name of Amazon's files, such as Gift_Cards"
        )
    papers = {word.lower(): paper for paper, file in CATEGORIES.items() for word in (paper, file)}
    return papers.get(name.lower(), name)


def union_domains(parts: Sequence[tuple[Dataset, pd.DataFrame]], name: str) -> tuple[Dataset, pd.DataFrame]:
    """`union` of domains and of their image URLs.

    Users become ``<domain>/<user>``, as the public code has it: nobody is one user in two domains. Only an item
    id that two domains share becomes ``<domain>/<item>``; the info counts these.
    """
    ids = pd.concat([dataset.items["item"] for dataset, _ in parts])
    shared = set(ids[ids.duplicated()])

    def own(frame, dataset):
        both = frame["item"].isin(shared)
        return frame.assign(item=frame["item"].mask(both, dataset.name + "/" + frame["item"])) if shared else frame

    apart = [replace(d, items=own(d.items, d), interactions=own(d.interactions, d)) for d, _ in parts]
    whole, urls = union(apart, name), pd.concat([own(urls, dataset) for dataset, urls in parts], ignore_index=True)
    return replace(whole, info={**INFO, **whole.info, "items shared by domains": len(shared)}), urls


def table_1(datasets: Sequence[Dataset]) -> pd.DataFrame:
    """`dataset_statistics` of datasets of `amazon` or `union_domains`, with image_urls, and paper_users... beside."""
    table = dataset_statistics(datasets)
    table.insert(3, "image_urls", [_urls(dataset) for dataset in datasets])
    for column, values in zip(COUNTS, zip(*(_paper(dataset) or [None] * 4 for dataset in datasets))):
        table[f"paper_{column}"] = pd.array(values, dtype="Int64")
    return table


def differences(dataset: Dataset) -> list[str]:
    """Sentences: how the counts differ from the paper's Table 1, and what was dropped on the way."""
    counts, paper = dataset_statistics([dataset]).iloc[0], _paper(dataset)
    if paper is None:
        return [f"{dataset.name} is not in the paper's Table 1.", *_dropped(dataset)]
    off = {column: int(counts[column]) - wanted for column, wanted in zip(COUNTS, paper)}
    images = off.pop("images")
    if not any(off.values()):
        said = [f"{dataset.name}: users, items and interactions equal Table 1."]
    else:
        words = ", ".join(f"{abs(n):,} {column} {'more' if n > 0 else 'fewer'}" for column, n in off.items() if n)
        said = [f"{dataset.name}: {words} than Table 1.", *_dropped(dataset)]
    logged = published.log_tests(dataset=dataset.name.lower())["users"].unique()
    if off["users"] and counts["users"] in logged:
        said.append(f"{dataset.name}'s {counts['users']:,} users are those of the authors' log, unlike Table 1's.")
    if images:
        said.append(
            f"{dataset.name}: {counts['images']:,} pictures are here, the paper had {paper[2]:,}; "
            f"{_urls(dataset):,} items have an image URL (`data images` fetches them)."
        )
    return said


def _dropped(dataset):
    """What the preparing dropped, in words, and what of it makes a difference to the paper plain."""
    if "parts" in dataset.info:
        return []
    read, core, file = (dataset.info[key] for key in ("interactions", "core", "files"))
    said = (
        f"Of {read['lines']:,} lines of {file[0]}, {read['unreadable']:,} were unreadable, "
        f"{read['exact repeats']:,} exact repeats, {read['item without metadata']:,} of items without metadata; "
        f"the {core}-core took {read[f'outside the {core}-core']:,} more."
    )
    if not file[0].endswith(".csv"):
        said += " The paper started from the ratings (.csv): they hold more lines than the reviews"
        said += ", of which this file is a 5-core already." if file[0].endswith("_5.json.gz") else "."
    if core != 5:
        said += f" The paper took the 5-core, not the {core}-core."
    if unread := dataset.info["metadata"]["unreadable"]:
        said += f" {unread:,} unreadable lines of metadata may count as items without metadata."
    return [said]


def _paper(dataset):
    """The paper's counts of a dataset (of the pre-training union, too), or None."""
    parts = dataset.info.get("parts", ())
    name = "sources" if set(parts) == set(AMAZON_SOURCES) else dataset.name.lower()
    counts = published.paper(1, dataset=name).set_index("column")["value"]
    return None if counts.empty else [int(counts[column]) for column in COUNTS]


def _urls(dataset):
    return sum(info["items"]["with image URL"] for info in dataset.info.get("parts", {"": dataset.info}).values())


def _find(name, raw):
    """(the domain's name, its ratings or reviews, its metadata)."""
    short = domain(name)
    file, found = CATEGORIES.get(short, short), []
    for wanted in ([f"{file}.csv", f"{file}.json.gz", f"{file}_5.json.gz"], [f"meta_{file}.json.gz"]):
        places = (folder / one for one in wanted for folder in (raw, raw / file, raw / short))
        path = next(filter(Path.is_file, places), None)
        if path is None:
            near = {known.lower(): known for known in (*CATEGORIES, *CATEGORIES.values())}
            close = [] if short in CATEGORIES else difflib.get_close_matches(name.lower(), near, 1)
            raise InputError(
                f"{raw}: no {' or '.join(wanted)} there or in {raw / name}; get it from {INFO['source'].split()[-1]}, "
                f"or check the name: {', '.join(CATEGORIES)}, or that of Amazon's files"
                + "".join(f"; did you mean {near[one]}?" for one in close)
            )
        found.append(path)
    return short, *found


def _ratings(path):
    """The usable lines as a frame [item, user: categorical; rating; timestamp] in the file's order, and counts."""
    codes = {column: pl.Categorical(pl.Categories.random()) for column in ("item", "user")}
    if path.suffix == ".csv":
        # no quotes: a quoted line break then costs the two lines around it, not the rest of the file
        form = dict(has_header=False, quote_char=None, schema=RATINGS, encoding="utf8-lossy", raise_if_empty=False)
        form |= dict(ignore_errors=True, truncate_ragged_lines=True, missing_columns="insert", extra_columns="ignore")
        table = pl.scan_csv(path, **form)
    else:
        reviews, chunks = _reviews(path), [pl.DataFrame(schema=RATINGS | codes)]
        while part := list(itertools.islice(reviews, CHUNK)):
            chunks.append(pl.DataFrame(part, schema=RATINGS, orient="row").cast(codes))
        table = pl.concat(chunks).lazy()
    whole = pl.col("rating").is_finite() & pl.col("timestamp").is_between(0, LATEST)
    for column in codes:
        whole &= pl.col(column).cast(pl.String).str.contains(f"^{ID}$")
    # one pass: an unusable line becomes a row of nulls, so that it is counted without being read again
    table = table.select(
        pl.when(whole.fill_null(False)).then(pl.col(column)).cast(codes.get(column, kind)).alias(column)
        for column, kind in RATINGS.items()
    )
    try:
        rows = table.collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: not a table of ratings ({' '.join(str(error).split())[:200]})") from None
    count, rows = len(rows), rows.drop_nulls()
    return rows, {"lines": count, "unreadable": count - len(rows)}


def _reviews(path):
    """(item, user, rating, time) of every line of reviews; Nones for one that has not all of them."""
    for line in lines(path):
        review = record(line)[0] or {}
        item, user, rating, time = (review.get(key) for key in ("asin", "reviewerID", "overall", "unixReviewTime"))
        usable = all(isinstance(one, str) and re.fullmatch(ID, one) for one in (item, user))
        usable = usable and isinstance(rating, int | float) and abs(rating) < 1e9
        usable = usable and isinstance(time, int) and 0 <= time <= LATEST
        yield (item, user, float(rating), time) if usable else (None,) * 4
