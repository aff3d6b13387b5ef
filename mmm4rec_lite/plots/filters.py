"""Figures of alignment, the Fourier filter and fusion. A period counts steps of a history (items), never days."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from mmm4rec_lite.plots.style import COLOURS, STYLE, captioned, empty_figure

PERIOD = "period (steps, not days)"


def alignment_bars(table, title=""):
    """Cosines of users' text and image vectors, one panel per place; a frame of ``experiments.fusion.alignment_table``.

    Bars: means over seeds; dots: the seeds.
    """
    kinds = {"own": "with the own image", "others": "with others' images"}
    long = table.melt(["form", "when", "place", "seed"], list(kinds), "text compared", "cosine")
    labels = [_label(*pair) for pair in zip(long["form"], long["when"])]
    long = long.assign(**{"text compared": long["text compared"].map(kinds), "": labels})
    order = [_label(form, when) for when in table["when"].unique() for form in table["form"].unique()]
    places = list(table["place"].unique())
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(7.5, 2.6)
        axes = figure.subplots(1, len(places), sharey=True, squeeze=False)[0]
        for axis, place in zip(axes, places):
            rows = long[long["place"] == place]
            given = dict(data=rows, x="", y="cosine", hue="text compared", order=order, ax=axis)
            sns.barplot(**given, palette=COLOURS[:2], saturation=1, errorbar=None, legend=place == places[-1])
            sns.stripplot(**given, dodge=True, palette=["black"] * 2, size=3, jitter=False, legend=False)
            axis.axhline(0, color="black", lw=1)
            axis.set(ylabel="mean cosine (-1 to 1)")
            axis.set_title(place, fontsize=10, loc="left")
            axis.tick_params(axis="x", labelsize=7)
        sns.move_legend(axes[-1], "upper left", bbox_to_anchor=(1, 1), title="a user's text", frameon=False)
    return captioned(figure, title)


def planted_rhythms(rhythms, table):
    """Planted gaps (name -> [L] seconds) and the spectra of their signals; a frame of ``fusion.rhythm_table``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(7, 0.5 + 1.05 * len(rhythms))
        grid = figure.subplots(len(rhythms), 2, sharex="col", squeeze=False)
        for (name, gaps), (left, right) in zip(rhythms.items(), grid):
            rows = table[table["customer"] == name]
            left.bar(range(1, len(gaps) + 1), gaps.tolist(), color=COLOURS[0])
            left.set(yscale="log", ylim=(10, 1e8), ylabel="gap")
            left.set_yticks([60, 3600, 86400, 60 * 86400], ["1 min", "1 h", "1 d", "60 d"], fontsize=7)
            left.minorticks_off()
            left.set_title(name, fontsize=9, loc="left")
            right.bar(rows["bin"], rows["amplitude"], color=COLOURS[1], width=0.6)
            right.set(ylim=(0, 1.08 * max(table["amplitude"].max(), 1e-9)), ylabel="amplitude")
            right.grid(False, axis="x")
        grid[-1, 0].set(xlabel="step of the history")
        grid[-1, 0].xaxis.get_major_locator().set_params(integer=True)
        _periods(grid[-1, 1], table)
    return figure


def gap_spectra(table):
    """Spectra of real gaps over what their order by chance would give, with two standard errors; ``gap_spectrum``."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(6, 2.5)
        axis = figure.subplots()
        for i, (name, rows) in enumerate(table.groupby("dataset", sort=False)):
            axis.errorbar(
                rows["bin"] + 0.06 * i,
                rows["ratio"],
                yerr=2 * rows["standard error"],
                marker="os^D"[i % 4],
                lw=1,
                color=COLOURS[i],
                capsize=3,
                label=f"{name}, {rows['users'].iloc[0]} users",
            )
        axis.axhline(1, color="black", ls=":", lw=1, label="the same gaps in any order")
        axis.set(ylabel="power over chance\n(bars: 2 s.e.)", ylim=(0, None))
        _periods(axis, table)
        axis.legend(frameon=False, fontsize=8)
    return figure


def filter_gain(table, title=""):
    """Amplitude out over amplitude in by period, a panel per data; a frame of ``experiments.fusion.gain_table``."""
    names, states = list(table["data"].unique()), list(table["when"].unique())
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(7.5, 2.4)
        axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axis, name in zip(axes, names):
            for i, state in enumerate(states):
                rows = table[(table["data"] == name) & (table["when"] == state) & (table["bin"] > 0)]
                axis.plot(rows["bin"], rows["gain"], marker="os^D"[i], color=COLOURS[i], label=state)
            axis.axhline(2, color="black", ls=":", lw=1)
            axis.set(ylim=(-0.1, None))
            axis.set_title(name, fontsize=10, loc="left")
            _periods(axis, table[table["data"] == name])
        axes[0].set(ylabel="gain: amplitude out / in")
        axes[-1].legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    return captioned(figure, title)


def filter_in_out(table):
    """Signals before and after filters: rows signals, columns filters; a frame of ``experiments.fusion.passed``."""
    kinds, names = list(table["signal"].unique()), list(table["filter"].unique())
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(0.8 + len(names) * min(2.8, 8.8 / len(names)), 0.5 + 1.25 * len(kinds))
        grid = figure.subplots(len(kinds), len(names), sharex=True, sharey=True, squeeze=False)
        for axes, kind in zip(grid, kinds):
            for axis, name in zip(axes, names):
                rows = table[(table["signal"] == kind) & (table["filter"] == name)]
                axis.bar(rows["step"], rows["in"], 0.9, color="#bbbbbb", label="in")
                axis.bar(rows["step"], rows["out"], 0.4, color=COLOURS[0], label="out")
                axis.grid(False, axis="x")
            axes[0].set(ylabel=f"{kind}\n(no unit)")
        for axis, name in zip(grid[0], names):
            axis.set_title(name, fontsize=9, loc="left")
        for axis in grid[-1]:
            axis.set(xlabel="step of the history")
        grid[0, -1].legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    return figure


def adaptive_gain(table):
    """|K| of one filter for different signals, by period, as bars from 1; columns signal, bin, period, K."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(7, 2.5)
        axis = figure.subplots()
        width = 0.8 / table["signal"].nunique()
        for i, (name, rows) in enumerate(table.groupby("signal", sort=False)):
            places = rows["bin"] + (i + 0.5) * width - 0.4
            axis.bar(places, rows["K"] - 1, width, bottom=1, color=COLOURS[i], label=name)
        axis.axhline(1, color="black", lw=1)
        axis.set(ylabel=r"$|K^t|$ (no unit)")
        _periods(axis, table)
        axis.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left", fontsize=8)
    return figure


