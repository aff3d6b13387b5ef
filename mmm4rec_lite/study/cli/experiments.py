"""Commands that run experiments and write their figures."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import mmm4rec_lite as m4r
from mmm4rec_lite.cli.common import AugmentedText, Dataset, Domains, FeatureFile, Json, load_task, show
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.names import names

WHAT = (
    "table1..6, comparison (2, 3), figure2, figure4, transfer, missing-modality, modality-worth, orders, time-benefit"
)
ONLY = "Some of its systems (see `systems`), of table5 its variants; commas between."
SCALE = "quick, converged (to the end of its patience) or full; $MMM4REC_SCALE, or quick, by default."
ZEROS = "Take models in that read texts or pictures which these data lack, as the paper's on Kindle."
TUNED = "Choose each system's lr, drop-out and width on validation first; NAME-tuning.csv has how."
TRIALS = "Settings chosen before: the NAME-tuning.csv of an earlier --tuned; what has no rows there is tuned."
BACKEND = "Of joblib: ray or dask for a cluster; this machine by default."
KEEP = "Every run with its provenance, as csv; paired differences beside it, NAME-pairs.csv."

experiment_app = typer.Typer(no_args_is_help=True, help="Run experiments; a killed one goes on when called again.")


@experiment_app.callback()
def _several():
    """Keeps `store` a command of its own while it is the only one."""


@experiment_app.command("store")
def experiment_store(
    out: Annotated[Path, typer.Option(help="Where the frame goes; the words go beside it, .md.")] = Path("store.csv"),
    seeds: Annotated[int, typer.Option(min=1, help="Stores and trainings of each kind.")] = 3,
    part: Annotated[str, typer.Option(help="Some of its parts, commas between.")] = "gaps,modality,memory",
    as_json: Json = False,
) -> None:
    """What the model finds of the demo store's truth: OUT as csv, and in words beside it (.md)."""
    import pandas as pd

    from mmm4rec_lite.study.shop import PARTS
    from mmm4rec_lite.study.shop_report import pooled, report
    from mmm4rec_lite.utils.files import atomic

    parts = names(part)
    if lost := [name for name in parts if name not in PARTS]:
        raise InputError(f"--part: {lost[0]!r} is not known; one of {', '.join(PARTS)}")
    frame = pd.concat([PARTS[name](seeds) for name in parts], ignore_index=True)
    with atomic(out) as temporary:
        frame.to_csv(temporary, index=False)
    with atomic(out.with_suffix(".md")) as temporary:
        temporary.write_text(report(frame), encoding="utf-8")
    show(pooled(frame), as_json, out=str(out))


def reproduce_command(
    what: Annotated[str, typer.Argument(help=WHAT)],
    data: Dataset,
    features: FeatureFile,
    domain: Domains = "",
    sources: Annotated[str, typer.Option(help="Domains to pre-train on, commas between; none: from scratch.")] = "",
    source_data: Annotated[Path | None, typer.Option(help="Another dataset folder to pre-train on.")] = None,
    source_features: Annotated[Path | None, typer.Option(help="Its feature file, by the same encoder.")] = None,
    augmented_text: AugmentedText = None,
    only: Annotated[str, typer.Option(help=ONLY)] = "",
    scale: Annotated[str | None, typer.Option(help=SCALE)] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", "--setting", help="matched (one for all) or paper (each system's own).")
    ] = "matched",
    tuned: Annotated[bool, typer.Option("--tuned", help=TUNED)] = False,
    trials: Annotated[Path | None, typer.Option(help=TRIALS)] = None,
    split: Annotated[str, typer.Option(help="leave_one_out or global_time.")] = "leave_one_out",
    seeds: Annotated[int, typer.Option(min=1, help="How many.")] = 3,
    zeros: Annotated[bool, typer.Option("--zeros", help=ZEROS)] = False,
    beside: Annotated[Path | None, typer.Option(help="orders: the same interactions in another order.")] = None,
    kept: Annotated[bool, typer.Option("--kept", help="Train nothing; show what is finished so far.")] = False,
    backend: Annotated[str | None, typer.Option(help=BACKEND)] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time.")] = None,
    out: Annotated[Path | None, typer.Option(help=KEEP)] = None,
    as_json: Json = False,
) -> None:
    """A figure's or table's numbers, measured on your data; a killed run goes on, a finished one answers at once."""
    from mmm4rec_lite.models.protocol import Protocol
    from mmm4rec_lite.study.protocol.experiments import reproduce
    from mmm4rec_lite.study.protocol.results import annotate_runs, display_name, paired_differences, summary
    from mmm4rec_lite.study.protocol.scale import scale as asked
    from mmm4rec_lite.study.protocol.tuning import read_trials
    from mmm4rec_lite.utils.files import atomic

    own = source_data or data, sources, source_features or features
    first = load_task(*own, augmented_text) if sources or source_data else None
    task = load_task(data, domain, features, sources=first, split=split)
    how = dict(
        seeds=tuple(range(seeds)), protocol=Protocol(protocol, scale or asked()), backend=backend, jobs=jobs, kept=kept
    )
    compared = first is not None and what in ("comparison", "table2", "table3", "table6")
    how |= {name: True for name, on in dict(tuned=tuned, zeros=zeros, pretrained=compared).items() if on}
    how |= {} if trials is None else dict(tuned=read_trials(trials))
    how |= {} if beside is None else dict(beside=m4r.load_dataset(beside))
    frame = reproduce(what, task, only=names(only) or None, **how)
    if out is not None:
        named = lambda end: out.with_name(f"{out.stem}-{end}.csv")
        tables = {out: annotate_runs(what, frame, task), named("pairs"): paired_differences(what, frame)}
        for path, table in {**tables, named("tuning"): frame.attrs.get("trials", ())}.items():
            if len(table):
                with atomic(path) as temporary:
                    table.to_csv(temporary, index=False)
    for form, why in frame.attrs.get("left_out", {}).items():
        print(f"left out: {display_name(*form)}: {why}", file=sys.stderr)
    show(summary(frame) if {"system", "recall@10"} <= set(frame) and "epoch" not in frame else frame, as_json)


def report_command(
    csvs: Annotated[list[Path], typer.Argument(help="Runs that `reproduce --out` kept, and pairs beside a report.")],
    out: Annotated[Path, typer.Option(help="The page; its csv files go beside it.")] = Path("comparison.md"),
) -> None:
    """A page of results, and a verdict on each claim of the paper, from runs kept as csv; trains nothing."""
    from mmm4rec_lite.study.protocol.report import write_page
    from mmm4rec_lite.study.protocol.results import read_results

    write_page(out, *read_results(csvs))
    print(out)


def figures_command(
    csvs: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs that `reproduce --out` kept; the project's stored ones by default."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for PDF, SVG and csv.")] = Path("figures"),
    as_json: Json = False,
) -> None:
    """Every figure and table of the paper in its layout, published beside measured; trains nothing."""
    from mmm4rec_lite.study.figures import write_figures
    from mmm4rec_lite.study.protocol.results import read_results, stored_results

    runs, _ = read_results(csvs) if csvs else stored_results()
    show(write_figures(out, runs).drop(columns="made_by"), as_json, out=str(out))
