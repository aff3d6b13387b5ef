"""Chapter 2: why do the operator's three forms give the same output, and which is fastest at which length?

Seconds are medians of interleaved runs in one process, of one thread its own: ratios hold on a busy machine too.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from mmm4rec_lite.models.ssd import ssd_chunked, ssd_masked, ssd_scan
from mmm4rec_lite.study.protocol.presets import by_scale
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.typing import Float, Tensor
from mmm4rec_lite.viz.masks import mask_colours, past
from mmm4rec_lite.viz.style import COLOURS, gridless, legend_beside, panel, panel_row, styled

MARKERS = "osD^v"
FORMS: dict[str, Callable[..., Tensor]] = {
    "scan": ssd_scan,
    "masked": ssd_masked,
    "chunked 32": partial(ssd_chunked, chunk=32),
}
ONE_PLACE = ((1,), (1,), (1,))  # B or C of three steps whose state is a number
LENGTHS = {"quick": (64, 128, 256, 512, 1024, 2048), "full": (64, 128, 256, 512, 1024, 2048, 4096)}


def by_hand(
    x: Sequence[float] = (1, 2, 3),
    a: float = 0.5,
    B: Sequence[Sequence[float]] = ONE_PLACE,
    C: Sequence[Sequence[float]] = ONE_PLACE,
) -> pd.DataFrame:
    """A recurrence on paper, a row per step: x, kept (a times the state before), written (x B), state, read (by C)."""
    state, rows = np.zeros(len(B[0])), []
    for t, (x_t, B_t, C_t) in enumerate(zip(x, B, C), 1):
        kept, written = a * state, x_t * np.array(B_t)
        state = kept + written
        rows.append((t, x_t, kept.tolist(), written.tolist(), state.tolist(), float(state @ np.array(C_t))))
    return pd.DataFrame(rows, columns=["step", "x", "kept", "written", "state", "read"])


@styled
def plot_memory_curves(curves: dict[str, Float[Tensor, " L"]], title: str = "") -> Figure:
    """What a state still holds of one impulse, step by step; ``curves``: name -> values (1 at the impulse)."""
    figure, axis = panel(6.5, 2.8)
    for (name, values), colour, marker in zip(curves.items(), COLOURS, MARKERS):
        axis.plot(range(len(values)), np.asarray(values.tolist()), marker=marker, ms=4, color=colour, label=name)
    axis.axhline(0.5, color="black", lw=1, ls=":")
    axis.text(axis.get_xlim()[1], 0.51, "half", ha="right", va="bottom", fontsize=8)
    axis.set(xlabel="steps after the impulse", ylabel="what is left of it (0 to 1)", ylim=(0, 1.05), title=title)
    axis.locator_params("x", integer=True)
    legend_beside(axis, fontsize=9)
    return figure


@gridless
def plot_matrix_row(matrices: dict[str, Float[Tensor, "L L"]]) -> Figure:
    """Square matrices (name -> values) side by side: decay masks in the colours of `viz.mask_map`, from 0 to 1, others
    white at 0, each with a colour bar of its own; the future of what has none is grey."""
    figure, axes = panel_row(len(matrices), 3.3 * len(matrices), 3.0, sharey=False)
    for axis, (name, matrix) in zip(axes, matrices.items()):
        size, end = max(float(matrix.abs().max()), 1e-12), len(matrix) + 0.5
        causal, is_mask = not matrix.triu(1).any(), bool((matrix >= 0).all())
        signed = mask_colours("PuOr_r").with_extremes(bad="0.6")
        colours, least, most = (mask_colours(), 0.0, 1.0) if is_mask else (signed, -size, size)
        values, place = past(matrix) if causal else matrix.tolist(), (0.5, end, end, 0.5)
        image = axis.imshow(values, cmap=colours, vmin=least, vmax=most, extent=place)
        axis.set_title(name, fontsize=10)
        future = " (grey: the future)" if causal else ""
        axis.set(xlabel=f"input of step s{future}", ylabel="read at step t" if axis is axes[0] else "")
        figure.colorbar(image, ax=axis, shrink=0.8, label="what is left (0 to 1)" if is_mask else "weight (signed)")
    return figure


@gridless
def plot_chunk_map(mask: Float[Tensor, "L L"], chunk: int) -> Figure:
    """How the chunked form covers a decay mask: blocks on the diagonal directly, the rest through states."""
    L = len(mask)
    figure, axis = panel(6.5, 3.6)
    axis.imshow(np.asarray(mask.tolist()), vmin=0, vmax=1, cmap="Greys", extent=(0.5, L + 0.5, L + 0.5, 0.5))
    within = dict(fill=False, edgecolor=COLOURS[1], lw=2.5)
    before = dict(fill=True, facecolor=COLOURS[0], edgecolor=COLOURS[0], lw=2, alpha=0.25)
    for start in range(0, L, chunk):
        size = min(chunk, L - start)
        axis.add_patch(Rectangle((start + 0.5, start + 0.5), size, size, **within))
        if start:
            axis.add_patch(Rectangle((0.5, start + 0.5), start, size, **before))
    axis.set(xlabel="input of step s", ylabel="read at step t", xlim=(0.3, L + 0.7), ylim=(L + 0.7, 0.3))
    direct = Patch(**within, label="within a chunk:\nmasked form")
    names = [direct, Patch(facecolor=COLOURS[0], alpha=0.35, label="before the chunk:\none state handed over")]
    title = dict(title="darker: more is left\nof step s at step t", title_fontsize=9, alignment="left")
    legend_beside(axis, handles=names, bbox_to_anchor=(1.05, 1), fontsize=9, **title)
    return figure


@styled
def plot_half_life_lines(
    rates: Sequence[float], dt: Sequence[float], fresh: tuple[float, float] | None = None
) -> Figure:
    """Half-life ln 2 / (-A dt) in steps by step size, a line for every decay rate A; ``fresh``: a fresh model's."""
    figure, axis = panel(6.5, 3)
    if fresh is not None:
        axis.axvspan(*fresh, color=COLOURS[7], alpha=0.2, label="step sizes of a fresh model")
    for rate, colour in zip(rates, COLOURS):
        axis.plot(dt, [math.log(2) / (-rate * size) for size in dt], color=colour, label=f"A = {rate:g}")
    axis.axhline(1, color="black", lw=1, ls=":")
    axis.set(xscale="log", yscale="log", xlabel="step size dt (no unit)", ylabel="half-life (steps)")
    legend_beside(axis, fontsize=9)
    return figure


