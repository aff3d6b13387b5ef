"""What the commands share: their options, how a table is printed, how data are put together.

What is heavy is imported by the function that needs it: the commands' help comes at once.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Dataset = Annotated[Path, typer.Option("--data", help="A dataset folder (see `data`).")]
Domains = Annotated[str, typer.Option("--domain", help="Domains of it, separated by commas; all by default.")]
FeatureFile = Annotated[Path, typer.Option("--features", help="A feature file (see `features`).")]
AugmentedText = Annotated[
    Path | None,
    typer.Option(help="Features of texts that lost some words (`features --augmented-text`): UniSRec, MISSRec."),
]
Out = Annotated[Path, typer.Option("--out", help="Where the result goes.")]
Model = Annotated[str, typer.Option("--model", help="See `systems`; NAME+id: with a learned vector per item too.")]
Preset = Annotated[str, typer.Option("--preset", help="small (two cores), matched, or paper (published sizes).")]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="At most so many epochs.")]
Seed = Annotated[int, typer.Option("--seed", help="Of start values, drop-out and the order of rows.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show(table: Any, as_json: bool, **more: Any) -> None:
    """A frame for people, or the frame's records with ``more`` for machines."""
    if as_json:
        print(json.dumps({**more, "rows": json.loads(table.to_json(orient="records"))}))
    else:
        print(table.to_string(index=False, float_format="{:.4f}".format))


def names(words: str) -> list[str]:
    """The names in an option's text, which commas separate."""
    return [name.strip() for name in words.split(",")] if words else []


def load_domains(folder: Path, domains: str) -> Any:
    """A dataset folder, or some of its domains in one dataset."""
    from mmm4rec_lite.data import load_dataset, order_only, union

    dataset = load_dataset(folder)
    parts = [dataset.select(name) for name in names(domains)] or [dataset]
    dataset = parts[0] if len(parts) == 1 else union(parts, "+".join(part.name for part in parts))
    if order_only(dataset):
        print(f"note: {dataset.name} has no times, only an order: models read no times", file=sys.stderr)
    return dataset


def load_task(folder: Path, domains: str, features: Path, augmented_text: Path | None = None, **more: Any) -> Any:
    """A ``Task`` of files; ``more``: its other fields."""
    from mmm4rec_lite.features import load_features
    from mmm4rec_lite.runs import Task

    texts = None if augmented_text is None else load_features(augmented_text)
    return Task(load_domains(folder, domains), load_features(features), augmented_text=texts, **more)
