"""What the commands share. ``m4r`` imports what is heavy when it is first used: the commands' help comes at once."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import mmm4rec_lite as m4r
from mmm4rec_lite.utils.errors import printable
from mmm4rec_lite.utils.names import names

Dataset = Annotated[Path, typer.Option("--data", help="A dataset folder (see `data`).")]
Domains = Annotated[str, typer.Option("--domain", help="Domains of it, separated by commas; all by default.")]
FeatureFile = Annotated[Path, typer.Option("--features", help="A feature file (see `features`).")]
TEXTS = "Features of texts that lost some words (`features --augmented-text`): UniSRec, MISSRec."
AugmentedText = Annotated[Path | None, typer.Option(help=TEXTS)]
Out = Annotated[Path, typer.Option("--out", help="Where the result goes.")]
Seed = Annotated[int, typer.Option("--seed", help="Of start values, drop-out and the order of rows.")]
Devices = Annotated[int, typer.Option("--devices", min=1, help="GPUs (or CPU processes) of each machine.")]
Nodes = Annotated[int, typer.Option("--nodes", min=1, help="Machines, which must share the disk of --out.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Posters = Annotated[Path | None, typer.Option(help="A folder of pictures named <item id>.jpg.")]


def show(table: Any, as_json: bool, **more: Any) -> None:
    """A frame for people, or the frame's records with ``more`` for machines."""
    if as_json:
        print(json.dumps({**more, "rows": json.loads(table.to_json(orient="records"))}))
    else:
        print(printable(table.to_string(index=False, float_format="{:.4f}".format)))


def launch(devices: int, nodes: int) -> bool:
    """Start the processes, unless `torchrun` or `fabric run` did; is this the one that prints?"""
    from mmm4rec_lite.utils.devices import fabric

    return fabric(devices, nodes).global_rank == 0


def load_task(folder: Path, domains: str, features: Path, augmented_text: Path | None = None, **more: Any) -> Any:
    """A ``Task`` of files, of all or some domains of a dataset folder; ``more``: its other fields."""
    dataset = m4r.load_dataset(folder)
    parts = [dataset.select(name) for name in names(domains)] or [dataset]
    dataset = parts[0] if len(parts) == 1 else m4r.data.union(parts, "+".join(part.name for part in parts))
    if m4r.data.order_only(dataset):
        print(f"note: {dataset.name} has no times, only an order: models read no times", file=sys.stderr)
    texts = None if augmented_text is None else m4r.load_features(augmented_text)
    return m4r.Task(dataset, m4r.load_features(features), augmented_text=texts, **more)
