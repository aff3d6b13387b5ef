"""Table 5, taken apart: what each variant lacks, how far the printed differences reach, and what it takes to see them.

A change is always of NDCG@10 against the whole model (the row "MMM4Rec"): negative where a variant loses.
"""

import json
import math

import pandas as pd
import torch

from mmm4rec_lite import published
from mmm4rec_lite.evaluation import model_scorer, paired
from mmm4rec_lite.models.base import count_parameters
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.study.protocol.experiments import VARIANTS
from mmm4rec_lite.study.protocol.results import tidy
from mmm4rec_lite.study.shop import expected_ndcg
from mmm4rec_lite.study.shop_report import pooled
from mmm4rec_lite.utils.errors import InputError

WHOLE, MEASURED = "MMM4Rec", "measured: "
SECTIONS = {  # variant -> what it takes away, where the paper introduces it
    WHOLE: ("nothing", "3"),
    "w/o PT": ("pre-training on source domains", "4.1"),
    "w/o Time": ("time stamps, and so all that reads them", "3.3.1, 3.4.1"),
    "w/o Shared": ("the one TiSSD for both: each gets its own", "3.3.2, eq. 10"),
    "w/o LF": ("the learnable filter's transform", "3.4.1, eq. 16"),
    "w/o AF": ("the two adaptive filters", "3.4.1, eq. 13-15"),
    "2L": ("nothing: a second layer on top", "4.4"),
}
POWER = 2.8  # 1.96 + 0.84: a difference so many standard errors large is found (two-sided 5 %) 4 times in 5


def anatomy(config=None, features=768):
    """What each variant of Table 5 is: variant, takes away, section, config, parameters, against the whole (count, %).

    Built, not trained. ``config``: of the whole, ``ModelConfig.paper()`` by default; ``features``: their length.
    Parameters are counted without per-item tables.
    """
    config, blank = config or ModelConfig.paper(), torch.zeros(2, features)
    lines = []
    for variant, (lacks, section) in SECTIONS.items():
        changes = VARIANTS.get(variant, {})
        count = count_parameters(MMM4Rec(config.replace(**changes), blank, blank))
        lines.append(
            {
                "variant": variant,
                "takes away": lacks,
                "section": section,
                "config": ", ".join(f"{name}={value}" for name, value in changes.items()),
                "parameters": count,
            }
        )
    table = pd.DataFrame(lines)
    whole = table["parameters"].iloc[0]
    more = table["parameters"] - whole
    return table.assign(**{"against the whole": more, "against the whole (%)": 100 * more / whole})


def printed(metric="ndcg@10"):
    """Table 5 as changes: source, variant, value, difference, change (%); both domains of the paper."""
    cells = published.paper(5, row=metric).rename(columns={"column": "variant"})
    whole = cells[cells["variant"] == WHOLE].set_index("dataset")["value"]
    difference = cells["value"] - cells["dataset"].map(whole)
    return pd.DataFrame(
        {
            "source": "published: " + cells["dataset"].str.capitalize(),
            "variant": cells["variant"],
            "value": cells["value"],
            "difference": difference,
            "change (%)": 100 * difference / cells["dataset"].map(whole),
        }
    )


def measured(runs, pairs):
    """The same columns from kept runs of "table5", with dataset, seeds, standard error and (of the change) error (%).

    The standard error is over users and, from two seeds on, over seeds (``pairs``, see ``evaluate.paired``).
    """
    own = tidy(runs[runs["experiment"] == "table5"])
    if own.empty:
        raise InputError("no run of table5 among these; make some with `mmm4rec-lite reproduce table5`")
    pairs = pairs[(pairs["experiment"] == "table5") & (pairs["against"] == WHOLE)]
    if pairs.empty:
        raise InputError("no paired differences of table5; `mmm4rec-lite reproduce` writes them beside its runs")
    parts = []
    for dataset, rows in own.groupby("dataset", sort=False):
        means = rows.groupby("label", sort=False)["ndcg@10"].mean()
        told = pairs[pairs["dataset"] == dataset].set_index("form")
        first = "pre-trained" if "finetune" in set(rows["stage"]) else "from scratch"
        table = pd.DataFrame(
            {
                "source": f"{MEASURED}{dataset}, {first}",
                "dataset": dataset,
                "variant": means.index,
                "value": means.values,
                "seeds": rows["seed"].nunique(),
            }
        )
        for column in ("difference", "standard_error"):
            table[column] = table["variant"].map(told[column])
            table[{"difference": "change (%)"}.get(column, "error (%)")] = 100 * table[column] / means[WHOLE]
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def side_by_side(*tables):
    """Changes (%) of several tables of ``printed`` and ``measured``: a line per variant, a column per source."""
    both = pd.concat(tables)
    both = both[both["variant"] != WHOLE]
    return both.pivot(index="variant", columns="source", values="change (%)").reindex(
        [name for name in SECTIONS if name in set(both["variant"])], columns=both["source"].unique()
    )


def beside(runs, pairs, dataset="scientific"):
    """measured on, variant, published (of ``dataset``), measured, 2 standard errors, measured - published; all in %.

    One line per variant and measured source. Other data and training: they share the question, not the conditions.
    """
    theirs = _changes(dataset)
    ours = measured(runs, pairs)
    ours = ours[ours["variant"] != WHOLE].reset_index(drop=True)
    return pd.DataFrame(
        {
            "measured on": ours["source"].str.removeprefix(MEASURED),
            "variant": ours["variant"],
            f"published, {dataset.capitalize()} (%)": ours["variant"].map(theirs),
            "measured (%)": ours["change (%)"],
            "2 standard errors": 2 * ours["error (%)"],
            "measured - published": ours["change (%)"] - ours["variant"].map(theirs),
        }
    )


