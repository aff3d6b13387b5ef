"""The paper's figures and tables in its layout, published beside measured: PDF, SVG and csv with provenance.

A cell is measured where stored runs have the same dataset and system; where none has the dataset, it is "not to be had
here", where some have it without the system, "not run". Data that the paper does not have stand below its rows.
"""

from importlib.metadata import version
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from mmm4rec_lite import published
from mmm4rec_lite.models.config import METRICS
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.published import TARGETS
from mmm4rec_lite.study import ch06_truncation as ch06
from mmm4rec_lite.study import ch07_convergence as ch07
from mmm4rec_lite.study import drawings
from mmm4rec_lite.study.protocol.experiments import COLUMNS, FULL
from mmm4rec_lite.study.protocol.results import caption, listed, stopped_early, tidy
from mmm4rec_lite.study.protocol.scale import SCALES
from mmm4rec_lite.utils.files import atomic
from mmm4rec_lite.viz.results import convergence_curves
from mmm4rec_lite.viz.style import COLOURS, empty_figure, gridless

MEASURED, NOT_RUN, NOT_HERE = "measured", "not run", "not to be had here"
CUT = "cut before its patience ran out"  # its best epoch is not known
GAIN = "improvement %"  # a column that is published alone
COUNT = "count"  # the one row of a dataset in Table 1
SHOWN = {COUNT: "", "recall@10": "R@10", "recall@50": "R@50", "ndcg@10": "N@10", "ndcg@50": "N@50"}
COSTS = {"epochs": "best_epoch", "seconds_per_step": "seconds_per_step"}  # an epoch's seconds are no clean timing
COUNTS = {"users": "n_test_rows", "items": "n_items"}
TABLES = {  # table -> its title, the experiment that measures it
    1: ("Statistics of the data", "comparison"),
    2: ("Systems with ids", "comparison"),
    3: ("Systems without ids", "comparison"),
    4: ("Epochs to the best one; seconds per epoch, measured here per step", "table4"),
    5: ("Ablation", "table5"),
    6: ("Items that have a picture", "table6"),
}
FORMS = {4: {"mmsrec": "MMSRec", "missrec+id": "MISSRec", FULL: "MMM4Rec"}, **COLUMNS}  # columns that are systems
MADE = f"mmm4rec-lite {version('mmm4rec-lite')}, figures; published: arXiv 2506.02916v4 and the authors' logs"
ABOUT = ["stage", "scale", "protocol", "d_model", "n_test_rows", "date"]
SHARE = 0.97  # Figure 2: of what SASRec has with 20 items on Kindle it has with 5


def table_cells(table: int, runs: pd.DataFrame) -> pd.DataFrame:
    """One table's cells, published and measured: dataset, row, column, published, measured, seed_spread, n_seeds,
    difference (measured - published), status, then how it was measured and both sources."""
    keys = ["dataset", "row", "column"]
    printed = published.paper(table)
    if table == 1:
        printed = printed.assign(row=COUNT)
    printed = printed.drop(columns="table").rename(columns={"value": "published", "source": "published_source"})
    own = _measured(table, runs)
    cells = printed.merge(own, on=keys, how="outer", sort=False)
    order = [*dict.fromkeys([*printed["dataset"], *own["dataset"]])]
    places = [cells["dataset"].map(order.index)]
    for key in keys[1:]:
        names = [*dict.fromkeys([*printed[key], *own[key]])]
        places.append(cells[key].map(names.index))
    cells = cells.iloc[pd.concat(places, axis=1).set_axis(keys, axis=1).sort_values(keys).index].reset_index(drop=True)
    here = cells["dataset"].isin(set(runs["dataset"]))
    cells["status"] = here.map({True: NOT_RUN, False: NOT_HERE}).where(cells["measured"].isna(), MEASURED)
    cells["status"] = cells["status"].mask(cells.pop("cut").eq(True), CUT)
    return cells.assign(table=table, difference=cells["measured"] - cells["published"])