def frequency_maps(maps):
    """What comes out (column) for each pure tone going in (row); maps: name -> [F,F] of ``analysis.frequency_map``."""
    top = max(float(values.max()) for values in maps.values())
    with plt.rc_context(STYLE):
        figure = empty_figure(0.8 + 2.3 * len(maps), 2.6)
        axes = figure.subplots(1, len(maps), sharey=True, squeeze=False)[0]
        for axis, (name, values) in zip(axes, maps.items()):
            image = axis.imshow(np.asarray(values.tolist()), vmin=0, vmax=top, cmap="viridis")
            axis.set(xlabel="bin coming out", xticks=range(0, len(values), 2), yticks=range(0, len(values), 2))
            axis.set_title(name, fontsize=9, loc="left")
        axes[0].set(ylabel="bin going in (cycles per window)")
        figure.colorbar(image, ax=axes, label="amplitude out / in", shrink=0.8)
    return figure


def reach_bars(table, title=""):
    """How far M's last step moves by one step of one stream, a panel per ``when``; frames of ``analysis.reach``."""
    states = list(table["when"].unique())
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(7.5, 2.6)
        axes = figure.subplots(1, len(states), sharey=True, squeeze=False)[0]
        for axis, state in zip(axes, states):
            rows = table[table["when"] == state].assign(**{"moved (%)": 100 * table["moved"]})
            sns.barplot(
                rows,
                x="back",
                y="moved (%)",
                hue="stream",
                palette=COLOURS[:2],
                saturation=1,
                ax=axis,
                legend=state == states[-1],
            )
            for bars in axis.containers:
                axis.bar_label(bars, fmt=lambda v: "0" if v == 0 else f"{v:.2g}" if v < 1 else f"{v:.0f}", fontsize=6)
            axis.set(xlabel="steps before the last", ylabel="M's last step moves by\n(% of its length)")
            axis.set_title(state, fontsize=10, loc="left")
            axis.invert_xaxis()
        sns.move_legend(axes[-1], "upper left", bbox_to_anchor=(1, 1), title="changed", frameon=False)
    return captioned(figure, title)


def score_bars(table):
    """Eq. 20's two dot products of one user's best items; columns item (a name), text, image (over tau)."""
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure = empty_figure(6.5, 0.9 + 0.22 * len(table))
        axis = figure.subplots()
        places = np.arange(len(table))
        for i, part in enumerate(("text", "image")):
            axis.barh(places - 0.2 + 0.4 * i, table[part], 0.38, color=COLOURS[i], label=f"user times {part} / tau")
        axis.plot(table["text"] + table["image"], places, "kD", ms=4, label="sum: the score")
        axis.axvline(0, color="black", lw=1)
        axis.set_yticks(places, table["item"], fontsize=8)
        axis.invert_yaxis()
        axis.set(xlabel="score (nats)")
        axis.legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    return figure


def _label(form, when):
    """Two words of the form, the rest, and when, each on a line of its own."""
    words = form.split()
    return "\n".join(filter(None, (" ".join(words[:2]), " ".join(words[2:]), when)))


def _periods(axis, table):
    """Bins on the axis, told as periods in steps."""
    rows = table[table["bin"] > 0].drop_duplicates("bin")
    axis.set_xticks(rows["bin"], [f"{period:.3g}" for period in rows["period"]], fontsize=7)
    axis.set_xlabel(PERIOD)
    axis.grid(False, axis="x")
