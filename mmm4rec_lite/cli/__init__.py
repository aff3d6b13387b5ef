"""The library's commands: parse, call, print. ``mmm4rec_lite.study.cli``, the program, adds the study's commands."""

from pathlib import Path
from typing import Annotated

import typer

import mmm4rec_lite as m4r
from mmm4rec_lite.cli import models, reasons
from mmm4rec_lite.cli.common import Dataset, Out
from mmm4rec_lite.cli.data import data_app, features_command, features_table_command

ABOUT = "MMM4Rec, readable: data, features, pre-training, fine-tuning, evaluation, recommendations."
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, help=ABOUT)
app.add_typer(data_app, name="data")
app.command("features")(features_command)
app.command("features-table")(features_table_command)
app.command("models")(models.systems_command)
app.command("systems")(models.systems_command)
for stage in ("pretrain", "finetune", "evaluate", "recommend"):
    app.command(stage)(getattr(models, f"{stage}_command"))
app.command("why")(reasons.why_command)
app.command("compare")(reasons.compare_command)


@app.command("explorer")
def explorer_command(
    data: Dataset,
    user: Annotated[list[str] | None, typer.Option(help="A user; again for more. Default: the demo store's.")] = None,
    out: Out = Path("decay_mask.html"),
) -> None:
    """The decay-mask explorer over your users' histories as one HTML file, for any browser, without Python."""
    from mmm4rec_lite.viz.explorers.page import SHOWN, histories, write_page

    print(write_page(out, histories(m4r.load_dataset(data), user or SHOWN)))