def _measured(table, runs):
    """The most thorough runs (pre-trained before from scratch, then by scale) of each dataset and column, by cell."""
    experiment, rows = TABLES[table][1], tidy(runs)
    rows = rows[rows["experiment"] == experiment]
    rows = rows[rows["variant"].eq("") | (table == 5)]
    column = rows["variant"].replace("", "MMM4Rec") if table == 5 else rows["system"].map(FORMS.get(table, str))
    rows = rows.assign(column=COUNT if table == 1 else column)
    names = COUNTS if table == 1 else COSTS if table == 4 else dict(zip(METRICS, METRICS))
    scale = rows["scale"].map({name: i for i, name in enumerate(SCALES)}).astype(float).fillna(-1)
    rows = rows.assign(thorough=scale + 10 * rows["stage"].eq("finetune"))[rows["column"].notna()]
    best = rows.groupby(["dataset", "column"])["thorough"].transform("max")
    lines = []
    for (dataset, column), own in rows[rows["thorough"] == best].groupby(["dataset", "column"], sort=False):
        about = {name: listed(own, name) for name in ABOUT} | {"n_seeds": own["seed"].nunique()}
        for row, name in names.items():
            value = dict(measured=own[name].mean(), seed_spread=own[name].std() if table > 1 else None, cut=False)
            if name == "best_epoch" and stopped_early(own).any():
                value = dict(measured=float("nan"), seed_spread=None, cut=True)
            place = dict(row=COUNT, column=row) if table == 1 else dict(row=row, column=column)
            lines.append(dict(dataset=dataset) | place | value | about)
    columns = ["dataset", "row", "column", "measured", "seed_spread", "cut", "n_seeds", *ABOUT]
    source, cells = f"benchmarks/results/comparison.csv, experiment {experiment}", pd.DataFrame(lines, columns=columns)
    return cells[cells["measured"].notna() | cells["cut"].eq(True)].assign(measured_source=source)


@gridless
def plot_table(cells: pd.DataFrame, title: str) -> Figure:
    """A table in the paper's layout: published above (black), measured below it (blue); what is missing in words."""
    columns = list(dict.fromkeys(cells["column"]))
    rows = list(dict.fromkeys(zip(cells["dataset"], cells["row"])))
    width, height = 2.4 + 0.92 * len(columns), 1.35 + 0.36 * len(rows)
    figure = empty_figure(max(width, 8), height, layout="none")
    axis = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    axis.set(xlim=(0, max(width, 8)), ylim=(height, 0))
    axis.set_axis_off()
    note = f"black: published; blue: measured here, means over seeds; -: {NOT_RUN}; cut: {CUT}"
    axis.text(0, 0.2, title, fontsize=10, va="center")
    axis.text(0, 0.45, note, fontsize=8, va="center", color="#555555")
    for i, column in enumerate(columns):
        axis.text(2.85 + 0.92 * i, 0.93, column.replace("_", "\n"), ha="center", va="center", fontsize=8, weight="bold")
    known = cells.set_index(["dataset", "row", "column"])
    missing = cells.groupby("dataset")["status"].agg(lambda status: not {MEASURED, CUT} & set(status))
    before = None
    for j, (dataset, row) in enumerate(rows):
        y = 1.25 + 0.36 * j
        if dataset != before:
            axis.plot([0, max(width, 8)], [y - 0.17] * 2, color="#999999", lw=0.6)
            own = cells[cells["dataset"] == dataset]
            how = [f"{listed(own, 'scale')}, {listed(own, 'protocol')}", _stages(own)]
            how = [] if row == COUNT else [*how, f"seeds: {listed(own, 'n_seeds')}"]
            for k, words in enumerate([own["status"].iloc[0]] if missing[dataset] else how):
                axis.text(0, y + 0.16 * (k + 1), words, fontsize=6.5, color=COLOURS[0], va="center")
            axis.text(0, y, str(dataset), fontsize=8, va="center")
            before = dataset
        axis.text(1.75, y, SHOWN.get(row, row.replace("_", " ")), fontsize=7.5, va="center", ha="center")
        for i, column in enumerate(columns):
            if (dataset, row, column) not in known.index:
                continue
            cell = known.loc[(dataset, row, column)]
            for value, up, colour in ((cell["published"], -0.08, "black"), (cell["measured"], 0.08, COLOURS[0])):
                untold = "-" if colour != "black" and not missing[dataset] and column != GAIN else ""
                untold = "cut" if untold and cell["status"] == CUT else untold
                told = _number(value, column) if pd.notna(value) else untold
                axis.text(2.85 + 0.92 * i, y + up, told, ha="center", va="center", fontsize=7, color=colour)
    return figure


