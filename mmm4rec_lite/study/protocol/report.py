"""The page of results (Markdown) from frames alone: what was measured, what was left out, and the verdicts.

``write_page`` puts it beside its csv files, and it can be made again from what ``read`` finds in them.
"""

from importlib.metadata import version
from pathlib import Path

import pandas as pd

from mmm4rec_lite import published
from mmm4rec_lite.study.protocol.claims import verdicts
from mmm4rec_lite.study.protocol.experiments import COLUMNS
from mmm4rec_lite.study.protocol.results import TITLES, cut, tidy
from mmm4rec_lite.study.protocol.runner import MATCHED, SCALES
from mmm4rec_lite.utils.files import atomic

RULE = (
    "A verdict follows from the numbers beside it, by one rule. A claim is a list of cases, each the sign of a "
    "difference between two systems on one dataset. A case goes as claimed, or against the claim, when the difference "
    "lies two standard errors or more on that side; else, and always with one seed, it cannot be told. Where a claim "
    'allows a loss ("less than 10 %"), that margin is added to the difference first. The standard '
    'error of NDCG@10 has a part over users (the same ones, paired; where it says "at most", an upper bound) and a '
    "part over seeds; epochs, seconds and shares have seeds alone. Reproduced: every case as claimed. Partly: some; at "
    "most that, where systems of the claim are not built or not run, or data sets differ in more than what it is "
    "about. Not reproduced: none, and at least one against. Not testable here: no case was measured, or none can be "
    "told. No allowance is made for the number of cases, and a verdict is about these data, this scale and these "
    "stages, not about the paper's own runs."
)


SECTIONS = {
    "figure2": "latest interactions kept (Figure 2)",
    "table4": "cost (Table 4)",
    "table5": "ablation (Table 5)",
    "table6": "items with pictures alone (Table 6)",
    "time-benefit": "with and without the time branch",
    "longer": "trained five times as long",
}


def page(runs, pairs=None):
    """The page as one string. ``runs`` and ``pairs`` as for ``verdicts.verdicts``."""
    own = tidy(runs)
    parts = ["# The comparison, measured", _header(own), _scales(own)]
    shown = own[~own["experiment"].isin(["missing-modality", "figure4"])]  # these have several lines a run
    for (dataset, experiment), rows in shown.groupby(["dataset", "experiment"], sort=False):
        parts += [
            f"## {dataset}" + ("" if experiment == "comparison" else f": {SECTIONS.get(experiment, experiment)}"),
            _dataset(dataset, rows),
        ]
        if experiment == "comparison":
            parts += _floor(rows, own[(own["dataset"] == dataset) & (own["experiment"] == "longer")])
    for dataset, rows in own[own["experiment"] == "missing-modality"].groupby("dataset", sort=False):
        parts += [f"## {dataset}: pictures taken away", _missing(rows)]
    left = runs[runs["left_out"].notna()].drop_duplicates(["dataset", "label"]) if "left_out" in runs else runs[:0]
    if len(left):
        parts += [
            "## Left out",
            "\n".join(f"- {r['dataset']}: {r['label']}: {r['left_out']}" for _, r in left.iterrows()),
        ]
    table = verdicts(runs, pairs)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in table["verdict"].value_counts().items())
    parts += ["## The paper's claims", f"{len(table)} claims: {counts}.", RULE, markdown(table)]
    return "\n\n".join(parts) + "\n"


def write_page(prefix, runs, pairs=None):
    """PREFIX.md, PREFIX.csv (all runs) and, with ``pairs``, PREFIX-pairs.csv."""
    prefix = Path(prefix).with_suffix("")
    text = page(runs, pairs)
    frames = {".csv": runs} | ({"-pairs.csv": pairs} if pairs is not None and len(pairs) else {})
    for end, frame in frames.items():
        with atomic(prefix.with_name(prefix.name + end)) as temporary:
            frame.to_csv(temporary, index=False)
    with atomic(prefix.with_name(f"{prefix.name}.md")) as temporary:
        temporary.write_text(text, encoding="utf-8")


def markdown(frame):
    """A frame of text as a Markdown table."""
    clean = frame.astype(str).replace({r"\|": r"\\|", "\n": " ", "; ": ";<br>"}, regex=True)
    rows = [" | ".join(row) for row in [list(clean), ["---"] * clean.shape[1], *clean.to_numpy().tolist()]]
    return "\n".join(f"| {row} |" for row in rows)


def _all(runs, column):
    values = runs[column].dropna().unique() if column in runs else []
    return ", ".join(sorted(f"{value:g}" if isinstance(value, float) else str(value) for value in values)) or "not said"


def _header(runs):
    trained = runs.drop_duplicates("config").dropna(subset="config") if "config" in runs else runs
    seconds = sum(trained[name].sum() for name in ("seconds", "pretraining_seconds") if name in trained)
    machine = f"{_all(runs, 'machine')}, {_all(runs, 'cores')} core(s), {_all(runs, 'device')}"
    return (
        f"Made by `mmm4rec_lite.experiments` {version('mmm4rec-lite')} from {len(trained)} trained runs of "
        f"{_all(runs, 'date')}. Machine: {machine}, {_all(runs, 'threads')} thread(s) a run; torch "
        f"{_all(runs, 'torch')}. Protocol: {_all(runs, 'setting')}; scale: {_all(runs, 'scale')}; seeds: "
        f"{_all(runs, 'seed')}. {seconds:,.0f} seconds of training and validation in all, counted run by run; runs "
        "may have shared the machine, so seconds per epoch are no clean timing (Table 4's seconds per step are: "
        "all systems in turns in one process, medians). Ranks are over the whole catalogue, ties against the "
        'target; the history is kept in the ranking unless it says "seen removed". '
        "All numbers are measured here unless they say published."
    )


