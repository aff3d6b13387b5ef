"""What the operator's three forms cost by length. A tidy frame, medians of interleaved runs in one process.

Absolute seconds belong to a machine and an hour; ratios inside one frame hold on a busy machine too.
"""

import math
import statistics
import time
from functools import partial

import numpy as np
import pandas as pd
import torch
from matplotlib.patches import Patch, Rectangle

from mmm4rec_lite.models.config import scale as asked
from mmm4rec_lite.models.ssd import ssd_chunked, ssd_masked, ssd_scan
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.style import COLOURS, empty_figure, styled

MARKERS = "osD^v"

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
            raise InputError(f"scale: {scale!r} is not known; one of {', '.join(LENGTHS)}")
        lengths = LENGTHS[scale]
    if rounds < 1:
        raise InputError(f"rounds is {rounds}; it must be at least 1")
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


@styled
def plot_memory_curves(curves, title=""):
    """What a state still holds of one impulse, step by step; ``curves``: name -> [L] (1 at the impulse)."""
    figure = empty_figure(6.5, 2.8)
    axis = figure.subplots()
    for (name, values), colour, marker in zip(curves.items(), COLOURS, MARKERS):
        values = np.asarray(values.tolist())
        axis.plot(range(len(values)), values, marker=marker, ms=4, color=colour, label=name)
    axis.axhline(0.5, color="black", lw=1, ls=":")
    axis.text(axis.get_xlim()[1], 0.51, "half", ha="right", va="bottom", fontsize=8)
    axis.set(xlabel="steps after the impulse", ylabel="what is left of it (0 to 1)", ylim=(0, 1.05), title=title)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled(grid=False)
def plot_matrix_row(matrices, row="read at step t", column="input of step s"):
    """Square matrices side by side, each with a colour bar of its own; white is 0. ``matrices``: name -> [L,L]."""
    figure = empty_figure(3.1 * len(matrices), 3.0)
    axes = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axis, (name, matrix) in zip(axes, matrices.items()):
        values = np.asarray(matrix.tolist())
        size, L = max(np.abs(values).max(), 1e-12), len(values)
        image = axis.imshow(values, vmin=-size, vmax=size, cmap="PuOr_r", extent=(0.5, L + 0.5, L + 0.5, 0.5))
        axis.set_title(name, fontsize=10)
        axis.set(xlabel=column, ylabel=row if axis is axes[0] else "")
        bar = figure.colorbar(image, ax=axis, shrink=0.8)
        if values.min() >= 0:
            bar.ax.set_ylim(0, size)
    return figure


@styled(grid=False)
def plot_chunk_map(mask, chunk):
    """How the chunked form covers a decay mask [L,L]: blocks on the diagonal directly, the rest through states."""
    L = len(mask)
    figure = empty_figure(6.5, 3.6)
    axis = figure.subplots()
    axis.imshow(np.asarray(mask.tolist()), vmin=0, vmax=1, cmap="Greys", extent=(0.5, L + 0.5, L + 0.5, 0.5))
    for start in range(0, L, chunk):
        end = min(start + chunk, L)
        axis.add_patch(
            Rectangle((start + 0.5, start + 0.5), end - start, end - start, fill=False, lw=2.5, color=COLOURS[1])
        )
        if start:
            axis.add_patch(
                Rectangle(
                    (0.5, start + 0.5),
                    start,
                    end - start,
                    fill=True,
                    lw=2,
                    alpha=0.25,
                    facecolor=COLOURS[0],
                    edgecolor=COLOURS[0],
                )
            )
    axis.set(xlabel="input of step s", ylabel="read at step t", xlim=(0.3, L + 0.7), ylim=(L + 0.7, 0.3))
    names = [
        Patch(fill=False, edgecolor=COLOURS[1], lw=2.5, label="within a chunk:\nmasked form"),
        Patch(facecolor=COLOURS[0], alpha=0.35, label="before the chunk:\none state handed over"),
    ]
    axis.legend(
        handles=names,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.05, 1),
        fontsize=9,
        title="darker: more is left\nof step s at step t",
        title_fontsize=9,
        alignment="left",
    )
    return figure


@styled
def plot_half_life_lines(rates, dt, fresh=None):
    """Half-life ln 2 / (-A dt) in steps against the step size, both log scale, a line for every decay rate A.

    ``fresh``: pairs (lowest, highest) of step size; the band in which a fresh model starts.
    """
    figure = empty_figure(6.5, 3)
    axis = figure.subplots()
    if fresh is not None:
        axis.axvspan(*fresh, color=COLOURS[7], alpha=0.2, label="step sizes of a fresh model")
    for rate, colour in zip(rates, COLOURS):
        axis.plot(dt, [math.log(2) / (-rate * size) for size in dt], color=colour, label=f"A = {rate:g}")
    axis.axhline(1, color="black", lw=1, ls=":")
    axis.set(xscale="log", yscale="log", xlabel="step size dt (no unit)", ylabel="half-life (steps)")
    axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def plot_scaling_curves(table):
    """Seconds of every form by length, both log scale, medians with the range of the runs; ``experiments.ssd.scaling``.

    Dotted lines of slope 1 and 2 start at the longest length of the cheapest and the dearest form.
    """
    figure = empty_figure(6.5, 3.6)
    axis = figure.subplots()
    for (name, rows), colour, marker in zip(table.groupby("form", sort=False), COLOURS, MARKERS):
        axis.plot(rows["length"], rows["seconds"], marker=marker, color=colour, label=name)
        axis.fill_between(rows["length"], rows["fastest"], rows["slowest"], color=colour, alpha=0.2, lw=0)
    last = table[table["length"] == table["length"].max()]["seconds"]
    lengths = np.array([table["length"].max() / 8, table["length"].max()])
    for slope, end, name in ((1, last.min(), "twice as long, 2 x"), (2, last.max(), "twice as long, 4 x")):
        axis.plot(
            lengths,
            end * (lengths / lengths[-1]) ** slope,
            color="black",
            lw=1,
            label=name,
            ls=":" if slope == 1 else "--",
        )
    axis.set_xscale("log", base=2)
    axis.set(yscale="log", xlabel="length (steps)", ylabel="seconds, median (shade: all runs)")
    axis.set_xticks(sorted(table["length"].unique()), [str(n) for n in sorted(table["length"].unique())])
    axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
