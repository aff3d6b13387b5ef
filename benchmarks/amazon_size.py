"""Seconds and peak memory of `mmm4rec-lite data amazon` on made-up files of Amazon's form and size, as one JSON line.

    python benchmarks/amazon_size.py FOLDER [--ratings 25e6] [--items 600e3]

The files (some 1.3 GB, from a seed) stay in FOLDER and are taken again. Among the metadata are Python literals,
HTML, repeated items, missing fields and lines that are nothing; some items of the ratings have none.
"""

import argparse
import gzip
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

NAME = "Made_Up"
CHUNK = 1_000_000
WORDS = ["steel", "blue", "kitchen", "classic", "set", "organic", "pack", "mini", "soft", "travel", "glass", "deluxe"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ratings", type=lambda text: int(float(text)), default=25_000_000)
    parser.add_argument("--items", type=lambda text: int(float(text)), default=600_000)
    parser.add_argument("--make-only", action="store_true", help="make the files, measure nothing")
    given = parser.parse_args()
    raw = given.folder / f"raw-{given.ratings}-{given.items}"
    if given.make_only:
        return make(raw, given.ratings, given.items)
    if not (raw / f"meta_{NAME}.json.gz").exists():  # in a child: this process stays small, see wait4 below
        subprocess.run([sys.executable, *sys.argv, "--make-only"], check=True)
    command = "from mmm4rec_lite.study.cli import main; main()"
    out = given.folder / "out"
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", command, "data", "amazon", NAME, "--raw", raw, "--out", out])
    _, status, usage = os.wait4(child.pid, 0)
    print(
        json.dumps(
            {
                "ratings": given.ratings,
                "metadata lines": given.items,
                "seconds": round(time.perf_counter() - began, 1),
                "peak memory GB": round(usage.ru_maxrss * 1024 / 1e9, 2),
                "cores": len(os.sched_getaffinity(0)),
                "machine": platform.processor() or platform.machine(),
                "polars": pl.__version__,
                "exit code": os.waitstatus_to_exitcode(status),
            }
        )
    )


def make(raw, ratings, items, seed=0):
    """Write both files: ratings with few busy and many rare users and items, 1 % of the lines repeated."""
    raw.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    users = ratings // 3
    with open(raw / f"{NAME}.csv", "wb") as file:
        for start in range(0, ratings, CHUNK):
            count = min(CHUNK, ratings - start)
            fresh = count - count // 100
            lines = pl.DataFrame(
                {
                    "item": (items * rng.random(fresh) ** 3).astype(np.int64),
                    "user": (users * rng.random(fresh) ** 2).astype(np.int64) * 2_654_435_761 % 10**12,
                    "rating": rng.integers(1, 6, fresh).astype(float),
                    "timestamp": 1_300_000_000 // 86_400 * 86_400 + 86_400 * rng.integers(0, 2_600, fresh),
                }
            ).with_columns(item=_item("item"), user=pl.format("A{}", pl.col("user").cast(str).str.zfill(13)))
            pl.concat([lines, lines.head(count - fresh)]).write_csv(file, include_header=False)
    ids = pl.DataFrame({"item": rng.permutation(items)}).select(_item("item"))["item"].to_list()
    kinds = rng.choice(["json", "literal", "repeat", "broken"], items, p=[0.9, 0.07, 0.02, 0.01])
    with gzip.open(raw / f"meta_{NAME}.json.gz", "wt", compresslevel=1, encoding="utf-8") as file:
        for row, (item, kind) in enumerate(zip(ids, kinds)):
            draw = rng.integers(0, len(WORDS), 60)
            words = [WORDS[number] for number in draw]
            data = {
                "category": ["Home &amp; Kitchen", words[0], words[1]],
                "description": [" ".join(words) * 3],
                "title": _title(words, draw[0]),
                "also_buy": ids[max(0, row - 40) : row],
                "brand": "" if draw[1] == 0 else f"by\n    \n    {words[2]}" if draw[1] == 1 else words[2],
                "feature": [" ".join(words[:20]), " ".join(words[20:40])],
                "rank": [],
                "price": "$9.99",
                "asin": ids[row // 2] if kind == "repeat" else item,
                "imageURL": [f"https://example.org/{item}._SS40_.jpg"] * int(draw[2] % 2),
                "imageURLHighRes": [f"https://example.org/{item}.jpg"] * int(draw[2] % 2),
            }
            if draw[3] == 0:
                del data["brand"], data["imageURLHighRes"]
            line = repr(data) if kind == "literal" else json.dumps(data)
            file.write((line[: len(line) // 2] if kind == "broken" else line) + "\n")


def _item(column):
    return pl.format("B{}", pl.col(column).cast(str).str.zfill(9))


def _title(words, number):
    plain = " ".join(words[:10]).capitalize()
    return {0: f"<b>{plain}</b> <i>&quot;new&quot;</i>", 1: f"{plain} &amp; more", 2: ""}.get(int(number), plain)


if __name__ == "__main__":
    main()
