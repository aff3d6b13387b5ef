"""Seconds per epoch and per 1,000 users ranked, and peak memory, of every model: ``benchmarks/speed.md``.

    OMP_PROC_BIND=true OMP_PLACES=cores python benchmarks/speed.py FOLDER... [--models NAMES] [--rectools PYTHON]

FOLDER: a dataset folder (``mmm4rec-lite data ...``). Features are drawn, 384 numbers for texts and pictures each: a
timing, no result. Protocol ``matched``: width 64, window 20, batches of 256 rows, one thread or as many as
OMP_NUM_THREADS says. Seconds are those of the processor, which bear a busy machine. An epoch is the median of some
steps times their number; "plain" is the same with every batch computed whole, padding and all. Each line has a process
of its own, for its peak memory, and is kept with its date in ``results/speed.json``, from which the page is made: a
call renews the lines that it is asked for. ``--curves``: a step by length and by number of items. ``--rectools``: also
RecTools' SASRec, by an interpreter that has it, beside an epoch of ours. The authors' public MMM4Rec: public_code.py.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import torch

import mmm4rec_lite as m4r
from mmm4rec_lite.data.batches import batch, epoch
from mmm4rec_lite.evaluation import rank_model
from mmm4rec_lite.features import Features
from mmm4rec_lite.models import base, fast
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.models.registry import MODELS
from mmm4rec_lite.runs import fit_gaps
from mmm4rec_lite.training import OPTIMIZERS, fit, parameter_groups

PAGE, WIDTH, STEPS = Path(__file__).with_name("speed.md"), 384, 7
STORE, USERS = PAGE.with_name("results") / "speed.json", 1_000
HEAD = """# Speed

Made by `python benchmarks/speed.py` from `results/speed.json`.
Protocol `matched` (width 64, window 20), drawn features of 384 numbers, batches of 256 rows, from scratch.
Plain: every batch computed whole, padding and all. An epoch is the median of seven steps times their number. Seconds
are those of the processor (all threads added up) where a line does not say otherwise: other work on the machine
stretches them less than the clock's. Compare lines of one date. Pictures are drawn for all data;
where there are no times the time branch is off, and systems that cannot do without it are left out.

Published: RecBole's own table has 17.78 s for an epoch of SASRec on MovieLens-1M with a window of 20, on its GPU.
"""
COLUMNS = {
    "model": "{}",
    "epoch (s)": "{:.1f}",
    "plain (s)": "{:.1f}",
    "plain / now": "{:.1f}",
    "1,000 users ranked (s)": "{:.2f}",
    "peak memory (MB)": "{:.0f}",
    "plain (MB)": "{:.0f}",
    "measured": "{}",
}
CURVES = ("sasrec", "mamba4rec", "mmm4rec")


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
    with fast.fast_denormals(), fast.kept_memory():
        model.train()
        for chunk in list(epoch(rows.train, training.batch_size, 0, 0))[: STEPS + 1]:
            began = time.process_time()
            sum(model.losses(batch(rows.sequences, chunk, model.window), "scratch").values()).backward()
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.process_time() - began)
    trained = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    users = rows.test[:USERS]
    began = time.process_time()
    rank_model(model, rows.sequences, users)
    ranked = (time.process_time() - began) * USERS / len(users)
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


def all_positions(folder):
    """Seconds of an epoch of our SASRec with the loss at every position, as RecTools has it."""
    task, spec = drawn_task(folder), m4r.get_model("sasrec")
    training = m4r.TrainConfig(batch_size=128, supervise="all_positions")
    seconds = []
    for epochs in (1, 2):
        model = spec.build(spec.sized(64, 20, n_heads=1), task.catalogue)
        began = time.process_time()
        fit(model, task.rows.sequences, task.rows.train, training.replace(epochs=epochs), progress=False)
        seconds.append(time.process_time() - began)
    return seconds[1] - seconds[0]


def beside_rectools(folder, python):
    """A line: an epoch of RecTools' SASRec and of ours."""
    with tempfile.TemporaryDirectory() as place:
        file, script = Path(place, "interactions.csv"), Path(__file__).with_name("rectools_sasrec.py")
        m4r.load_dataset(folder).interactions[["user", "item", "timestamp"]].to_csv(file, index=False)
        said = subprocess.run(
            [python, script, file, "0", "3"], check=True, capture_output=True, text=True, cwd=place
        ).stdout
    rows = m4r.leave_one_out(m4r.load_dataset(folder))
    targets = rows.sequences.first[rows.train].unique(return_counts=True)[1]
    counts = dict(their_rows=targets.clamp(max=20).sum().item(), our_rows=len(rows.train))
    return dict(theirs=json.loads(said.splitlines()[-1])["epoch"], ours=all_positions(folder)) | counts


