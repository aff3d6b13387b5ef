"""Seconds and peak memory where catalogues and data are large, a JSON line a part.

    python benchmarks/scale.py FOLDER [PART ...] [--items 1e6] [--users 1000] [--rows 1e7] [--model sasrec]

markov     a Markov chain counted over 60,000 items, then ``--users`` ranked
rank       ``--users`` ranked among ``--items`` by an untrained model of width 64
movielens  as many users as MovieLens-1M has ranked among as many items, by the same
load       ``--rows`` interactions loaded and split, then an epoch of batches of 1,024 rows and 20 steps
map        the same by `open_sequences`; the first call makes its file
features   ``--items`` features of 512 and 384 numbers opened, gathered, and a model made over them

All data are made up, from a seed; what is large stays in FOLDER and is taken again. Every part has its own process.
"Beyond start" is its peak less what it held with the library and the histories loaded. Mapped pages count in both; the
system may drop them.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import torch

from mmm4rec_lite import data
from mmm4rec_lite.evaluation import markov, model_scorer, rank_rows
from mmm4rec_lite.features import Features, load_features
from mmm4rec_lite.models.base import Catalogue
from mmm4rec_lite.models.registry import get_model

CHUNK, LENGTH, MOVIELENS, SHOP = 1_000_000, 20, (3_416, 6_040), 60_000


def main():
    number = lambda text: int(float(text))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    for name, default in (("items", 1_000_000), ("users", 1_000), ("rows", 10_000_000)):
        parser.add_argument(f"--{name}", type=number, default=default)
    parser.add_argument("--model", default="sasrec")
    parser.add_argument("--here", action="store_true", help="in this process, one part")
    given = parser.parse_args()
    if given.here:
        return print(json.dumps({"part": given.parts[0], **PARTS[given.parts[0]](given)}))
    for part in given.parts:
        make(given, part)
        more = [f"--{name}={getattr(given, name)}" for name in ("items", "users", "rows", "model")]
        subprocess.run([sys.executable, __file__, given.folder, part, "--here", *more], check=True)


def memory(name):
    """MB that this process holds (VmRSS) or held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024


class Line:
    """What is printed of a part: seconds of each step since the last, and memory."""

    def __init__(self, **values):
        self.values, self.start, self.last = values, memory("VmRSS"), time.perf_counter()

    def step(self, name):
        now = time.perf_counter()
        self.values[f"{name} seconds"], self.last = round(now - self.last, 2), now

    def done(self):
        peak = memory("VmHWM")
        self.values |= {"peak MB": peak, "beyond start MB": peak - self.start}
        return self.values | {"threads": torch.get_num_threads(), "torch": torch.__version__}


# --- ranking ---


def histories(users, items, each=LENGTH):
    """Sequences of ``each`` random interactions a user."""
    drawn = torch.randint(1, items + 1, (users * each,), generator=torch.Generator().manual_seed(0))
    place = torch.arange(users * each)
    return data.Sequences(drawn, 3600 * place, place // each * each, [f"u{n}" for n in range(users)], items)


def ranked(model, users, items):
    """The last of every user's interactions, ranked."""
    flat = histories(users, items)
    line = Line(model=model, users=users, items=items)
    torch.manual_seed(0)
    catalogue = Catalogue(*torch.randn(2, items + 1, 16), torch.ones(items + 1, dtype=torch.bool))
    spec = get_model(model)
    built = spec.build(spec.sized(64, LENGTH), catalogue)
    line.values["tables MB"] = sum(t.nbytes for t in (*built.parameters(), *built.buffers())) // 2**20
    score = model_scorer(built)
    line.step("building")
    for filter_seen in (False, True):
        rank_rows(score, flat, torch.arange(users) * LENGTH + LENGTH - 1, LENGTH, filter_seen)
        line.step("ranking without history" if filter_seen else "ranking")
    return line.done()


def chain(given):
    flat = histories(1_000_000, SHOP)
    rows = torch.arange(len(flat.items))[flat.first < torch.arange(len(flat.items))]
    line = Line(items=SHOP, rows=len(rows), users=given.users)
    score = markov(flat, rows, SHOP)
    line.step("counting")
    rank_rows(score, flat, rows[LENGTH - 2 :: LENGTH - 1][: given.users], 1)
    line.step("ranking")
    return line.done()


# --- interactions ---


def dataset(given):
    return given.folder / f"rows-{given.rows}"


def make_dataset(folder, rows, seed=0):
    """A dataset folder with few busy and many rare users and items, its interactions in no order."""
    folder.mkdir(parents=True, exist_ok=True)
    users, items, rng = rows // 50, rows // 100, np.random.default_rng(seed)
    names = pd.Series(np.arange(items)).astype(str).radd("i").to_numpy()
    films = {"item": names, "title": names, "text": names, "image": None, "domain": "made up"}
    pd.DataFrame(films).to_parquet(folder / "items.parquet")
    (folder / "dataset.json").write_text(json.dumps({"name": "made-up", "info": {}}))
    schema = pa.schema({"user": pa.string(), "item": pa.string(), "timestamp": pa.int64()})
    with pa.parquet.ParquetWriter(folder / "interactions.parquet", schema) as file:
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            user = pd.Series((users * rng.random(count) ** 2).astype(int)).astype(str).radd("u")
            item = names[(items * rng.random(count) ** 3).astype(int)]
            times = 1_500_000_000 + rng.integers(0, 10**8, count)
            frame = pd.DataFrame({"user": user, "item": item, "timestamp": times})
            file.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))


def opened(given, opener):
    line = Line(rows=given.rows)
    found = opener(dataset(given))
    line.step("opening")
    split = data.leave_one_out(found)
    line.step("splitting")
    for rows in data.epoch(split.train, 1024, 0, 0):
        data.batch(split.sequences, rows, LENGTH)
    line.step("batches")
    return line.done()


# --- features ---


def make_features(file, items):
    torch.manual_seed(0)
    text, image = torch.randn(items, 384), torch.randn(items, 512)
    about = {"name": "drawn", "fingerprint": "f" * 16, "missing": "zeros"}
    Features([f"i{n}" for n in range(items)], text, image, torch.ones(items, dtype=torch.bool), about).save(file)


def gathered(given):
    line, spec = Line(items=given.items), get_model("mmm4rec")
    found = load_features(given.folder / f"features-{given.items}")
    line.step("opening")
    line.values["opened MB"] = memory("VmRSS") - line.start
    catalogue = found.catalogue(found.items)
    line.step("gathering")
    line.values["tables MB"] = (catalogue.text.nbytes + catalogue.image.nbytes) // 2**20
    model = spec.build(spec.sized(64, LENGTH).replace(item_bias=False), catalogue)
    line.step("building")
    assert len(model.image_features) == given.items + 1
    return line.done()


def make(given, part):
    """What a part reads, where it is missing; here, so that the part's own process stays small."""
    if part in ("load", "map") and not dataset(given).exists():
        make_dataset(dataset(given), given.rows)
    file = given.folder / f"features-{given.items}"
    if part == "features" and not file.exists():
        make_features(file, given.items)


PARTS = {
    "markov": chain,
    "rank": lambda given: ranked(given.model, given.users, given.items),
    "movielens": lambda given: ranked(given.model, MOVIELENS[1], MOVIELENS[0]),
    "load": lambda given: opened(given, data.load_dataset),
    "map": lambda given: opened(given, data.open_sequences),
    "features": gathered,
}

if __name__ == "__main__":
    main()
