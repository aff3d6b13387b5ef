"""What the operator's three forms cost by length. A tidy frame, medians of interleaved runs in one process.

Absolute seconds belong to a machine and an hour; ratios inside one frame hold on a busy machine too.
"""

import statistics
import time
from functools import partial

import pandas as pd
import torch

from mmm4rec_lite.config import scale as asked
from mmm4rec_lite.errors import KitError
from mmm4rec_lite.ssd import ssd_chunked, ssd_masked, ssd_scan

FORMS = {"scan": ssd_scan, "masked": ssd_masked, "chunked 64": partial(ssd_chunked, chunk=64)}
LENGTHS = {"quick": (64, 128, 256, 512, 1024, 2048), "full": (64, 128, 256, 512, 1024, 2048, 4096)}


def inputs(length, batch=1, heads=8, width=16, state=16, seed=0):
    """Random input of the operator by name (x, dt, A, B, C of ``ssd.py``, one group): float32, dt in (0, 1), A < 0.

    The same seed and sizes give the same numbers. Call a form with ``form(**inputs(8))``.
    """
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(seed))
    B, C = draw(2, batch, length, 1, state)
    return {
        "x": draw(batch, length, heads, width),
        "dt": draw(batch, length, heads).sigmoid(),
        "A": -draw(heads).sigmoid(),
        "B": B,
        "C": C,
    }


def scaling(lengths=None, forms=None, batch=1, rounds=5, backward=False, threads=1, **sizes):
    """Seconds of every form at every length.

    Args:
        lengths: sequence lengths; by default those of ``$MMM4REC_SCALE`` (quick or full).
        forms: name -> form of the operator; scan, masked and chunked by default.
        batch: sequences at once.
        rounds: timed runs of each form, interleaved, after one that is not counted.
        backward: time the gradients as well.
        threads: torch threads while measuring; what was set before is set again.
        sizes: heads, width, state of ``inputs``.

    Returns:
        frame: form, length, batch, seconds (median), fastest, slowest, rounds, threads.
    """
    if lengths is None:
        scale = asked()
        if scale not in LENGTHS:
            raise KitError(f"scale: {scale!r} is not known; one of {', '.join(LENGTHS)}")
        lengths = LENGTHS[scale]
    if rounds < 1:
        raise KitError(f"rounds is {rounds}; it must be at least 1")
    forms, before, lines = forms or FORMS, torch.get_num_threads(), []
    torch.set_num_threads(threads)
    try:
        for length in lengths:
            given = inputs(length, batch, **sizes)
            if backward:
                given["x"].requires_grad_()
            taken = {name: [] for name in forms}
            for _ in range(1 + rounds):
                for name, form in forms.items():
                    taken[name].append(_seconds(form, given, backward))
            for name, (_, *counted) in taken.items():
                lines.append(
                    {
                        "form": name,
                        "length": length,
                        "batch": batch,
                        "seconds": statistics.median(counted),
                        "fastest": min(counted),
                        "slowest": max(counted),
                        "rounds": rounds,
                        "threads": threads,
                    }
                )
    finally:
        torch.set_num_threads(before)
    return pd.DataFrame(lines)


def _seconds(form, given, backward):
    began = time.perf_counter()
    y = form(**given)
    if backward:
        y.sum().backward()
    return time.perf_counter() - began