def curves():
    """Milliseconds of a training step of 64 rows by window and by number of items, all windows full."""
    sizes = [(L, 4_000) for L in (10, 20, 50, 100)] + [(20, K) for K in (1_000, 16_000, 64_000)]
    return [dict(steps=L, items=K, **{name: step_of(name, L, K) for name in CURVES}) for L, K in sizes]


def step_of(name, window, items, rows=64):
    """Milliseconds, at best of four."""
    draw = torch.nn.functional.normalize(torch.randn(2, items + 1, 64), dim=-1)
    spec = m4r.get_model(name)
    model = spec.build(spec.sized(64, window), base.Catalogue(*draw, torch.ones(items + 1, dtype=torch.bool)))
    optimizer, seconds = OPTIMIZERS["nadam"](parameter_groups(model, m4r.TrainConfig()), lr=1e-4), []
    histories = torch.randint(1, items + 1, (rows, window))
    times = 3600 * torch.arange(window).expand(rows, window)
    one = base.Batch(histories, torch.full((rows,), window), times, histories[:, 0], times[:, -1])
    for _ in range(5):
        began = time.process_time()
        sum(model.losses(one, "scratch").values()).backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - began)
    return 1000 * min(seconds[1:])


def table(columns, rows):
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]


def write_page(store):
    """``speed.md`` from all lines."""
    page = [HEAD]
    for name, data in store["data"].items():
        page += [f"## {name}, {data['rows']:,} training rows\n"]
        values = [
            (model, v["epoch"], v["plain"], v["plain"] / v["epoch"], v["rank"], v["peak"], v["plain_peak"], v["when"])
            for model, v in data["lines"].items()
        ]
        page += [*table(list(COLUMNS), [[f.format(v) for f, v in zip(COLUMNS.values(), row)] for row in values]), ""]
    if store["rectools"]:
        page += ["## Beside RecTools 0.19\n"]
        page += ["SASRec, width 64, window 20, 2 blocks of one head, 128 sequences a batch, loss over all items at"]
        page += [
            "every position. RecTools, in a process of its own, supervises the latest 20 positions of each user, ours"
        ]
        page += ['(`supervise="all_positions"`) every position of every history.\n']
        rows = []
        for name, v in store["rectools"].items():
            each = [1e3 * v["theirs"] / v["their_rows"], 1e3 * v["ours"] / v["our_rows"]]
            cells = [f"{v['theirs']:.1f}", f"{v['their_rows']:,}", f"{v['ours']:.1f}", f"{v['our_rows']:,}"]
            rows.append([name, *cells, f"{each[0] / each[1]:.1f}", v["when"]])
        columns = ["data", "RecTools epoch (s)", "targets", "ours (s)", "targets", "RecTools / ours, by target"]
        page += [*table([*columns, "measured"], rows), ""]
    if store["curves"]:
        page += ["## By length and by catalogue\n", "Milliseconds of a training step of 64 full windows, width 64.\n"]
        rows = [
            [f"{v['steps']}", f"{v['items']:,}", *(f"{v[n]:.0f}" for n in CURVES)] for v in store["curves"]["lines"]
        ]
        page += [*table(["window", "items", *CURVES], rows), "", f"Measured: {store['curves']['when']}.", ""]
    PAGE.write_text("\n".join(page), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--rectools", metavar="PYTHON", help="an interpreter that has rectools[torch]")
    parser.add_argument("--curves", action="store_true", help="cost by length and by number of items")
    given = parser.parse_args()
    when = f"{date.today()}, {torch.get_num_threads()} threads of {platform.machine()}, torch {torch.__version__}"
    store = json.loads(STORE.read_text()) if STORE.exists() else {"data": {}, "rectools": {}, "curves": {}}

    def keep(what, name, line):
        what[name] = {**line, "when": when}
        print(json.dumps({name: line}), flush=True)
        STORE.write_text(json.dumps(store, indent=1), encoding="utf-8")
        write_page(store)

    for folder in given.folders:
        for name in filter(None, given.models.split(",")):
            now, before = alone(folder, name, False), alone(folder, name, True)
            if now and before:
                data = store["data"].setdefault(folder.name, dict(rows=now["rows"], lines={}))
                line = dict(epoch=now["epoch"], plain=before["epoch"], rank=now["rank"])
                keep(data["lines"], name, line | dict(peak=now["peak_mb"], plain_peak=before["peak_mb"]))
        if given.rectools:
            keep(store["rectools"], folder.name, beside_rectools(folder, given.rectools))
    if given.curves:
        keep(store, "curves", dict(lines=curves()))
    write_page(store)


if __name__ == "__main__":
    main()
