"""The program ``mmm4rec-lite``: the library's commands, and those of the study on top."""

import os
import sys
from pathlib import Path
from typing import Annotated

# Before torch starts its threads: waiting ones should sleep, not spin. On a machine with other work to do,
# spinning makes a training step ten times slower; on an idle one the difference is small.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import typer  # noqa: E402

from mmm4rec_lite.cli import app  # noqa: E402
from mmm4rec_lite.study.cli.audit import audit_command  # noqa: E402
from mmm4rec_lite.study.cli.experiments import experiment_app, report_command, reproduce_command  # noqa: E402
from mmm4rec_lite.utils.errors import InputError  # noqa: E402

app.add_typer(experiment_app, name="experiment")
app.command("audit")(audit_command)
app.command("reproduce")(reproduce_command)
app.command("report")(report_command)


@app.command("tour")
def tour_command(
    posters: Annotated[Path | None, typer.Option(help="A folder of pictures named <item id>.jpg.")] = None,
):
    """Everything once, on MovieLens-100K: data, features, both stages, evaluation, notebooks, site."""
    from mmm4rec_lite.study.tour import tour

    tour(posters)


@app.command("notebooks")
def notebooks_command(paths: list[Path]):
    """Execute notebooks in place, outputs included (for those who change them)."""
    from mmm4rec_lite.study.site import execute, write

    for path in paths:
        write(execute(path), path)


def main():
    """Run the command line; an InputError becomes one line on stderr and exit code 2."""
    try:
        app()
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
