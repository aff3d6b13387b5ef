"""Chapter 10: what does an audit of the paper's claims find? Its figures; the findings are made in ``study.audit``."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mmm4rec_lite.viz.style import COLOURS, panel, panel_row, styled

BESIDE = dict(loc="upper left", bbox_to_anchor=(1, 1), title="", frameon=False)
EPOCHS = {  # columns of the finding "epochs-to-converge" -> how the figure calls them
    "mmsrec_printed": "MMSRec, no ID",
    "missrec_with_id": "MISSRec, with ID",
    "missrec_without_id": "MISSRec, no ID",
    "mmm4rec_with_id": "MMM4Rec, with ID",
    "mmm4rec_without_id": "MMM4Rec, no ID",
}


@styled
def plot_movement(table: pd.DataFrame) -> Figure:
    """How far other time stamps move a user, fresh and trained, log scale; the table of ``dead-branch``."""
    figure, axis = panel(7, 2.6)
    look = dict(palette=COLOURS[:2], size=9, jitter=False, dodge=True, log_scale=True, ax=axis)
    sns.stripplot(table.dropna(), x="relative_change", y="form", hue="when", **look)
    axis.axvline(6e-8, color="black", ls=":", lw=1)
    axis.text(6e-8, -0.55, "float32 rounds here", ha="center", va="bottom", fontsize=8)
    axis.set(ylabel="", xlabel="movement of user vectors over their length (log scale)")
    sns.move_legend(axis, **BESIDE)
    return figure


@styled
def plot_time_signals(table: pd.DataFrame) -> Figure:
    """The gaps of one history and what the time signal D makes of them; ``audit.time_stamps.example_signals``."""
    figure, (left, right) = panel_row(2, 9, 3, sharey=False)
    gaps, signals = table.drop_duplicates("step"), table.rename(columns={"time_signal": "time signal"})
    left.bar(gaps["step"], gaps["gap_days"], color=COLOURS[7])
    left.set(xlabel="step of the history", ylabel="gap before it (days)")
    look = dict(markers=True, dashes=False, palette=COLOURS[:3], ax=right)
    sns.lineplot(signals, x="step", y="D", hue="time signal", style="time signal", **look)
    right.set(xlabel="step of the history", ylabel="time signal D (no unit)")
    sns.move_legend(right, **BESIDE, fontsize=8)
    return figure


@styled
def plot_epochs_to_best(table: pd.DataFrame) -> Figure:
    """Epochs to the best validation epoch per domain; the table of ``epochs-to-converge``."""
    long = table.rename(columns=EPOCHS).melt("dataset", list(EPOCHS.values()), "system", "epochs")
    figure, axis = panel(8, 3.2)
    palette = [COLOURS[i] for i in (7, 9, 1, 0, 3)]
    sns.barplot(long, x="dataset", y="epochs", hue="system", palette=palette, ax=axis)
    axis.set(xlabel="", ylabel="epochs to the best one (published)")
    sns.move_legend(axis, **BESIDE)
    return figure