def inputs(
    length: int, batch: int = 1, heads: int = 8, width: int = 16, state: int = 16, groups: int = 1, seed: int = 0
) -> dict[str, Tensor]:
    """Random input of a form by name (x, dt, A, B, C of ``ssd.py``): float32, dt in (0, 1), A < 0."""
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(seed))
    B, C = draw(2, batch, length, groups, state)
    x, dt = draw(batch, length, heads, width), draw(batch, length, heads).sigmoid()
    return {"x": x, "dt": dt, "A": -draw(heads).sigmoid(), "B": B, "C": C}


def scaling(
    lengths: Sequence[int] | None = None,
    forms: Mapping[str, Callable[..., Tensor]] = FORMS,
    batch: int = 1,
    rounds: int = 5,
    backward: bool = False,
    threads: int = 1,
    **sizes: int,
) -> pd.DataFrame:
    """form, length, batch, seconds (median), fastest, slowest, rounds, threads: a row per form and length.

    Parameters
    ----------
    lengths: steps; by default those of ``$MMM4REC_SCALE`` (quick or full).
    rounds: timed runs of each form, interleaved, after one that is not counted.
    backward: time the gradients of all inputs as well.
    threads: torch threads while measuring.
    sizes: heads, width, state, groups of `inputs`.
    """
    if lengths is None:
        lengths = by_scale(LENGTHS)
    if rounds < 1:
        raise InputError(f"rounds is {rounds}; it must be at least 1")
    before, lines = torch.get_num_threads(), []
    clock = time.process_time if threads == 1 else time.perf_counter
    torch.set_num_threads(threads)
    try:
        for length in lengths:
            given = {name: v.requires_grad_(backward) for name, v in inputs(length, batch, **sizes).items()}
            turn = lambda given=given: {name: _seconds(form, given, backward, clock) for name, form in forms.items()}
            turns = [turn() for _ in range(1 + rounds)]
            for name in forms:
                taken = [turn[name] for turn in turns[1:]]
                spread = statistics.median(taken), min(taken), max(taken)
                lines.append((name, length, batch, *spread, rounds, threads))
    finally:
        torch.set_num_threads(before)
    columns = ["form", "length", "batch", "seconds", "fastest", "slowest", "rounds", "threads"]
    return pd.DataFrame(lines, columns=columns)


def _seconds(form, given, backward, clock):
    began = clock()
    y = form(**given)
    if backward:
        y.sum().backward()
    return clock() - began


def doublings(seconds: pd.DataFrame) -> pd.DataFrame:
    """Milliseconds by length (rows, doubling) and form (columns), and by what each grows from row to row."""
    factor = seconds / seconds.shift()
    return pd.concat({"milliseconds": (1000 * seconds).round(2), "factor per doubling": factor.round(1)}, axis=1)


@styled
def plot_scaling_curves(table: pd.DataFrame) -> Figure:
    """Seconds of every form by length, medians with the range of the runs, and slopes 1 and 2; a frame of `scaling`."""
    figure, axis = panel(6.5, 3.6)
    for (name, rows), colour, marker in zip(table.groupby("form", sort=False), COLOURS, MARKERS):
        axis.plot(rows["length"], rows["seconds"], marker=marker, color=colour, label=name)
        axis.fill_between(rows["length"], rows["fastest"], rows["slowest"], color=colour, alpha=0.2, lw=0)
    longest = table["length"].max()
    last, lengths = table.loc[table["length"] == longest, "seconds"], np.array([longest / 8, longest])
    for slope, end, style in ((1, last.min(), ":"), (2, last.max(), "--")):
        label = f"twice as long, {2**slope} x"
        axis.plot(lengths, end * (lengths / longest) ** slope, color="black", lw=1, label=label, ls=style)
    axis.set_xscale("log", base=2)
    axis.set(yscale="log", xlabel="length (steps)", ylabel="seconds, median (shade: all runs)")
    ticks = sorted(table["length"].unique())
    axis.set_xticks(ticks, [str(length) for length in ticks])
    legend_beside(axis, fontsize=9)
    return figure
