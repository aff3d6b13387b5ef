"""The page of results (Markdown) from frames alone: what was measured, what was left out, and the verdicts."""

from importlib.metadata import version
from pathlib import Path

import pandas as pd

from mmm4rec_lite import published
from mmm4rec_lite.models.protocol import SCALES
from mmm4rec_lite.significance import STANDARD_ERRORS
from mmm4rec_lite.study.protocol.claims import claims_table
from mmm4rec_lite.study.protocol.experiments import BASELINES, COLUMNS
from mmm4rec_lite.study.protocol.results import TITLES, display_name, listed, stopped_early, tidy, with_columns
from mmm4rec_lite.utils.files import atomic

RULE = f"""
A verdict follows from the numbers beside it, by one rule. A claim is a list of cases, each the sign of a difference
between two systems on one dataset. A case is supported or contradicted when its difference lies {STANDARD_ERRORS}
standard errors or more on that side, else inconclusive. It is not tested, whatever its numbers say, with one seed,
where training was cut before its patience ran out, and where the claim is about pre-trained models and these are not.
Where a claim allows a loss ("less than 10 %"), that margin is added to the difference first. The standard error of
NDCG@10 has a part over users (the same ones, paired; where it says "at most", an upper bound) and a part over seeds;
epochs, seconds and shares have seeds alone. Supported: every case. Partly supported: some; at most that, where systems
of the claim are not built or not run, or data sets differ in more than what it is about. Contradicted: none supported,
and at least one contradicted. Not tested: no case. A case takes the seeds that both systems have, so its means
may differ from those of the tables above. Of several cases of a claim the largest has to pass a stricter bound
(Holm), so that more cases do not make more chance findings. An inconclusive case says which true difference would have
shown in four of five tries. A verdict is about these data, this scale and these stages, not about the paper's own runs.
"""
SECTIONS = {
    "figure2": "latest interactions kept (Figure 2)",
    "table4": "cost (Table 4)",
    "table5": "ablation (Table 5)",
    "table6": "items with pictures alone (Table 6)",
    "transfer": "what pre-training is worth",
    "modality-worth": "what a modality is worth",
    "orders": "the same interactions in two orders",
    "time-benefit": "with and without the time branch",
    "yardstick": "beside public replications",
}


def page(runs: pd.DataFrame, pairs: pd.DataFrame | None = None) -> str:
    """The page as one string. ``runs`` and ``pairs`` as for ``claims.claims_table``."""
    own = tidy(runs)
    parts = ["# The comparison, measured", _header(own), _scales(own)]
    shown = own[~own["experiment"].isin(["missing-modality", "figure4"])]  # these have several rows a run
    for (dataset, experiment), rows in shown.groupby(["dataset", "experiment"], sort=False):
        title = "" if experiment == "comparison" else f": {SECTIONS.get(experiment, experiment)}"
        parts += [f"## {dataset}{title}", _dataset(dataset, rows)]
        if experiment == "comparison":
            parts += _below_popularity(rows)
    for dataset, rows in own[own["experiment"] == "missing-modality"].groupby("dataset", sort=False):
        parts += [f"## {dataset}: pictures taken away", _missing(rows)]
    if "left_out" in runs:
        left = runs[runs["left_out"].notna()][["dataset", "system", "variant", "left_out"]].drop_duplicates()
        lines = [f"- {dataset}: {display_name(*form)}: {why}" for dataset, *form, why in left.to_numpy()]
        parts += ["## Left out", "\n".join(lines)] if lines else []
    table = claims_table(runs, pairs)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in table["verdict"].value_counts().items())
    parts += ["## The paper's claims", f"{len(table)} claims: {counts}.", " ".join(RULE.split()), markdown(table)]
    return "\n\n".join(parts) + "\n"


def write_page(prefix: Path | str, runs: pd.DataFrame, pairs: pd.DataFrame | None = None) -> None:
    """PREFIX.md, PREFIX.csv (all runs) and, with ``pairs``, PREFIX-pairs.csv."""
    prefix = Path(prefix).with_suffix("")
    text = page(runs, pairs)
    frames = {".csv": runs} | ({"-pairs.csv": pairs} if pairs is not None and len(pairs) else {})
    for end, frame in frames.items():
        with atomic(prefix.with_name(prefix.name + end)) as temporary:
            frame.to_csv(temporary, index=False)
    with atomic(prefix.with_name(f"{prefix.name}.md")) as temporary:
        temporary.write_text(text, encoding="utf-8")


def markdown(frame: pd.DataFrame) -> str:
    """A frame of text as a Markdown table."""
    clean = frame.astype(str).replace({r"\|": r"\\|", "\n": " ", "; ": ";<br>"}, regex=True)
    rows = [" | ".join(row) for row in [list(clean), ["---"] * clean.shape[1], *clean.to_numpy().tolist()]]
    return "\n".join(f"| {row} |" for row in rows)


def _header(runs):
    trained = runs.drop_duplicates("run_id").dropna(subset="run_id") if "run_id" in runs else runs
    seconds = sum(trained[name].sum() for name in ("seconds", "pretraining_seconds") if name in trained)
    machine = f"{listed(runs, 'machine')}, {listed(runs, 'cores')} core(s), {listed(runs, 'device')}"
    return (
        f"Made by `mmm4rec_lite.study` {version('mmm4rec-lite')} from {len(trained)} trained runs of "
        f"{listed(runs, 'date')}. Machine: {machine}, {listed(runs, 'threads')} thread(s) a run; torch "
        f"{listed(runs, 'torch')}. Protocol: {listed(runs, 'protocol')}; scale: {listed(runs, 'scale')}; seeds: "
        f"{listed(runs, 'seed')}. {seconds:,.0f} seconds of training and validation in all, counted run by run; runs "
        "may have shared the machine, so seconds per epoch are no clean timing (Table 4's seconds per step are: "
        "all systems in turns in one process, medians). Ranks are over the whole catalogue, ties against the "
        'target; the history is kept in the ranking unless it says "seen removed". '
        "All numbers are measured here unless they say published."
    )


