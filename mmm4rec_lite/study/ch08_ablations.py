"""Chapter 8: what each variant of Table 5 lacks, how far the printed differences reach, what it takes to see them.

A change is always of NDCG@10 against the whole model (the row "MMM4Rec"), as a share of its value: negative where a
variant loses.
"""

import json
import math

import pandas as pd
import torch

from mmm4rec_lite import published, significance
from mmm4rec_lite.evaluation import model_scorer
from mmm4rec_lite.models.base import Recommender, count_parameters
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.study.protocol.experiments import VARIANTS, WITHOUT_PRETRAINING
from mmm4rec_lite.study.protocol.results import tidy
from mmm4rec_lite.study.shop import World, expected_ndcg
from mmm4rec_lite.study.shop_report import pooled
from mmm4rec_lite.utils.errors import InputError

WHOLE = "MMM4Rec"
SECTIONS = {  # variant -> what it takes away, where the paper introduces it
    WHOLE: ("nothing", "3"),
    "w/o PT": ("pre-training on source domains", "4.1"),
    "w/o Time": ("time stamps, and so all that reads them", "3.3.1, 3.4.1"),
    "w/o Shared": ("the one TiSSD for both: each gets its own", "3.3.2, eq. 10"),
    "w/o LF": ("the learnable filter's transform", "3.4.1, eq. 16"),
    "w/o AF": ("the two adaptive filters", "3.4.1, eq. 13-15"),
    "2L": ("nothing: a second layer on top", "4.4"),
}


def anatomy(config: ModelConfig | None = None, features: int = 768) -> pd.DataFrame:
    """What each variant of Table 5 is (built, not trained), at the paper's sizes by default; ``features``: length.

    Columns: variant, takes_away, section, changes (of the config), n_parameters (without per-item tables),
    more_parameters than the whole, and more_parameters_share.
    """
    config, blank, rows = config or ModelConfig.paper(), torch.zeros(2, features), []
    for variant, (lacks, section) in SECTIONS.items():
        changes = VARIANTS.get(variant, {})
        told = ", ".join(f"{name}={value}" for name, value in changes.items())
        rows.append((variant, lacks, section, told, count_parameters(MMM4Rec(config.replace(**changes), blank, blank))))
    table = pd.DataFrame(rows, columns=["variant", "takes_away", "section", "changes", "n_parameters"])
    whole = table["n_parameters"].iloc[0]
    more = table["n_parameters"] - whole
    return table.assign(more_parameters=more, more_parameters_share=more / whole)


def printed(metric: str = "ndcg@10") -> pd.DataFrame:
    """Table 5 as changes, both domains: numbers ("published"), data, variant, value, difference, change."""
    cells = published.paper(5, row=metric).rename(columns={"column": "variant"})
    whole = cells["dataset"].map(cells[cells["variant"] == WHOLE].set_index("dataset")["value"])
    table = cells.assign(numbers="published", data=cells["dataset"].str.capitalize())
    table = table.assign(difference=cells["value"] - whole, change=(cells["value"] - whole) / whole)
    return table[["numbers", "data", "dataset", "variant", "value", "difference", "change"]]


