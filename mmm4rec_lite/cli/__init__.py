"""The library's commands: parse, call, print. ``mmm4rec_lite.study.cli``, the program, adds the study's commands."""

from pathlib import Path
from typing import Annotated

import typer

import mmm4rec_lite as m4r
from mmm4rec_lite.cli import models, reasons
from mmm4rec_lite.cli.common import Dataset, Domains, FeatureFile, Out, load_task
from mmm4rec_lite.cli.data import data_app, features_command, features_table_command
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.names import names

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
    user: Annotated[list[str] | None, typer.Option(help="A user; again for more. Four by default.")] = None,
    run: Annotated[
        Path | None, typer.Option(help="A run's own heads in place of invented ones; with --features.")
    ] = None,
    features: Annotated[Path | None, typer.Option(help="The run's feature file.")] = None,
    domain: Domains = "",
    out: Out = Path("decay_mask.html"),
) -> None:
    """The decay-mask explorer over your users' histories as one HTML file, for any browser, without Python."""
    from mmm4rec_lite.viz.explorers.page import histories, write_page

    refuse((run is None) != (features is None), "explorer: --run and --features go together")
    if run is None or features is None:
        print(write_page(out, histories(m4r.load_dataset(data), user)))
        return
    task = load_task(data, domain, features)
    done = m4r.load_run(run, task)
    print(write_page(out, histories(task.dataset, user, done.model.window), done, task.dataset))


@app.command("explain")
def explain_command(
    run: models.Run,
    data: Dataset,
    features: FeatureFile,
    users: Annotated[str, typer.Option(help="Whose histories, separated by commas; at most 12.")] = "",
    domain: Domains = "",
    items: Annotated[
        int, typer.Option(min=1, help="At most so many items: those of the users, then frequent ones.")
    ] = 400,
    images: Annotated[bool, typer.Option(help="Leave the pictures out with --no-images.")] = True,
    out: Out = Path("live.html"),
) -> None:
    """A trained MMM4Rec alive in one HTML file: its weights, items and some histories, for any browser."""
    from mmm4rec_lite.viz.live.export import explain, first_users

    task = load_task(data, domain, features)
    done = m4r.load_run(run, task)
    print(explain(done, task.dataset, names(users) or first_users(task.dataset), out, items, images))
