"""Batches that no model should take, and batches that every model must: all systems, all their public methods."""

from dataclasses import replace

import numpy as np
import torch

from mmm4rec_lite.models.base import Batch, Catalogue
from mmm4rec_lite.models.registry import MODELS
from mmm4rec_lite.utils.errors import InputError
from tests.support.attacks import Report

ROWS, WINDOW, B = 31, 8, 4


def catalogue(seed=0):
    """Thirty items with all that any system reads."""
    g = torch.Generator().manual_seed(seed)
    text, image = torch.randn(ROWS, 10, generator=g), torch.randn(ROWS, 12, generator=g)
    text[0] = image[0] = 0
    there = torch.arange(ROWS) % 3 > 0
    return Catalogue(text, image, there, text + 0.1, torch.rand(ROWS, 9, generator=g) < 0.4)


def systems():
    """name -> a small model of every system."""
    torch.manual_seed(0)
    found = {}
    for name, spec in MODELS.items():
        found[name] = spec.build(spec.sized(16, WINDOW), catalogue()).eval()
    extra = MODELS["mmm4rec"]
    for switch in (dict(time=False), dict(query_time=True), dict(gap_vector=True)):
        found[f"mmm4rec {switch}"] = extra.build(extra.sized(16, WINDOW, **switch), catalogue()).eval()
    return found


def legitimate(rng, window):
    """A batch that is right: any number of rows and steps, ties and enormous gaps in time, any whole type."""
    rows, most = int(rng.integers(1, 6)), int(rng.integers(1, window + 1))
    lengths = torch.from_numpy(rng.integers(1, most + 1, rows))
    steps = torch.arange(most)
    real = steps < lengths[:, None]
    items = torch.from_numpy(rng.integers(1, ROWS, (rows, most))) * real
    scale = int(rng.choice([0, 1, 60, 86_400, 10**9, 10**14]))
    start = int(rng.choice([0, -(10**9), 1_600_000_000, 10**12]))
    times = (start + torch.from_numpy(rng.integers(0, scale + 1, (rows, most))).cumsum(1)) * real
    targets = torch.from_numpy(rng.integers(1, ROWS, rows))
    requests = times.gather(1, lengths[:, None] - 1)[:, 0] + scale
    one = Batch(items, lengths, times, targets, requests)
    if rng.random() < 0.2:  # what stands behind a history is never looked at
        junk = torch.from_numpy(rng.integers(-5, 10**6, (rows, most)))
        one = replace(one, items=torch.where(real, items, junk))
    if rng.random() < 0.2:
        one = replace(one, items=one.items.int(), lengths=one.lengths.int())
    return one


def put(tensor, place, value):
    tensor = tensor.clone()
    tensor[place] = value
    return tensor


def _real(one, rng, least=0):
    """A place of a real step; None where no history has one beyond ``least``."""
    rows = (one.lengths > least).nonzero().flatten().tolist()
    if not rows:
        return None
    row = int(rng.choice(rows))
    return row, int(rng.integers(least, int(one.lengths[row])))


def _at(name, value, least=0):
    def change(one, rng):
        place = _real(one, rng, least)
        return None if place is None else replace(one, **{name: put(getattr(one, name).long(), place, value)})

    return change


def _row(name, values):
    def change(one, rng):
        row = int(rng.integers(len(one.lengths)))
        return replace(one, **{name: put(getattr(one, name).long(), row, int(rng.choice(values)))})

    return change


def _kind(name, kinds):
    return lambda one, rng: replace(one, **{name: getattr(one, name).to(kinds[int(rng.integers(len(kinds)))])})


def _shape(name, change):
    return lambda one, rng: replace(one, **{name: change(getattr(one, name))})


FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.bool]
FIELDS = ("items", "lengths", "times", "targets", "requests")
FAULTS = {
    "length 0": _row("lengths", [0]),
    "length below 0": _row("lengths", [-1, -(2**40)]),
    "length beyond the steps": lambda one, rng: _row("lengths", [one.items.shape[1] + 1, 2**40])(one, rng),
    "id beyond the catalogue": _at("items", ROWS),
    "id far beyond": _at("items", 2**40),
    "id below 0": _at("items", -1),
    "padding inside": _at("items", 0),
    "time goes back": _at("times", -(2**50), least=1),
    "time without end": _at("times", 2**62),
    "time without beginning": _at("times", -(2**63)),
    "no rows": lambda one, rng: one.take(slice(0, 0)),
    "no steps": lambda one, rng: one.take(slice(None), 0),
    "beyond the window": lambda one, rng: Batch(
        torch.ones(2, WINDOW + 3).long(),
        torch.full((2,), WINDOW + 3),
        torch.zeros(2, WINDOW + 3).long(),
        *2 * [torch.ones(2).long()],
    ),
    "NaN times": lambda one, rng: replace(one, times=one.times.float() * torch.nan),
    "a list": lambda one, rng: replace(one, items=one.items.tolist()),
    "None": lambda one, rng: replace(one, lengths=None),
    "numpy": lambda one, rng: replace(one, times=one.times.numpy()),
    "no batch": lambda one, rng: one.items,
    **{f"type of {name}": _kind(name, FLOATS) for name in FIELDS},
    **{f"device of {name}": _shape(name, lambda t: t.to("meta")) for name in FIELDS},
    "device of all": lambda one, rng: one.to("meta"),
    **{f"one axis more in {name}": _shape(name, lambda t: t.unsqueeze(0)) for name in FIELDS},
    **{f"one row more in {name}": _shape(name, lambda t: torch.cat([t, t[:1]])) for name in FIELDS},
    "one step more in times": _shape("times", lambda t: torch.cat([t, t[:, :1]], 1)),
}
OF_TARGETS = {
    "target 0": _row("targets", [0]),
    "target beyond": _row("targets", [ROWS, ROWS + 1, 2**40]),
    "target below 0": _row("targets", [-1, -(2**40)]),
}


def attack(count: int, seed: int = 0) -> Report:
    """``count`` batches, half of them with a fault: these are told in one line, right ones give finite numbers."""
    rng, report, models = np.random.default_rng(seed), Report(), systems()
    names = list(models)
    for number in range(count):
        if report.late:
            break
        name = names[number % len(names)]
        model, method = models[name], str(rng.choice(["users", "losses", "rank"]))
        stage = str(rng.choice(model.stages))
        one, what = legitimate(rng, min(WINDOW, model.window)), "right"
        if rng.random() < 0.5:
            known = FAULTS | (OF_TARGETS if method == "losses" else {})
            what = str(rng.choice(list(known)))
            one = known[what](one, rng)
            if one is None:
                report.saw("fault not possible here")
                continue
        model.train(method == "losses" and rng.random() < 0.5)
        try:
            with torch.no_grad():
                got = list(model.losses(one, stage).values()) if method == "losses" else [model.users(one)]
                if method == "rank":
                    got = [model.score(got[0])[:, 1:]]
        except InputError as error:
            fine = what != "right" and "\n" not in str(error) and len(str(error)) < 300
            report.saw("told") if fine else report.fault(f"{number} {name}.{method} {what}: {error}")
        except Exception as error:
            report.fault(f"{number} {name}.{method}({stage}) {what}: {type(error).__name__}: {str(error)[:150]}")
        else:
            alone = what == "right" and len(one.lengths) == 1 and stage == "pretrain"  # a row alone has no negatives
            finite = alone or all(bool(value.isfinite().all()) for value in got)
            fine = what == "right" and finite
            report.saw("computed") if fine else report.fault(
                f"{number} {name}.{method}({stage}) {what}: finite {finite}"
            )
    return report
