"""Figures of spectra and filters. A period counts steps of a history (items), never days."""

import numpy as np

from mmm4rec_lite.viz.style import COLOURS, captioned, empty_figure, styled

PERIOD = "period (steps, not days)"


def period_axis(axis, table):
    """Bins on the axis, told as periods in steps."""
    rows = table[table["bin"] > 0].drop_duplicates("bin")
    axis.set_xticks(rows["bin"], [f"{period:.3g}" for period in rows["period"]], fontsize=7)
    axis.set_xlabel(PERIOD)
    axis.grid(False, axis="x")


@styled
def gap_spectra(table):
    """Spectra of real gaps over what their order by chance would give, with two standard errors; ``gap_spectrum``."""
    figure = empty_figure(6, 2.5)
    axis = figure.subplots()
    for i, (name, rows) in enumerate(table.groupby("dataset", sort=False)):
        axis.errorbar(
            rows["bin"] + 0.06 * i,
            rows["ratio"],
            yerr=2 * rows["standard_error"],
            marker="os^D"[i % 4],
            lw=1,
            color=COLOURS[i],
            capsize=3,
            label=f"{name}, {rows['users'].iloc[0]} users",
        )
    axis.axhline(1, color="black", ls=":", lw=1, label="the same gaps in any order")
    axis.set(ylabel="power over chance\n(bars: 2 s.e.)", ylim=(0, None))
    period_axis(axis, table)
    axis.legend(frameon=False, fontsize=8)
    return figure


@styled
def filter_gain(table, title=""):
    """Amplitude out over amplitude in by period, a panel per data; a frame of ``experiments.fusion.gain_table``."""
    names, states = list(table["data"].unique()), list(table["when"].unique())
    figure = empty_figure(7.5, 2.4)
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, names):
        for i, state in enumerate(states):
            rows = table[(table["data"] == name) & (table["when"] == state) & (table["bin"] > 0)]
            axis.plot(rows["bin"], rows["gain"], marker="os^D"[i], color=COLOURS[i], label=state)
        axis.axhline(2, color="black", ls=":", lw=1)
        axis.set(ylim=(-0.1, None))
        axis.set_title(name, fontsize=10, loc="left")
        period_axis(axis, table[table["data"] == name])
    axes[0].set(ylabel="gain: amplitude out / in")
    axes[-1].legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    return captioned(figure, title)


@styled(grid=False)
def frequency_maps(maps):
    """What comes out (column) for each pure tone going in (row); maps: name -> [F,F] of ``analysis.frequency_map``."""
    top = max(float(values.max()) for values in maps.values())
    figure = empty_figure(0.8 + 2.3 * len(maps), 2.6)
    axes = figure.subplots(1, len(maps), sharey=True, squeeze=False)[0]
    for axis, (name, values) in zip(axes, maps.items()):
        image = axis.imshow(np.asarray(values.tolist()), vmin=0, vmax=top, cmap="viridis")
        axis.set(xlabel="bin coming out", xticks=range(0, len(values), 2), yticks=range(0, len(values), 2))
        axis.set_title(name, fontsize=9, loc="left")
    axes[0].set(ylabel="bin going in (cycles per window)")
    figure.colorbar(image, ax=axes, label="amplitude out / in", shrink=0.8)
    return figure
