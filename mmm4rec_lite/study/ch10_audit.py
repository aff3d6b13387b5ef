"""Figures of this chapter."""

import seaborn as sns

from mmm4rec_lite.viz.style import COLOURS, empty_figure, styled


@styled
def plot_movement(table):
    """How far other time stamps move a user, fresh and trained, log scale; the table of ``dead-branch``."""
    figure = empty_figure(7, 2.6)
    axis = figure.subplots()
    sns.stripplot(
        table.dropna(),
        x="users moved by other gaps",
        y="form",
        hue="when",
        palette=COLOURS[:2],
        size=9,
        jitter=False,
        dodge=True,
        log_scale=True,
        ax=axis,
    )
    axis.axvline(6e-8, color="black", ls=":", lw=1)
    axis.text(6e-8, -0.55, "float32 rounds here", ha="center", va="bottom", fontsize=8)
    axis.set(ylabel="", xlabel="movement of user vectors over their length (log scale)")
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title="", frameon=False)
    return figure


@styled
def plot_time_signals(table):
    """The gaps of one history and what the time signal D makes of them; a frame of ``audit.times.example_signals``."""
    figure = empty_figure(9, 3)
    left, right = figure.subplots(1, 2)
    gaps = table.drop_duplicates("step")
    left.bar(gaps["step"], gaps["gap in days"], color=COLOURS[7])
    left.set(xlabel="step of the history", ylabel="gap before it (days)")
    sns.lineplot(
        table,
        x="step",
        y="D",
        hue="time signal",
        style="time signal",
        markers=True,
        dashes=False,
        palette=COLOURS[:3],
        ax=right,
    )
    right.set(xlabel="step of the history", ylabel="time signal D (no unit)")
    sns.move_legend(right, "upper left", bbox_to_anchor=(1, 1), title="", frameon=False, fontsize=8)
    return figure


@styled
def plot_epochs_to_best(table):
    """Epochs to the best validation epoch per domain; the table of the audit's ``epochs-to-converge``."""
    columns = {
        "MMSRec (printed)": "MMSRec, no ID",
        "MISSRec with ID, log": "MISSRec, with ID",
        "MISSRec without ID, log": "MISSRec, no ID",
        "MMM4Rec with ID, best epoch": "MMM4Rec, with ID",
        "MMM4Rec without ID, best epoch": "MMM4Rec, no ID",
    }
    long = table.rename(columns=columns).melt("dataset", list(columns.values()), "system", "epochs")
    figure = empty_figure(8, 3.2)
    axis = figure.subplots()
    sns.barplot(long, x="dataset", y="epochs", hue="system", palette=[COLOURS[i] for i in (7, 9, 1, 0, 3)], ax=axis)
    axis.set(xlabel="", ylabel="epochs to the best one (published)")
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title="", frameon=False)
    return figure
