"""Your own shop, from two csv files to recommendations with reasons (notebook 13)."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from mmm4rec_lite.analysis import Reasons
from mmm4rec_lite.data import import_tables
from mmm4rec_lite.evaluation import counting, model_scorer, ndcg_per_row, rank_rows
from mmm4rec_lite.features import load_features
from mmm4rec_lite.runs import Run, Task, load_run
from mmm4rec_lite.significance import paired
from mmm4rec_lite.study.protocol.verdict import INCONCLUSIVE
from mmm4rec_lite.utils.files import workspace
from mmm4rec_lite.viz.style import COLOURS, captioned, empty_figure, shortened, styled


def shop_folder() -> Path:
    """Where the two csv files lie."""
    return workspace() / "data_samples" / "own_shop"


def trained() -> tuple[Run, Task]:
    """The model that is shipped (width 16, one seed), and its data: nothing is trained, and no encoder is needed."""
    folder = shop_folder()
    shop = import_tables(folder / "orders.csv", folder / "articles.csv", name="own_shop")
    task = Task(shop, load_features(folder / "trained" / "features.safetensors"))
    return load_run(folder / "trained", task), task


def beside_counting(done: Run, task: Task, filter_seen: bool = False) -> pd.DataFrame:
    """NDCG@10 of popularity, of a Markov chain and of a run on the same test users: system, ndcg@10, and how far the
    run is ahead: difference, standard_error (over users), reading (ahead, behind or inconclusive)."""
    rows, own = task.rows, "this run"
    scorers = counting(rows) | {own: model_scorer(done.model)}
    ranks = {
        name: rank_rows(s, rows.sequences, rows.test, done.model.window, filter_seen) for name, s in scorers.items()
    }
    table = paired({name: ndcg_per_row(found).unsqueeze(0) for name, found in ranks.items()}, own)
    table = table.rename(columns={"form": "system"}).assign(difference=0 - table["difference"])
    words = table["difference"].gt(0).map({True: "ahead", False: "behind"}).where(table["significant"], INCONCLUSIVE)
    table["reading"] = words.where(table["system"] != own, "-")
    return table[["system", "ndcg@10", "difference", "standard_error", "reading"]]


@styled
def plot_reasons(found: Reasons, title: str = "") -> Figure:
    """Why an item is recommended: the parts of its score on the left, each past item's effect on the right."""
    past = found.history
    figure = empty_figure(9.4, 1.6 + 0.26 * len(past))
    parts, effects = figure.subplots(1, 2, width_ratios=(1, 2.4))
    for place, value in enumerate(found.parts.values()):
        parts.bar(place, value, color=COLOURS[place], width=0.6)
        parts.text(place, value, f"{value:.2f}", ha="center", va="bottom" if value >= 0 else "top", fontsize=9)
    parts.set_xticks(range(len(found.parts)), ["picture" if name == "image" else name for name in found.parts])
    parts.set(ylabel=f"part of the score {found.score:.2f}")
    parts.margins(y=0.15)
    colours = [COLOURS[2] if effect >= 0 else COLOURS[3] for effect in past["effect"]]
    effects.barh(past["place"], past["effect"], color=colours)
    effects.axvline(0, color="black", lw=1)
    labels = [f"{name}, {days:.0f} d before" for name, days in zip(shortened(past["title"], 30), past["days_before"])]
    effects.set_yticks(past["place"], labels, fontsize=8)
    effects.set(xlabel="the score less the score without this item (leave-one-out)", ylim=(0.4, len(past) + 0.6))
    return captioned(figure, title or f"{found.title}: rank {found.rank} of {found.candidates} for {found.user}")