def _scales(runs):
    if not {"scale", "epochs", "best_epoch"} <= set(runs):
        return "These runs do not say at which scale they were trained."
    trained = runs[runs["epochs"].notna()].drop_duplicates("run_id")
    ended, quick = SCALES["converged"]["patience"], SCALES["quick"]
    cut, best = stopped_early(trained).sum(), "their best epoch is not known to be the best"
    told = f"{cut} of {len(trained)} runs ended before their patience ran out: {best}."
    told = told if cut else f"All {len(trained)} runs ended by their patience."
    told += (
        f" Converged scale: trained until {ended} epochs had brought nothing on the "
        "validation rows; of data that are in tuning.csv each system's learning rate, drop-out and width were chosen "
        "on validation from the same grid, of others nobody's were."
    )
    if "quick" not in set(trained["scale"]):
        return told
    return (
        f"{told} Quick scale cuts training: {quick['epochs']} epochs of {quick['rows_per_epoch']:,} rows at most. "
        "Systems that start slowly are held back more than those that start fast, so an order at this scale is an "
        "order of early learning, and its numbers are not comparable with published ones."
    )


def _dataset(dataset, rows):
    optional = ["best_epoch", "seconds_per_epoch", "seconds_per_step", "recall@10_filtered", "ndcg@10_filtered"]
    rows = with_columns(rows, *optional)
    keys = ["name", *(name for name in ("protocol", "scale", "stage") if rows[name].nunique() > 1)]
    beside, timed = _published(dataset), rows["seconds_per_step"].notna().any()
    lines = []
    for key, group in rows.groupby(keys, sort=False, dropna=False):
        mean = group.mean(numeric_only=True)
        spread = f" +- {group['ndcg@10'].std():.4f}" if len(group) > 1 else ""
        trained = bool(pd.notna(mean["best_epoch"]))
        line = {
            "system": ", ".join(str(part) for part in key if pd.notna(part)),
            "NDCG@10": f"{mean['ndcg@10']:.4f}{spread}",
            "Recall@10": f"{mean['recall@10']:.4f}",
            "NDCG@10, seen removed": f"{mean['ndcg@10_filtered']:.4f}",
            "Recall@10, seen removed": f"{mean['recall@10_filtered']:.4f}",
            "best epoch": f"{mean['best_epoch']:.1f}" * trained,
            "seconds per epoch": f"{mean['seconds_per_epoch']:.1f}" * trained,
            "seconds per step": f"{mean['seconds_per_step']:.3f}" * trained,
            "parameters": f"{mean['n_parameters']:,.0f}" * trained,
            "seeds": f"{group['seed'].nunique()}" * trained,
            "NDCG@10, published": beside.get(key[0], ""),
        }
        lines.append((mean["ndcg@10"], line))
    lines = [line for _, line in sorted(lines, key=lambda pair: -pair[0])]
    table = pd.DataFrame(lines).drop(columns=["seconds per step"] * (not timed) + ["NDCG@10, published"] * (not beside))
    note = (
        "Mean over seeds +- their standard deviation; best first. Parameters: without per-item tables, with the "
        "features and the window of these runs (`mmm4rec-lite systems` counts with features of 768 numbers and each "
        "system's published window)."
    )
    if beside:
        note += (
            " Published: the paper's Tables 2 and 3, of other features, another split, other training and, "
            "for the transferable systems, pre-training; it stands there for orientation alone."
        )
    return f"{markdown(table)}\n\n{note}"


def _missing(rows):
    seeds = rows.pivot_table(index=["name", "seed"], columns="missing_share", values="ndcg@10", sort=False)
    table = seeds.groupby("name", sort=False).mean()
    kept = (seeds.iloc[:, -1] / seeds.iloc[:, 0]).groupby("name", sort=False).mean()
    shown = table.map("{:.4f}".format).set_axis([f"{share:.0%} taken" for share in table.columns], axis=1)
    shown = shown.assign(kept=kept.map("{:.0%}".format)).reset_index(names="system")
    return (
        f"{markdown(shown)}\n\nMean NDCG@10 over seeds; within a seed the same items lose their pictures for all "
        "systems. Kept: the mean over seeds of each seed's share."
    )


def _below_popularity(rows):
    """A note on the systems that do not beat popularity, seen items kept."""
    level = rows.loc[rows["system"] == "popularity", "ndcg@10"].mean()
    if pd.isna(level):
        return []
    means = rows[~rows["system"].isin(BASELINES)].groupby("name", sort=False)["ndcg@10"].mean()
    below = [f"{name} ({value:.4f})" for name, value in means[means <= level].items()]
    if not below:
        return [f"Every trained system beats popularity ({level:.4f})."]
    return [f"**Do not beat popularity ({level:.4f})**: {', '.join(below)}."]


def _published(dataset):
    """title -> NDCG@10 of the paper, as printed; empty for a dataset that it does not have."""
    values = published.paper(dataset=dataset, row="ndcg@10").set_index(["table", "column"])["value"]
    names = {TITLES[name]: (table, title) for table in (2, 3) for name, title in COLUMNS[table].items()}
    return {name: f"{values[cell]:.4f}" for name, cell in names.items() if cell in values.index}
