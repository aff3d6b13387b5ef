"""Commands that run experiments and write their figures."""

from pathlib import Path
from typing import Annotated

import typer

from mmm4rec_lite.cli.common import Json, show
from mmm4rec_lite.errors import KitError

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
):
    """What the model finds of the demo store's truth: OUT as csv, and in words beside it (.md)."""
    import pandas as pd

    from mmm4rec_lite.experiments.store import PARTS, pooled, report
    from mmm4rec_lite.files import atomic

    names = [name.strip() for name in part.split(",")]
    if lost := [name for name in names if name not in PARTS]:
        raise KitError(f"--part: {lost[0]!r} is not known; one of {', '.join(PARTS)}")
    frame = pd.concat([PARTS[name](seeds) for name in names], ignore_index=True)
    with atomic(out) as temporary:
        frame.to_csv(temporary, index=False)
    with atomic(out.with_suffix(".md")) as temporary:
        temporary.write_text(report(frame), encoding="utf-8")
    show(pooled(frame), as_json, out=str(out))
