"""Seconds per epoch and per 1,000 users ranked, and peak memory, of every model: ``benchmarks/speed.md``.

    OMP_PROC_BIND=true OMP_PLACES=cores python benchmarks/speed.py FOLDER...

FOLDER: a dataset folder (``mmm4rec-lite data ...``). Features are drawn, 384 numbers for texts and pictures each: a
timing, no result. Protocol ``matched``: width 64, window 20, batches of 256 rows, one thread or as many as
OMP_NUM_THREADS says. An epoch is the median of some steps times their number; "plain" is the same with every batch
computed whole, padding and all. Each line has a process of its own, for its peak memory. The authors' public
MMM4Rec beside ours: public_code.py.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from datetime import date
from pathlib import Path

import torch

import mmm4rec_lite as m4r
from mmm4rec_lite.data.batches import batch, epoch
from mmm4rec_lite.evaluation import rank_model
from mmm4rec_lite.features import Features
from mmm4rec_lite.models import fast
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.models.registry import MODELS
from mmm4rec_lite.runs import fit_gaps
from mmm4rec_lite.training import OPTIMIZERS, parameter_groups

PAGE, WIDTH, STEPS = Path(__file__).with_name("speed.md"), 384, 7
USERS = 1_000


def drawn_task(folder):
    """The dataset with drawn features, every item with a picture, texts in two wordings."""
    dataset = m4r.load_dataset(folder)
    items = list(dataset.items["item"])
    draw = lambda seed: torch.nn.functional.normalize(
        torch.randn(len(items), WIDTH, generator=torch.Generator().manual_seed(seed)), dim=1
    )
    encoder = dict(name="drawn", fingerprint="0" * 16, missing="zeros")
    features = [
        Features(items, draw(s), draw(s + 1), torch.ones(len(items), dtype=torch.bool), encoder) for s in (0, 2)
    ]
    return m4r.Task(dataset, features[0], augmented_text=features[1])


def measure(folder, name, plain):
    """A line of the page."""
    if plain:
        fast.parts = lambda lengths, window: [(slice(None), window)]
        MMM4Rec.users = MMM4Rec.plain_users
    task, spec = drawn_task(folder), m4r.get_model(name)
    changes = {} if "time" in task.inputs or "time" not in spec.reads else dict(time=False)
    config, training = m4r.Protocol("matched").settings(spec, "scratch", **changes)
    torch.manual_seed(0)
    model, rows = spec.build(config, task.catalogue), task.rows
    fit_gaps(model, rows)
    model.begin_epoch(0, "scratch")
    optimizer = OPTIMIZERS[training.optimizer](parameter_groups(model, training), lr=training.lr)
    seconds = []
    with fast.fast_denormals():
        model.train()
        for chunk in list(epoch(rows.train, training.batch_size, 0, 0))[: STEPS + 1]:
            began = time.perf_counter()
            sum(model.losses(batch(rows.sequences, chunk, model.window), "scratch").values()).backward()
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.perf_counter() - began)
    trained = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    users = rows.test[:USERS]
    began = time.perf_counter()
    rank_model(model, rows.sequences, users)
    ranked = (time.perf_counter() - began) * USERS / len(users)
    steps = -(-len(rows.train) // training.batch_size)
    return dict(epoch=statistics.median(seconds[1:]) * steps, rank=ranked, peak_mb=trained, rows=len(rows.train))


def _alone(pipe, *given):
    try:
        pipe.send(measure(*given))
    except m4r.InputError as error:
        pipe.send(str(error))


def alone(*given):
    """``measure`` in a process of its own; None, and a word why, where the data cannot feed the model."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_alone, args=(theirs, *given))
    process.start()
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:
        found = "it ended without a word"
    process.join()
    if isinstance(found, str):
        print(f"{given[1]}: left out: {found}", file=sys.stderr)
        return None
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    given = parser.parse_args()
    machine = f"{torch.get_num_threads()} threads of {platform.machine()}, torch {torch.__version__}, {date.today()}"
    page = [
        "# Speed\n",
        f"Made by `python benchmarks/speed.py` ({machine}).",
        "Protocol `matched` (width 64, window 20), drawn features of 384 numbers, batches of 256 rows, from scratch.",
        "Plain: every batch computed whole, padding and all. An epoch is the median of seven steps times their number.",
        "A shared machine: compare lines of one table, not tables of different days.\n",
    ]
    for folder in given.folders:
        lines = []
        for name in given.models.split(","):
            now, before = alone(folder, name, False), alone(folder, name, True)
            if now and before:
                lines.append((name, now, before))
                print(json.dumps(dict(data=folder.name, model=name, now=now, plain=before)), flush=True)
        if lines:
            page += [f"## {folder.name}, {lines[0][1]['rows']:,} training rows\n"]
            columns = "epoch (s) | plain (s) | plain / now | 1,000 users ranked (s) | peak memory (MB) | plain (MB)"
            page += [f"| model | {columns} |"]
            page += ["| --- | --- | --- | --- | --- | --- | --- |"]
            for name, now, before in lines:
                cells = [f"{now['epoch']:.1f}", f"{before['epoch']:.1f}", f"{before['epoch'] / now['epoch']:.1f}"]
                cells += [f"{now['rank']:.2f}", f"{now['peak_mb']:.0f}", f"{before['peak_mb']:.0f}"]
                page.append(f"| {name} | {' | '.join(cells)} |")
            page.append("")
    PAGE.write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()