def measured(runs: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The same columns from stored runs of "table5", and n_seeds, standard_error and (of the change) change_error."""
    own = tidy(runs[runs["experiment"] == "table5"])
    if own.empty:
        raise InputError("no run of table5 among these; make some with `mmm4rec-lite reproduce table5`")
    pairs = pairs[(pairs["experiment"] == "table5") & (pairs["against_variant"] == "")]
    if pairs.empty:
        raise InputError("no paired differences of table5; `mmm4rec-lite reproduce` writes them beside its runs")
    parts = []
    for dataset, rows in own.groupby("dataset", sort=False):
        value = rows.groupby("variant", sort=False)["ndcg@10"].mean()
        known = pairs[pairs["dataset"] == dataset].set_index("variant")[["difference", "standard_error"]]
        known = known.reindex(value.index)
        table = known.assign(value=value, change=known["difference"] / value[""], n_seeds=rows["seed"].nunique())
        first = "pre-trained" if "finetune" in set(rows["stage"]) else "from scratch"
        about = dict(numbers="measured", data=f"{dataset}, {first}", dataset=dataset)
        parts.append(table.assign(change_error=known["standard_error"] / value[""], **about).reset_index())
    return pd.concat(parts, ignore_index=True).replace({"variant": {"": WHOLE}})


def side_by_side(*tables: pd.DataFrame) -> pd.DataFrame:
    """Changes of several tables of ``printed`` and ``measured``: a row per variant, a column per source of numbers."""
    both = pd.concat(tables)
    both = both[both["variant"] != WHOLE].assign(source=both["numbers"] + ": " + both["data"])
    wide = both.pivot(index="variant", columns="source", values="change")
    return wide.reindex([name for name in SECTIONS if name in wide.index], columns=both["source"].unique())


def beside(runs: pd.DataFrame, pairs: pd.DataFrame, dataset: str = "scientific") -> pd.DataFrame:
    """Printed (of ``dataset``) and measured changes: data, variant, printed_change, measured_change, change_error."""
    ours = measured(runs, pairs).query("variant != @WHOLE").rename(columns={"change": "measured_change"})
    ours = ours.assign(printed_change=ours["variant"].map(_changes(dataset))).reset_index(drop=True)
    ours = ours.assign(measured_minus_printed=ours["measured_change"] - ours["printed_change"])
    return ours[["data", "variant", "printed_change", "measured_change", "change_error", "measured_minus_printed"]]


def _changes(dataset):
    table = printed()
    return table[table["dataset"] == dataset].set_index("variant")["change"]


def noise(orders: pd.DataFrame) -> pd.DataFrame:
    """How far two runs of one model differ, from the table ``orders`` of the audit's finding "same-day-order".

    Columns: differs (what does), n_runs, ndcg@10, two_runs_differ (the standard deviation of the difference: root of 2
    times the spread over seeds), two_runs_differ_share (of ndcg@10).
    """
    names = {"order of the file": "the seed", "order by chance": "the seed and the order inside a day"}
    by = orders.groupby(orders["order"].map(names).rename("differs"), sort=False)["ndcg@10"]
    table = pd.DataFrame({"n_runs": by.size(), "ndcg@10": by.mean(), "two_runs_differ": 2**0.5 * by.std()})
    return table.assign(two_runs_differ_share=table["two_runs_differ"] / table["ndcg@10"]).reset_index()


def beyond(orders: pd.DataFrame, without: tuple[str, ...] = (WITHOUT_PRETRAINING,)) -> str:
    """How many of Table 5's printed differences are larger than twice the ``noise``: a sentence."""
    table, deviation = printed(), noise(orders)["two_runs_differ"].max()
    small = table[~table["variant"].isin([WHOLE, *without])]["difference"].abs()
    apart = f" ({', '.join(without)} apart)" if without else ""
    return (
        f"Two runs of one model differ by {deviation:.4f} or so; {(small > 2 * deviation).sum()} of the "
        f"{len(small)} printed differences{apart} are larger than twice that."
    )


def band(orders: pd.DataFrame, data: str) -> tuple[float, str]:
    """For ``viz.ablation_bars``: twice the ``noise``, and what it is, measured on ``data`` (a name)."""
    label = f"2 standard deviations\nbetween two runs of one\nmodel (measured, on\n{data})"
    return 2 * float(noise(orders)["two_runs_differ"].max()), label


def detectable(runs: pd.DataFrame, pairs: pd.DataFrame, dataset: str = "scientific") -> pd.DataFrame:
    """What it takes to find a difference as large as the printed one of ``dataset``: a row per measured variant.

    Columns: data, variant, printed_change, detectable_change (``significance.detectable`` of these users and seeds);
    n_users: how many it takes, were there any number of seeds; n_seeds: the other way round (nan with one seed).
    """
    theirs, rows = _changes(dataset), []
    table5 = tidy(runs[runs["experiment"] == "table5"])
    for name, part in measured(runs, pairs).dropna(subset="difference").groupby("dataset", sort=False):
        ours = table5[table5["dataset"] == name]
        values, users = ours.pivot_table(index="seed", columns="variant", values="ndcg@10"), ours["n_test_rows"].iloc[0]
        for row in part.itertuples():
            over_seeds = (values[row.variant] - values[""]).var()  # nan with one seed
            spent = over_seeds / row.n_seeds if row.n_seeds > 1 else 0
            over_users = max(row.standard_error**2 - spent, 0) * users
            wanted = abs(theirs[row.variant]) * values[""].mean() / significance.detectable(1)
            needed = math.ceil(over_users / wanted**2), over_seeds / wanted**2
            rows.append(
                (row.data, row.variant, theirs[row.variant], significance.detectable(row.change_error), *needed)
            )
    columns = ["data", "variant", "printed_change", "detectable_change", "n_users", "n_seeds"]
    return pd.DataFrame(rows, columns=columns)


def planted(shop: World, models: dict[str, Recommender]) -> pd.DataFrame:
    """``significance.paired`` of models' expected NDCG@10 on the rug shop against the first, the best last."""
    first = next(iter(models))
    scorers = {name: model_scorer(model) for name, model in models.items()}
    scorers |= {"the best without gaps": shop.best(gaps=False), "the best with gaps": shop.best()}
    window = models[first].window
    table = significance.paired(
        {name: expected_ndcg(score, shop, window)[None] for name, score in scorers.items()}, first
    )
    return table.assign(change=table["difference"] / table["ndcg@10"].iloc[0])


def stored_time(lines: pd.DataFrame, form: str = "revived time branch", without: str = "no time") -> pd.DataFrame:
    """ "w/o Time" on rug shops, stored: world, gap_effect, n_seeds, whole, without_time, change, change_error."""
    table = pooled(lines[lines["part"] == "gaps"]).set_index("system")
    stores = lines.drop_duplicates("world").set_index("world")["store"]
    whole, bare = (table.loc[[name]].set_index("world") for name in (form, without))
    effects, value = stores.map(lambda text: json.loads(text)["gap_effect"]), whole["expected_ndcg@10"]
    numbers = dict(gap_effect=effects.reindex(whole.index), n_seeds=whole["seeds"], whole=value)
    numbers |= dict(without_time=bare["expected_ndcg@10"], change=-whole["difference"] / value)
    numbers |= dict(change_error=whole["error"] / value)
    return pd.DataFrame(numbers).reset_index()
