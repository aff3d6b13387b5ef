"""The command line: parses, calls, prints. ``--json`` prints one JSON object for machines."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mmm4rec_lite.cli import models
from mmm4rec_lite.cli.audit import audit_command
from mmm4rec_lite.cli.common import Dataset, Out
from mmm4rec_lite.cli.data import data_app, features_command, features_table_command
from mmm4rec_lite.cli.experiments import experiment_app, report_command, reproduce_command, systems_command
from mmm4rec_lite.errors import KitError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="MMM4Rec, readable: data, features, pre-training, fine-tuning, evaluation, recommendations.",
)
app.add_typer(data_app, name="data")
app.add_typer(experiment_app, name="experiment")
app.command("features")(features_command)
app.command("audit")(audit_command)
app.command("features-table")(features_table_command)
app.command("systems")(systems_command)
app.command("reproduce")(reproduce_command)
app.command("report")(report_command)
for stage in ("pretrain", "finetune", "evaluate", "recommend"):
    app.command(stage)(getattr(models, f"{stage}_command"))


def main():
    """Run the command line; a KitError becomes one line on stderr and exit code 2."""
    try:
        app()
    except (KitError, OSError) as error:
        sys.exit(_fail(error))


def _fail(error):
    print(f"error: {error}", file=sys.stderr)
    return 2


@app.command("tour")
def tour_command(
    posters: Annotated[Path | None, typer.Option(help="A folder of pictures named <item id>.jpg.")] = None,
):
    """Everything once, on MovieLens-100K: data, features, both stages, evaluation, notebooks, site."""
    from mmm4rec_lite.tour import tour

    tour(posters)


@app.command("notebooks")
def notebooks_command(paths: list[Path]):
    """Execute notebooks in place, outputs included (for those who change them)."""
    from mmm4rec_lite.site import execute, write

    for path in paths:
        write(execute(path), path)


@app.command("explorer")
def explorer_command(
    data: Dataset,
    user: Annotated[list[str] | None, typer.Option(help="A user; again for more. Default: the demo store's.")] = None,
    out: Out = Path("decay_mask.html"),
):
    """The decay-mask explorer over your users' histories as one HTML file, for any browser, without Python."""
    from mmm4rec_lite.data import load_dataset
    from mmm4rec_lite.widgets.page import SHOWN, histories, write_page

    print(write_page(out, histories(load_dataset(data), user or SHOWN)))
