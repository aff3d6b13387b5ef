"""What the commands share: their options, how a table is printed, how a dataset is put together."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmm4rec_lite.utils.errors import InputError

Dataset = Annotated[Path, typer.Option("--data", help="A dataset folder (see `data`).")]
Domains = Annotated[str, typer.Option("--domain", help="Domains of it, separated by commas; all by default.")]
FeatureFile = Annotated[Path, typer.Option("--features", help="A feature file (see `features`).")]
Out = Annotated[Path, typer.Option("--out", help="Where the result goes.")]
Preset = Annotated[str, typer.Option("--preset", help="small (two cores) or paper (section 4.1.4's sizes).")]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="At most so many epochs.")]
Seed = Annotated[int, typer.Option("--seed", help="Of start values, drop-out and the order of rows.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show(table, as_json, **more):
    """A frame for people, or the frame's records with ``more`` for machines."""
    if as_json:
        print(json.dumps({**more, "rows": json.loads(table.to_json(orient="records"))}))
    else:
        print(table.to_string(index=False, float_format="{:.4f}".format))


def load_parts(folder, domains):
    from mmm4rec_lite.data import load_dataset

    dataset = load_dataset(folder)
    return [dataset.select(name.strip()) for name in domains.split(",")] if domains else [dataset]


def load_domains(folder, domains):
    from mmm4rec_lite.data import order_only, union

    parts = load_parts(folder, domains)
    dataset = parts[0] if len(parts) == 1 else union(parts, "+".join(part.name for part in parts))
    if order_only(dataset):
        print(f"note: {dataset.name} has no times, only an order: models read no times", file=sys.stderr)
    return dataset


def configs(preset, stage, epochs, seed):
    from mmm4rec_lite.models.config import ModelConfig
    from mmm4rec_lite.training import TrainConfig

    small = {"pretrain": TrainConfig(stage="pretrain", epochs=2, lr=1e-3), "finetune": TrainConfig()}
    presets = {"small": (ModelConfig(), small[stage]), "paper": (ModelConfig.paper(), TrainConfig.paper(stage))}
    if preset not in presets:
        raise InputError(f"preset: {preset!r} is not known; one of {', '.join(presets)}")
    model, training = presets[preset]
    return model, training.replace(seed=seed, **({"epochs": epochs} if epochs else {}))