def _changes(dataset):
    """Printed changes (%) of one domain, by variant."""
    table = printed()
    return table[table["source"] == f"published: {dataset.capitalize()}"].set_index("variant")["change (%)"]


def noise(orders):
    """How far two runs of one and the same model differ: what differs, runs, and the difference's standard deviation.

    ``orders``: the table of the audit's finding "same-day-order" (order, seed, ndcg@10). Columns: what, runs,
    ndcg@10, two runs differ by (root of 2 times the spread over seeds), in % of ndcg@10.
    """
    by = orders.groupby("order")["ndcg@10"]
    table = pd.DataFrame({"runs": by.size(), "ndcg@10": by.mean(), "two runs differ by": 2**0.5 * by.std()})
    names = {"order of the file": "the seed", "order by chance": "the seed and the order inside a day"}
    table = table.assign(**{"in %": 100 * table["two runs differ by"] / table["ndcg@10"]})
    return table.rename(index=names).rename_axis("what differs").reset_index()


def beyond(orders, without=("w/o PT",)):
    """How many of Table 5's printed differences are larger than twice the ``noise``: a sentence."""
    table, deviation = printed(), noise(orders)["two runs differ by"].max()
    small = table[~table["variant"].isin([WHOLE, *without])]["difference"].abs()
    apart = f" ({', '.join(without)} apart)" if without else ""
    return (
        f"Two runs of one model differ by {deviation:.4f} or so; {(small > 2 * deviation).sum()} of the "
        f"{len(small)} printed differences{apart} are larger than twice that."
    )


def band(orders, data):
    """For ``viz.ablation_bars``: twice the ``noise``, and what it is, measured on ``data`` (a name)."""
    return (
        2 * noise(orders)["two runs differ by"].max(),
        f"2 standard deviations\nbetween two runs of one\nmodel (measured, on\n{data})",
    )


def detectable(runs, pairs, dataset="scientific"):
    """What it takes to tell a difference as large as the printed one, in % of NDCG@10: a line per measured variant.

    Columns: measured on, variant, printed (%) of ``dataset``, can be told (%): the smallest difference that these users
    and seeds would show 4 times in 5 (``POWER`` standard errors); users: how many it takes, were there any number of
    seeds; seeds: how many, were there any number of users (nan with one seed). With twice of both it is enough.
    """
    runs = runs[runs["experiment"] == "table5"]
    own = measured(runs, pairs)
    theirs = _changes(dataset)
    lines = []
    for dataset_name, rows in own.dropna(subset="difference").groupby("dataset", sort=False):
        ours = tidy(runs[runs["dataset"] == dataset_name])
        values, users = ours.pivot_table(index="seed", columns="label", values="ndcg@10"), ours["n_test_rows"].iloc[0]
        for row in rows.to_dict(orient="records"):
            over_seeds = (values[row["variant"]] - values[WHOLE]).var()  # nan with one seed
            spent = over_seeds / row["seeds"] if row["seeds"] > 1 else 0
            over_users = max(row["standard_error"] ** 2 - spent, 0) * users
            wanted = abs(theirs[row["variant"]]) / 100 * values[WHOLE].mean() / POWER  # a standard error
            lines.append(
                {
                    "measured on": row["source"].removeprefix(MEASURED),
                    "variant": row["variant"],
                    "printed (%)": theirs[row["variant"]],
                    "can be told (%)": POWER * row["error (%)"],
                    "users": math.ceil(over_users / wanted**2),
                    "seeds": over_seeds / wanted**2,
                }
            )
    return pd.DataFrame(lines)


def planted(shop, models):
    """Trained models (name -> model) on a ``store.World``: expected NDCG@10 and the paired change against the first.

    Columns as ``evaluate.paired``, one seed each; the world's own best with and without gaps comes last.
    """
    first = next(iter(models))
    window = models[first].config.max_len
    scorers = {name: model_scorer(model) for name, model in models.items()}
    scorers |= {"the best without gaps": shop.best(gaps=False), "the best with gaps": shop.best()}
    scores = {name: expected_ndcg(score, shop, window).unsqueeze(0) for name, score in scorers.items()}
    table = paired(scores, first)
    return table.assign(**{"change (%)": 100 * table["difference"] / table["ndcg@10"].iloc[0]})


def stored_time(lines, form="revived time branch", without="no time"):
    """ "w/o Time" on the demo store by how much gaps tell; of the lines in ``benchmarks/results/store.csv``.

    Columns: world, gap effect, seeds, whole, w/o Time (both expected NDCG@10), change (%), error (%): the larger of
    that over users and that over seeds.
    """
    table = pooled(lines[lines["part"] == "gaps"]).set_index(["world", "system"])
    knobs = lines.drop_duplicates("world").set_index("world")["store"].map(json.loads)
    out = []
    for world in table.index.unique("world"):
        whole, bare = table.loc[(world, form)], table.loc[(world, without)]
        out.append(
            {
                "world": world,
                "gap effect": knobs[world]["gap_effect"],
                "seeds": int(whole["seeds"]),
                "whole": whole["expected_ndcg@10"],
                "w/o Time": bare["expected_ndcg@10"],
                "change (%)": -100 * whole["difference"] / whole["expected_ndcg@10"],
                "error (%)": 100 * whole["error"] / whole["expected_ndcg@10"],
            }
        )
    return pd.DataFrame(out)
