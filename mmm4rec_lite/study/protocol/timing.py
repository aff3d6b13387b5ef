"""Seconds of a training step, fit to compare: all systems in one process, in turns, so that a busy machine slows all.

Seconds per epoch that a sweep noted are those of runs that shared the machine; no verdict stands on them.
"""

import time

import pandas as pd
import torch

from mmm4rec_lite.data import batch, epoch
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.stages import fit_gaps, split
from mmm4rec_lite.study.protocol.runner import Protocol
from mmm4rec_lite.training import OPTIMIZERS, parameter_groups
from mmm4rec_lite.utils.devices import fabric

ROUNDS = 7


def step_seconds(task, systems, seeds=(0, 1, 2), setting=None, rounds=ROUNDS):
    """system, seed, seconds per step: the median over ``rounds`` turns after two to warm up.

    A step is forward, losses, backward and the optimiser's move on one batch, as in ``train.fit``, and its share of
    what the system does once per epoch of all rows.
    """
    lines = []
    for seed in seeds:
        takes = {name: _taker(task, name, seed, setting or Protocol()) for name in systems}
        spent = {name: [] for name in systems}
        for turn in range(2 + rounds):
            for name, take in takes.items():
                seconds = take(turn)
                if turn >= 2:
                    spent[name].append(seconds)
        lines += [
            {"system": name, "seed": seed, "seconds_per_step": pd.Series(values).median()}
            for name, values in spent.items()
        ]
    return pd.DataFrame(lines)


def _taker(task, name, seed, setting):
    """A function that takes the step of a turn and returns its seconds."""
    system = get_model(name)
    config, training = setting.of(system, "scratch")
    accelerator = fabric()
    torch.manual_seed(seed)
    model = system.build(config, task.catalogue)
    rows = split(task.dataset)
    fit_gaps(model, rows)
    model.to(accelerator.device).train()
    optimizer = OPTIMIZERS[training.optimizer](parameter_groups(model, training), lr=training.lr)
    chunks = list(epoch(rows.train, training.batch_size, seed, 0))

    def take(turn):
        one = batch(rows.sequences, chunks[turn % len(chunks)], model.window).to(accelerator.device)
        _settle()
        began = time.perf_counter()
        with torch.no_grad():
            model.begin_epoch()
        _settle()
        once = time.perf_counter() - began
        began = time.perf_counter()
        accelerator.backward(sum(model.losses(one, "scratch").values()))
        optimizer.step()
        optimizer.zero_grad()
        _settle()
        return time.perf_counter() - began + once / len(chunks)

    return take


def _settle():
    if torch.cuda.is_available():
        torch.cuda.synchronize()
