"""Pictures by URL into a dataset folder: in parallel, with back-off, resumable, every one checked, a report of all.

A folder has URLs in ``image_urls.parquet`` (item, url), fetched pictures in ``images/``, and what came of every item
in ``image_report.jsonl``, a line as soon as it is known, so that a kill loses nothing.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from tqdm.auto import tqdm

from mmm4rec_lite.data.dataset import Dataset, load_dataset
from mmm4rec_lite.data.pictures import FORMATS, picture_format
from mmm4rec_lite.data.schema import read_table
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.files import atomic, lock, writing
from mmm4rec_lite.utils.optional import extra

with extra("data"):
    import urllib3
    from urllib3 import exceptions as faults

URLS, REPORT, IMAGES = "image_urls.parquet", "image_report.jsonl", "images"
COLUMNS = ["item", "url", "status", "tries", "file"]
PASSING = ("busy", "timeout", "connection")  # another call asks again for these; for the others only if told to
SERVED = "JPEG", "PNG", "GIF", "WEBP"  # formats of shops' servers
REDIRECTS = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)


def fetch_images(
    folder: Path | str, again: bool = False, workers: int = 16, progress: bool = True, **limits: Any
) -> pd.DataFrame:
    """`download` the pictures that a dataset folder has URLs for and enter them in its ``items.parquet``."""
    folder = Path(folder)
    load_dataset(folder)
    with lock(folder, "fetching pictures"):
        report = download(read_urls(folder), folder, again, workers, progress, **limits)
        items = read_table(folder / "items.parquet")
        files = report.dropna(subset="file").set_index("item")["file"]
        image = items["item"].map(files).astype(object).fillna(items["image"])
        with atomic(folder / "items.parquet") as temporary:
            items.assign(image=image.where(image.notna(), None)).to_parquet(temporary, index=False)
    return report


def download(
    urls: pd.DataFrame,
    folder: Path | str,
    again: bool = False,
    workers: int = 16,
    progress: bool = True,
    attempts: int = 4,
    pause: float = 1.0,
    timeout: float = 20.0,
    slowest: float = 120.0,
    largest: int = 20 * 2**20,
) -> pd.DataFrame:
    """Fetch the pictures of ``urls`` [item, url] into ``folder/images``; what is settled is asked for only ``again``.

    Every try may last ``timeout`` seconds until it connects and between two pieces, ``slowest`` in all, and bring
    ``largest`` bytes. Of ``attempts``, the second comes at once, the third after ``pause`` seconds, then doubled each
    time, or as the server's Retry-After says (at most two minutes).

    The report [item, url, status, tries, file, asked] has the order of ``urls``; file lies below ``folder``, asked
    tells what was not settled before. Status: ok, gone (404, 410), refused (another 4xx, or no web address), bad (no
    whole picture), large; and what may pass: busy (429, 5xx), timeout, connection (cut, reset, or none).
    """
    folder = Path(folder)
    urls, known = urls.drop_duplicates("item", ignore_index=True), _known(folder)
    pairs = zip(urls["item"], urls["url"])
    todo = [(item, url) for item, url in pairs if not _settled(known.get(item), url, folder, again)]
    pool = urllib3.PoolManager(maxsize=workers, timeout=urllib3.Timeout(timeout))
    policy = urllib3.Retry(total=attempts, backoff_factor=pause / 2, backoff_max=60, retry_after_max=120)

    def work(item, url):
        status, tries, content = _fetch(pool, url, policy, attempts, slowest, largest)
        kind, name, file = picture_format(content) if content else None, quote(item, safe=""), None
        if kind in SERVED:
            file = f"{IMAGES}/{name if len(name) <= 150 else digest(item)}{FORMATS[kind][0]}"
            with atomic(folder / file) as temporary:
                temporary.write_bytes(content)
        return dict(zip(COLUMNS, (item, url, "bad" if status == "ok" and not file else status, tries, file)))

    folder.mkdir(parents=True, exist_ok=True)
    log_of = lambda: open(folder / REPORT, "a", encoding="utf-8")
    with writing(folder / REPORT), log_of() as log, ThreadPoolExecutor(workers) as threads:
        started = [threads.submit(work, *task) for task in todo]
        log.write("\n" if log.tell() else "")  # the last line of a killed call may lack its end
        try:
            for done in tqdm(as_completed(started), "images", len(todo), unit="image", disable=not progress):
                found = known[done.result()["item"]] = done.result()
                log.write(json.dumps(found) + "\n")
                log.flush()
        finally:
            threads.shutdown(wait=True, cancel_futures=True)
    report = pd.DataFrame([known[item] for item in urls["item"]], columns=COLUMNS)
    return report.assign(asked=report["item"].isin([item for item, _ in todo]))


def save_with_urls(dataset: Dataset, urls: pd.DataFrame, folder: Path | str) -> None:
    """`Dataset.save` with ``urls`` beside; what an earlier dataset there fetched from the same URLs stays."""
    folder = Path(folder)
    own = dataset.items.set_index("item")["image"]
    wanted = urls[urls["item"].isin(own.index[own.isna()])].set_index("item")["url"].to_dict()
    known = [found for item, found in _known(folder).items() if _settled(found, wanted.get(item), folder)]
    taken = set(own.dropna())  # a path that is another item's picture now
    known = [found for found in known if found["file"] not in taken]
    files = {found["item"]: found["file"] for found in known if found["status"] == "ok"}
    image = pd.Series([files.get(item, one) for item, one in own.items()], dataset.items.index, dtype=object)

    def beside(new):  # with the pictures' paths, so that a kill parts none of them
        urls.to_parquet(new / URLS, index=False)
        if known:
            (new / REPORT).write_text("".join(json.dumps(found) + "\n" for found in known), encoding="utf-8")

    replace(dataset, items=dataset.items.assign(image=image)).save(folder, set(files.values()), beside)


def read_urls(folder: Path | str) -> pd.DataFrame:
    """The frame [item, url] of a folder; InputError if it has none."""
    path = Path(folder) / URLS
    refuse(not path.is_file(), f"{folder}: no {URLS}, so nothing says where its pictures are; `data amazon` writes it")
    urls = read_table(path)
    refuse(not {"item", "url"} <= set(urls), f"{path}: expected the columns item and url")
    return urls


def _known(folder):
    """item -> the latest line of the report on it; a line cut by a kill does not count."""
    known, report = {}, folder / REPORT
    for line in report.read_text(encoding="utf-8", errors="replace").splitlines() if report.is_file() else ():
        with suppress(ValueError, KeyError, TypeError):
            found = json.loads(line)
            known[found["item"]] = {column: found[column] for column in COLUMNS}
    return known


def _settled(found, url, folder, again=False):
    """Whether what was ``found`` on an item answers its ``url``."""
    if found is None or found["url"] != url:
        return False
    status = found["status"]
    return (folder / found["file"]).is_file() if status == "ok" else not again and status not in PASSING


def _fetch(pool, url, policy, attempts, slowest, largest):
    """(status, tries, content)."""
    if not url.lower().startswith(("http://", "https://")):
        return "refused", 0, None
    for tries in range(1, attempts + 1):
        response, content = None, None
        try:
            response = pool.request("GET", url, preload_content=False, retries=REDIRECTS)
            with closing(response):
                status, content = _answer(response, time.monotonic() + slowest, largest)
        except faults.LocationValueError:  # no address one could ask
            status = "refused"
        except faults.HTTPError as error:
            cause = getattr(error, "reason", error)  # NewConnectionError is a timeout by history only
            late = isinstance(cause, faults.TimeoutError) and not isinstance(cause, faults.NewConnectionError)
            status = "timeout" if late else "connection"
        if status not in PASSING or tries == attempts:
            return status, tries, content
        policy = policy.increment("GET", url, response)
        policy.sleep(response)


def _answer(response, deadline, largest):
    """(status, content) of a response, read in pieces so that neither size nor slowness is unbounded."""
    code, content = response.status, bytearray()
    if code != 200:
        return "gone" if code in (404, 410) else "busy" if code in (408, 425, 429) or code >= 500 else "refused", None
    while piece := response.read1(2**16):
        content += piece
        if len(content) > largest or time.monotonic() > deadline:
            return "large" if len(content) > largest else "timeout", None
    return "ok", bytes(content)