def _stages(cells):
    names = {"scratch": "from scratch", "finetune": "pre-trained"}
    elsewhere = cells[cells["column"] != get_model("s3rec").title]  # which pre-trains on the data themselves
    return " and ".join(names.get(stage, stage) for stage in elsewhere["stage"].dropna().unique())


def _number(value, column):
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) < 1 and column != GAIN else f"{value:.2f}"


def curves_of(dataset: str, runs: pd.DataFrame) -> pd.DataFrame:
    """The curves of one dataset, as chapter 7 has them: the authors' logs, and every system measured on it."""
    logs = ch07.published_curves()
    parts = logs[logs["panel"] == dataset], ch07.measured_curves(runs[runs["dataset"] == dataset])
    return pd.concat([part for part in parts if len(part)])


def write_figures(out: Path | str, runs: pd.DataFrame) -> pd.DataFrame:
    """Write every figure and table into the folder ``out``; returns what is there: name, title, status, files."""
    out, lines = Path(out), []
    for table, (title, _) in TABLES.items():
        cells = table_cells(table, runs)
        figure = plot_table(cells, f"Table {table}. {title}")
        lines.append(_written(out, f"table{table}", f"Table {table}. {title}", figure, cells, cells["status"]))
    cut, title = runs[runs["experiment"] == "figure2"], "Figure 2. Truncated histories"
    printed = dict(dataset="kindle", system="SASRec", kept=5, ndcg_share=SHARE, numbers="published")
    truncated, drawn = pd.DataFrame([printed]), None
    if len(cut):
        mine, told = ch06.curves(cut), f"{title}\n({caption(runs, 'figure2')})"
        drawn = ch06.plot_kept_curves(mine, mark=(SHARE, "the paper's, on Kindle"), title=told)
        about = {name: listed(cut, name) for name in ABOUT if name in cut}
        truncated = pd.concat([truncated, mine.assign(numbers=MEASURED, **about)], ignore_index=True)
    lines.append(_written(out, "figure2", title, drawn, truncated, [MEASURED if len(cut) else NOT_RUN]))
    for name, drawing in (("figure1", drawings.problems()), ("figure3", drawings.model())):  # drawn anew, as SVG alone
        with atomic(out / f"{name}.svg") as temporary:
            temporary.write_text(drawing.svg(), encoding="utf-8")
        lines.append(dict(name=name, title=drawing.title, status="drawn anew", made_by=MADE))
    others = [name for name in runs.loc[runs["experiment"] == "figure4", "dataset"].unique() if name not in TARGETS]
    wanted = {f"figure{i}": name for i, name in enumerate(TARGETS, 4)} | {
        f"convergence-{name}": name for name in others
    }
    for name, dataset in wanted.items():
        curves = curves_of(dataset, runs)
        own = curves["numbers"].eq(MEASURED).any()
        status = MEASURED if own else NOT_RUN if dataset in set(runs["dataset"]) else NOT_HERE
        number = f"Figure {name.removeprefix('figure')}" if dataset in TARGETS else "Like Figures 4 to 8"
        title = f"{number}. Convergence on {dataset}{'' if own else f' (rivals: {status})'}"
        lines.append(_written(out, name, title, convergence_curves(curves, title=title), curves, [status]))
    index = pd.DataFrame(lines)
    with atomic(out / "index.csv") as temporary:
        index.to_csv(temporary, index=False)
    return index


def _written(out, name, title, figure, frame, status):
    """Write one thing; its line of the index."""
    if figure is not None:
        about = dict(pdf=dict(Title=title, Subject=MADE, CreationDate=None), svg=dict(Title=title, Date=None))
        about["svg"]["Description"] = MADE
        with plt.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
            for kind, notes in about.items():
                with atomic(out / f"{name}.{kind}") as temporary:
                    figure.savefig(temporary, format=kind, metadata=notes)
    with atomic(out / f"{name}.csv") as temporary:
        frame.assign(made_by=MADE).to_csv(temporary, index=False)
    counts = pd.Series(list(status)).value_counts()
    return dict(name=name, title=title, status=", ".join(f"{n} {word}" for word, n in counts.items()), made_by=MADE)