def _scales(runs):
    if not {"scale", "epochs", "best_epoch"} <= set(runs):
        return "These runs do not say at which scale they were trained."
    trained = runs[runs["epochs"].notna()].drop_duplicates("config")
    cuts = (
        f"{cut(trained).sum()} of {len(trained)} runs ended before their patience ran out: their best epoch is not "
        "known to be the best."
    )
    if "quick" not in set(trained["scale"]):
        return f"Full scale: trained until patience or the epochs allowed ran out. {cuts}"
    quick, longer = SCALES["quick"], "longer" in set(trained["scale"])
    return (
        f"Quick scale cuts training short: at most {quick['epochs']} epochs of {quick['rows_per_epoch']:,} rows, "
        f"where the full scale has up to {MATCHED.epochs} epochs of all rows in the matched setting"
        + (f' ("longer": {SCALES["longer"]["epochs"]} epochs of as many rows)' if longer else "")
        + f". {cuts} "
        "Systems that start slowly are held back more than those that start fast, so an order at this scale is an "
        "order of early learning. No number here is comparable with a published one."
    )


def _dataset(dataset, rows):
    for column in ("best_epoch", "seconds_per_epoch", "recall@10_filtered", "ndcg@10_filtered"):
        if column not in rows:
            rows = rows.assign(**{column: float("nan")})
    keys = ["label", *(name for name in ("setting", "scale", "stage") if name in rows and rows[name].nunique() > 1)]
    beside, timed = _published(dataset), "seconds_per_step" in rows and rows["seconds_per_step"].notna().any()
    lines = []
    for key, group in rows.groupby(keys, sort=False, dropna=False):
        mean = group.mean(numeric_only=True)
        spread = f" +- {group['ndcg@10'].std():.4f}" if len(group) > 1 else ""
        trained = pd.notna(mean["best_epoch"])
        lines.append(
            {
                "system": ", ".join(str(part) for part in key if pd.notna(part)),
                "NDCG@10": f"{mean['ndcg@10']:.4f}" + spread,
                "Recall@10": f"{mean['recall@10']:.4f}",
                "NDCG@10, seen removed": f"{mean['ndcg@10_filtered']:.4f}",
                "Recall@10, seen removed": f"{mean['recall@10_filtered']:.4f}",
                "best_epoch": f"{mean['best_epoch']:.1f}" if trained else "",
                "seconds_per_epoch": f"{mean['seconds_per_epoch']:.1f}" if trained else "",
                **({"seconds_per_step": f"{mean['seconds_per_step']:.3f}" if trained else ""} if timed else {}),
                "parameters": f"{mean['parameters']:,.0f}" if trained else "",
                "seeds": f"{group['seed'].nunique()}" if trained else "",
                **({"NDCG@10, published": beside.get(key[0], "")} if beside else {}),
                "order": mean["ndcg@10"],
            }
        )
    table = pd.DataFrame(lines).sort_values("order", ascending=False).drop(columns="order")
    notes = ["Mean over seeds +- their standard deviation; best first. Parameters: without per-item tables."]
    if beside:
        notes.append(
            "Published: the paper's Tables 2 and 3, of other features, another split, other training and, "
            "for the transferable systems, pre-training; it stands there for orientation alone."
        )
    return "\n\n".join([markdown(table), " ".join(notes)])


def _missing(rows):
    """NDCG@10 by the share of items whose picture was taken away from the trained system."""
    table = rows.pivot_table(index="label", columns="missing", values="ndcg@10", sort=False)
    seeds = rows.pivot_table(index=["label", "seed"], columns="missing", values="ndcg@10", sort=False)
    kept = (seeds.iloc[:, -1] / seeds.iloc[:, 0]).groupby("label", sort=False).mean()
    shown = table.map("{:.4f}".format).set_axis([f"{rate:.0%} taken" for rate in table.columns], axis=1)
    shown = shown.assign(kept=kept.map("{:.0%}".format)).reset_index(names="system")
    note = (
        "Mean NDCG@10 over seeds; within a seed the same items lose their pictures for all systems. Kept: the mean "
        "over seeds of each seed's share."
    )
    return f"{markdown(shown)}\n\n{note}"


def _floor(rows, longer):
    """A note on the systems that do not beat popularity, seen items kept; of each, what ``longer`` training gave."""
    floor = rows.loc[rows["label"] == "popularity", "ndcg@10"].mean()
    if pd.isna(floor):
        return []
    rows = rows[~rows["label"].isin(["popularity", "Markov chain"])]
    means, after = (part.groupby("label", sort=False)["ndcg@10"].mean() for part in (rows, longer))
    below = means[means <= floor]
    if below.empty:
        return [f"Every trained system beats popularity ({floor:.4f})."]
    named = []
    for label, value in below.items():
        more = ""
        if label in after:
            seeds = longer.loc[longer["label"] == label, "seed"].nunique()
            more = f"; trained {SCALES['longer']['epochs']} epochs {after[label]:.4f}, {seeds} seed(s)"
        named.append(f"{label} ({value:.4f}{more})")
    return [f"**Do not beat popularity ({floor:.4f})**: {', '.join(named)}."]


def _published(dataset):
    """title -> NDCG@10 of the paper, as printed; empty for a dataset that it does not have."""
    cells = published.paper(dataset=dataset, row="ndcg@10")
    values = {(row["table"], row["column"]): row["value"] for _, row in cells.iterrows()}
    return {
        TITLES[name]: f"{values[table, title]:.4f}"
        for table in (2, 3)
        for name, title in COLUMNS[table].items()
        if (table, title) in values
    }
