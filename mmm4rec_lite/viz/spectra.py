"""Figures of spectra and filters. A period counts steps of a history (items), never days."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmm4rec_lite.utils.typing import Float, Tensor
from mmm4rec_lite.viz import style
from mmm4rec_lite.viz.style import COLOURS, captioned, gridless, legend_beside, panel, panel_row, panels, styled


def period_axis(axis: Axes, table: pd.DataFrame) -> None:
    """Bins on the x axis, told as periods in steps; ``table`` has the columns bin and period."""
    rows = table[table["bin"] > 0].drop_duplicates("bin")
    axis.set_xticks(rows["bin"], [f"{period:.3g}" for period in rows["period"]], fontsize=7)
    axis.set_xlabel("period (steps, not days)")
    axis.grid(False, axis="x")


@styled
def gap_spectra(table: pd.DataFrame) -> Figure:
    """Spectra of real gaps over what their order by chance would give, with two standard errors; ``gap_spectrum``."""
    figure, axis = panel(6, 2.5)
    for i, (name, rows) in enumerate(table.groupby("dataset", sort=False)):
        look = dict(color=COLOURS[i], marker=style.MARKERS[i], lw=1, capsize=3, yerr=2 * rows["standard_error"])
        axis.errorbar(rows["bin"] + 0.06 * i, rows["ratio"], label=f"{name}, {rows['users'].iloc[0]} users", **look)
    axis.axhline(1, color="black", ls=":", lw=1, label="the same gaps in any order")
    axis.set(ylabel="power over chance\n(bars: 2 s.e.)", ylim=(0, None))
    period_axis(axis, table)
    axis.legend(fontsize=8)
    return figure


@styled
def filter_gain(table: pd.DataFrame, title: str = "") -> Figure:
    """Amplitude out over in by period, a panel per ``data`` and a line per ``when``; ``analysis.filter_gain``."""
    figure, parts = panels(table[table["bin"] > 0], "data", 7.5, 2.4, size=10)
    for axis, _, own in parts:
        for state, marker, colour in zip(table["when"].unique(), style.MARKERS, COLOURS):  # alike in all panels
            rows = own[own["when"] == state]
            axis.plot(rows["bin"], rows["gain"], marker=marker, color=colour, label=state)
        axis.axhline(2, color="black", ls=":", lw=1)
        period_axis(axis, own)
    parts[0][0].set(ylabel="gain: amplitude out / in", ylim=(-0.1, None))  # last: panels share it
    legend_beside(axis, fontsize=10)
    return captioned(figure, title)


@gridless
def frequency_maps(maps: Mapping[str, Float[Tensor, "F F"]]) -> Figure:
    """What comes out (column) for each pure tone going in (row): maps of ``analysis.frequency_map`` by name."""
    top = max(float(values.max()) for values in maps.values())
    figure, axes = panel_row(len(maps), 0.8 + 2.3 * len(maps), 2.6)
    for axis, (name, values) in zip(axes, maps.items()):
        image = axis.imshow(values.tolist(), vmin=0, vmax=top, cmap="viridis")
        axis.set(xlabel="bin coming out", xticks=range(0, len(values), 2), yticks=range(0, len(values), 2))
        axis.set_title(name, fontsize=9, loc="left")
    axes[0].set_ylabel("bin going in (cycles per window)")
    figure.colorbar(image, ax=axes, label="amplitude out / in", shrink=0.8)
    return figure
