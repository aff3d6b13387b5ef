"""Seconds of a training step, fit to compare: all systems in one process, in turns, so that a busy machine slows all.

Seconds per epoch that a sweep noted are those of runs that shared the machine; no verdict stands on them.
"""

import time
from collections.abc import Callable, Sequence
from statistics import median

import pandas as pd
import torch

from mmm4rec_lite.data import batch, epoch
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.runs import Protocol, Task, initial_model
from mmm4rec_lite.training import OPTIMIZERS, parameter_groups
from mmm4rec_lite.utils.devices import device

ROUNDS = 7


def step_seconds(
    task: Task,
    systems: Sequence[str],
    seeds: Sequence[int] = (0, 1, 2),
    protocol: Protocol | None = None,
    rounds: int = ROUNDS,
) -> pd.DataFrame:
    """system, seed, seconds_per_step: the median over ``rounds`` turns after two to warm up.

    A step is forward, losses, backward and the optimiser's move on one batch, as in ``fit``, and its share of what the
    system does once per epoch of all rows.
    """
    lines = []
    for seed in seeds:
        takes = {name: _taker(task, name, seed, protocol or Protocol("matched")) for name in systems}
        turns = [{name: take(turn) for name, take in takes.items()} for turn in range(2 + rounds)]
        lines += [(name, seed, median(turn[name] for turn in turns[2:])) for name in systems]
    return pd.DataFrame(lines, columns=["system", "seed", "seconds_per_step"])


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """Median of ``repeats`` timed calls after one to warm up, the device waited for."""
    return median([_seconds(call) for _ in range(repeats + 1)][1:])


def _taker(task, name, seed, protocol):
    """A function that takes the step of a turn and returns its seconds."""
    _, training = protocol.settings(get_model(name), "scratch")
    model = initial_model(task, name, protocol, seed=seed).to(device()).train()
    optimizer = OPTIMIZERS[training.optimizer](parameter_groups(model, training), lr=training.lr)
    chunks = list(epoch(task.rows.train, training.batch_size, seed, 0))

    def step(one):
        sum(model.losses(one, "scratch").values()).backward()
        optimizer.step()
        optimizer.zero_grad()

    def take(turn):
        one = batch(task.rows.sequences, chunks[turn % len(chunks)], model.window).to(device())
        with torch.no_grad():
            once = _seconds(model.begin_epoch)
        return _seconds(lambda: step(one)) + once / len(chunks)

    return take


def _seconds(call):
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    began = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - began
