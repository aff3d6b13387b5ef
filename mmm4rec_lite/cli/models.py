"""Commands on models: train, evaluate, recommend."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mmm4rec_lite.cli.common import (
    AugmentedText,
    Dataset,
    Domains,
    Epochs,
    FeatureFile,
    Json,
    Model,
    Out,
    Preset,
    Seed,
    load_task,
    show,
)
from mmm4rec_lite.utils.errors import InputError

DEFAULT = "mmm4rec+id"


def pretrain_command(
    data: Dataset,
    features: FeatureFile,
    out: Out,
    domain: Domains = "",
    model: Model = DEFAULT,
    augmented_text: AugmentedText = None,
    preset: Preset = "small",
    epochs: Epochs = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Pre-train on source domains (MMM4Rec: in-batch cross-entropy, eq. 21)."""
    from mmm4rec_lite.runs import Protocol, pretrain

    task = load_task(data, domain, features, augmented_text)
    changes = _changes(task, model, epochs)
    done = pretrain(task, model, Protocol(preset), out, seed=seed, progress=not as_json, **changes)
    show(done.history, as_json, model=str(out / "model.safetensors"))


def finetune_command(
    data: Dataset,
    features: FeatureFile,
    out: Out,
    domain: Domains = "",
    model: Model = DEFAULT,
    start: Annotated[Path | None, typer.Option(help="A run folder of `pretrain`; none: from scratch.")] = None,
    preset: Preset = "small",
    epochs: Epochs = None,
    seed: Seed = 0,
    item_bias: Annotated[bool | None, typer.Option(help="NAME+id, or NAME without ids, whatever --model says.")] = None,
    query_time: Annotated[bool, typer.Option("--query-time", help="The model is told when it is asked.")] = False,
    split: Annotated[str, typer.Option(help="leave_one_out or global_time.")] = "leave_one_out",
    as_json: Json = False,
) -> None:
    """Fine-tune on a target domain, or train from scratch (MMM4Rec: full-catalogue cross-entropy, eq. 22)."""
    from mmm4rec_lite.runs import Protocol, run

    if item_bias is not None:
        model = model.removesuffix("+id") + ("+id" if item_bias else "")
    task = load_task(data, domain, features, split=split)
    changes = _changes(task, model, epochs) | (dict(query_time=True) if query_time else {})
    done = run(task, model, Protocol(preset), out, start=start, seed=seed, progress=not as_json, **changes)
    show(done.history, as_json, model=str(out / "model.safetensors"))


def _changes(task, model, epochs):
    """What a run of these data changes in the preset."""
    from mmm4rec_lite.models.registry import get_model

    timeless = "time" in get_model(model).reads and "time" not in task.inputs
    return (dict(time=False) if timeless else {}) | (dict(epochs=epochs) if epochs else {})


def evaluate_command(
    run: Annotated[Path, typer.Argument(help="A run folder of `finetune`.")],
    data: Dataset,
    features: FeatureFile,
    domain: Domains = "",
    as_json: Json = False,
) -> None:
    """Test metrics by full ranking, beside popularity and a Markov chain."""
    from mmm4rec_lite.evaluation import compare, counting, model_scorer
    from mmm4rec_lite.models.registry import get_model
    from mmm4rec_lite.runs import SPLITS, load_run

    task = load_task(data, domain, features)
    done = load_run(run, task)
    if done.record["stage"] == "pretrain":
        raise InputError(f"{run}: a pre-training run holds no rows out to test on; fine-tune it first")
    rows = SPLITS[done.record["split"]](task.dataset)
    told = ", told the time of the request" if getattr(done.model.config, "query_time", False) else ""
    systems = {get_model(done.record["system"]).title + told: model_scorer(done.model), **counting(rows)}
    table = compare(systems, rows.sequences, rows.test, done.model.window)
    show(table, as_json, run=str(run), dataset=task.dataset.name, split=done.record["split"])


def recommend_command(
    run: Annotated[Path, typer.Argument(help="A run folder of `finetune`.")],
    user: Annotated[str, typer.Option(help="The user's id in the dataset.")],
    data: Dataset,
    features: FeatureFile,
    domain: Domains = "",
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10,
    at: Annotated[datetime | None, typer.Option(help="When they are asked for, in UTC (query_time models).")] = None,
    as_json: Json = False,
) -> None:
    """The best next items for a user, by name."""
    from mmm4rec_lite.evaluation import recommend, user_history
    from mmm4rec_lite.runs import load_run

    task = load_task(data, domain, features)
    seconds = None if at is None else int(at.replace(tzinfo=UTC).timestamp())
    table = recommend(load_run(run, task).model, task.dataset, user, k, at=seconds)
    if not as_json:
        print(f"Latest of user {user}: {'; '.join(user_history(task.dataset, user).tail(5)['title'])}\n")
    show(table.drop(columns="image"), as_json, user=user)


def systems_command(as_json: Json = False) -> None:
    """Every system built here: modalities, stages, paper, parameters without per-item tables at widths 64 and 256."""
    import pandas as pd

    from mmm4rec_lite.models.registry import list_models

    records = list_models()
    if as_json:
        print(json.dumps(records))
        return
    ids = {True: " [id]", False: ""}
    columns = ["name", "modalities", "stages", "at 64", "at 256", "paper"]
    lines = [
        (
            r["name"],
            " ".join(r["modalities"]) + ids[r["with ids too"]],
            " ".join(r["stages"]),
            *r["parameters"].values(),
            r["paper"],
        )
        for r in records
    ]
    print(pd.DataFrame(lines, columns=columns).to_string(index=False))
    print("[id]: with a learned vector per item too, as NAME+id")
