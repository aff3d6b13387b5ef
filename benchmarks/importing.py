"""`import_tables` of made-up interactions from files of every kind: seconds and peak memory, a process each."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from mmm4rec_lite.data import import_tables

KINDS = "csv", "csv.gz", "quoted.csv", "dates.csv", "dat", "jsonl", "parquet", "parts"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("kinds", nargs="*", help=", ".join(KINDS))
    parser.add_argument("--rows", type=lambda text: int(float(text)), default=1_000_000)
    parser.add_argument("--here", action="store_true", help="in this process, one kind, made before")
    given = parser.parse_args()
    if given.here:
        return print(json.dumps(measured(given.folder, given.kinds[0])))
    for kind in given.kinds or KINDS:
        make(given.folder, kind, given.rows)
        subprocess.run([sys.executable, __file__, given.folder, kind, "--here"], check=True)


def place(folder, kind):
    return folder / f"log.{kind}", folder / ("items.dat" if kind == "dat" else "items.csv")


def make(folder, kind, rows, seed=0):
    """A table of interactions, 50 a user and 100 an item, with few busy and many rare ones; and its items."""
    folder.mkdir(parents=True, exist_ok=True)
    path, shelf = place(folder, kind)
    draw, items = np.random.default_rng(seed), rows // 100
    log = pd.DataFrame(
        {
            "user": (rows // 50 * draw.random(rows) ** 2).astype(int),
            "item": (items * draw.random(rows) ** 3).astype(int),
        }
    )
    log = log.assign(rating=draw.integers(1, 6, rows), timestamp=1_500_000_000 + draw.integers(0, 10**8, rows))
    goods = pd.DataFrame({"item": np.arange(items)}).assign(title=[f"Thing {n}" for n in range(items)], genres="a|b")
    if kind == "dates.csv":
        log["timestamp"] = pd.to_datetime(log["timestamp"], unit="s").dt.strftime("%Y-%m-%d %H:%M:%S")
    if kind == "quoted.csv":
        log = log.assign(note='said "so", twice\nover')
    if kind == "dat":
        goods.to_csv(shelf, index=False, header=False, sep="\x1f")
        log.to_csv(path, index=False, header=False, sep="\x1f")
        for file in (shelf, path):
            file.write_text(file.read_text().replace("\x1f", "::"))
        return
    goods.to_csv(shelf, index=False)
    if kind == "parquet":
        log.to_parquet(path, index=False)
    elif kind == "parts":
        path.mkdir(exist_ok=True)
        for n in range(10):
            log.iloc[n::10].to_parquet(path / f"part-{n}.parquet", index=False)
    elif kind == "jsonl":
        log.assign(user="u" + log["user"].astype(str)).to_json(path, orient="records", lines=True)
    else:
        log.to_csv(path, index=False)


def measured(folder, kind):
    """What it takes, libraries loaded."""
    held, start = memory("VmRSS"), time.perf_counter()
    dataset = import_tables(*place(folder, kind), k=5)
    seconds = round(time.perf_counter() - start, 1)
    return dict(kind=kind, rows=dataset.info["import"]["interactions"]["read"], kept=len(dataset.interactions),
                seconds=seconds, start_mb=held, peak_mb=memory("VmHWM"))  # fmt: skip


def memory(name):
    """MB that this process holds (VmRSS) or held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024


if __name__ == "__main__":
    main()
