"""Commands that look closer: why an item is recommended, whether two runs differ."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

import mmm4rec_lite as m4r
from mmm4rec_lite.cli.common import Dataset, Domains, FeatureFile, Json, load_task, show
from mmm4rec_lite.cli.models import Run
from mmm4rec_lite.utils.errors import printable

EFFECT = "effect: the score less the score without this item (leave-one-out); share: of the sum of all effects' sizes."
ALIKE = "alike: cosine of the frozen features with those of the recommended item."


def why_command(
    run: Run,
    user: Annotated[str, typer.Option(help="The user's id in the dataset.")],
    data: Dataset,
    features: FeatureFile,
    item: Annotated[str | None, typer.Option(help="An item's id; by default the best recommendation.")] = None,
    domain: Domains = "",
    at: Annotated[datetime | None, typer.Option(help="When it is asked for, in UTC (query_time models).")] = None,
    as_json: Json = False,
) -> None:
    """Why a user is recommended an item: text's and picture's part, what each past item did, what is alike."""
    task = load_task(data, domain, features)
    seconds = None if at is None else int(at.replace(tzinfo=UTC).timestamp())
    found = m4r.analysis.reasons(m4r.load_run(run, task).model, task, user, item, at=seconds)
    table = found.history
    if as_json:
        about = {name: value for name, value in asdict(found).items() if name != "history"}
        show(table, True, **json.loads(json.dumps(about)))
        return
    place = f"rank {found.rank} of {found.candidates}, score {found.score:.4f}"
    print(printable(f"{found.title} ({found.item}) for user {user}: {place}"))
    if found.parts:
        print("score = " + " + ".join(f"{name} {value:.4f}" for name, value in found.parts.items()))
    shown = table.assign(
        days_before=table["days_before"].map("{:.1f}".format),
        share=table["share"].map(lambda share: "" if share != share else f"{share:+.0%}"),
        effect=table["effect"].map(lambda effect: "" if effect != effect else f"{effect:+.4f}"),
        rank_without=table["rank_without"].map(lambda rank: "" if rank != rank else f"{rank:.0f}"),
    ).rename(columns=lambda name: name.replace("_cosine", "_alike").replace("_", " "))
    shown = shown.to_string(index=False, float_format="{:.2f}".format, na_rep="")
    print(f"\n{printable(shown)}\n\n{EFFECT}\n{ALIKE}")
    for kind, word in (("text", "text"), ("image", "picture")):
        if (near := found.nearest(kind)) is not None:
            print(printable(f"Most alike by {word}: {near['title']} ({near[f'{kind}_cosine']:.2f})."))
    print(printable("\n".join(found.notes)), end="\n" if found.notes else "")


def compare_command(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of the same data; the first is the reference.")],
    filtered: Annotated[bool, typer.Option("--filtered", help="Without the user's history in the ranking.")] = False,
    as_json: Json = False,
) -> None:
    """Whether runs differ on the same test users: differences from the first run, with paired standard errors."""
    table = m4r.analysis.compare_runs(runs, filtered)
    show(table, as_json, reference_run=str(runs[0]))
    if not as_json:
        print("\nbetter, worse: users whose target stands higher, lower in the ranking, by any number of places.")
        print("significant: two standard errors or more. The error is over users; another seed may move both runs.")
