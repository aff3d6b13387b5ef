"""Memory over many redraws, re-opened explorers and trainings; results over shuffled orders of a small series."""

import ctypes
import gc
import tempfile
from pathlib import Path

import numpy as np
import torch

import mmm4rec_lite as m4r
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.digest import digest
from tests.support.attacks import Report, shop

MOST = 40  # MB more, of the allocator's own wobble; a leak of one model or figure a turn is far beyond


def resident() -> float:
    """MB that this process holds."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the allocator keeps for later is no leak
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def _model():
    torch.manual_seed(0)
    return MMM4Rec.from_catalogue(m4r.ModelConfig(max_len=20), shop.task().catalogue).eval()


def growth(work, times: int, first: int) -> float:
    """MB more after ``times`` calls than after the first few, which fill caches."""
    for number in range(first):
        work(number)
    before = resident()
    for number in range(times):
        work(number)
    return resident() - before


def attack(count: int, seed: int = 0) -> Report:
    """``count`` redraws of two explorers, as many re-opened and closed, and a quarter as many trainings."""
    from mmm4rec_lite.viz.explorers import filter_explorer, what_if

    report, model = Report(), _model()
    one, other = filter_explorer(), what_if(model, shop.toy(), "user00")

    def redraw(number):
        one.period1.value, other.gap.value = 3 + number % 9, 1 + number % 99

    def reopened(number):
        what_if(model, shop.toy(), "user00").close()

    with tempfile.TemporaryDirectory() as work:
        runs = [0]

        def train(number):
            runs[0] += 1
            m4r.run(shop.task(), "mmm4rec", out=Path(work, f"run{runs[0]}"), seed=seed, **shop.TINY)

        for what, way, times in (
            ("redraws", redraw, count),
            ("re-opened", reopened, count),
            ("trainings", train, count // 4),
        ):
            grown = growth(way, max(times, 5), 5)
            report.counts[f"{what}: MB more"] = round(grown)
            report.counts[what] = max(times, 5)
            report.tried += max(times, 5)
            if grown > MOST:
                report.fault(f"{what}: {grown:.0f} MB more after {times}")
    return report


def _steps():
    """What the quick series does, small: name -> a function of nothing that gives a digest."""
    from mmm4rec_lite.study import ch02_ssd, ch03_decay_masks  # noqa: F401  (what chapters do at import)
    from mmm4rec_lite.viz import style  # noqa: F401

    task, rows = shop.task(), shop.task().rows

    def trained(system):
        with tempfile.TemporaryDirectory() as work:
            done = m4r.run(task, system, out=work, **shop.TINY)
            return digest(done.ranks, done.ranks_filtered)

    def ranked():
        scorers = m4r.evaluation.counting(rows)
        table = m4r.evaluation.compare(scorers, rows.sequences, rows.test, 8, progress=False)
        return digest(table.to_json())

    def recommended():
        return digest(m4r.recommend(_model(), shop.toy(), "user07", k=5).to_json())

    def drawn():
        with tempfile.TemporaryDirectory() as work:
            file = Path(work, "f.safetensors")
            return digest(m4r.extract(shop.toy(), m4r.load_encoder("random"), file, progress=False).image)

    def saved():
        with tempfile.TemporaryDirectory() as work:
            shop.toy().save(Path(work, "shop"))
            return digest((Path(work, "shop") / "interactions.parquet").read_bytes())

    def masks():
        model, split = _model(), rows
        one = m4r.data.batch(split.sequences, split.test[:4], 20)
        return digest(model.users(one).detach())

    names = ("sasrec", "mmm4rec", "unisrec")
    steps = {f"train {name}": lambda name=name: trained(name) for name in names}
    return steps | dict(counting=ranked, recommend=recommended, features=drawn, save=saved, users=masks)


def shuffled(count: int, seed: int = 0) -> Report:
    """``count`` runs of the steps of a small series in orders by chance: each gives what it gave the first time."""
    rng, report, steps = np.random.default_rng(seed), Report(), _steps()
    wanted = {name: step() for name, step in steps.items()}
    for number in range(count):
        if report.late:
            break
        for name in rng.permutation(list(steps)):
            torch.manual_seed(int(rng.integers(2**31)))  # what runs before leaves another state
            np.random.seed(int(rng.integers(2**31)))
            report.saw("steps") if steps[name]() == wanted[name] else report.fault(f"run {number}: {name} differs")
        report.saw("shuffled runs")
    return report
