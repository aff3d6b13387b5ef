"""Commands on models: train, evaluate, recommend."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

import mmm4rec_lite as m4r
from mmm4rec_lite.cli.common import (
    AugmentedText,
    Dataset,
    Devices,
    Domains,
    FeatureFile,
    Json,
    Nodes,
    Out,
    Seed,
    launch,
    load_task,
    show,
)
from mmm4rec_lite.utils.errors import printable, refuse

DEFAULT = "mmm4rec+id"
Model = Annotated[str, typer.Option("--model", help="See `systems`; NAME+id: with a learned vector per item too.")]
Preset = Annotated[str, typer.Option("--preset", help="small (two cores), matched, or paper (published sizes).")]
Epochs = Annotated[
    int | None, typer.Option("--epochs", min=1, help="At most so many epochs; on top, those that only prepare (VQRec).")
]
Split = Annotated[str, typer.Option("--split", help="leave_one_out or global_time.")]
Run = Annotated[Path, typer.Argument(help="A run folder of `finetune`, or of `pretrain`, for zero-shot use.")]


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
    split: Split = "leave_one_out",
    devices: Devices = 1,
    nodes: Nodes = 1,
    as_json: Json = False,
) -> None:
    """Pre-train on source domains, or S3-Rec on its own (MMM4Rec: in-batch cross-entropy, eq. 21)."""
    task = load_task(data, domain, features, augmented_text, split=split)
    first = launch(devices, nodes)
    changes = _changes(task, model, epochs)
    done = m4r.pretrain(task, model, m4r.Protocol(preset), out, seed=seed, progress=not as_json, **changes)
    if first:
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
    devices: Devices = 1,
    nodes: Nodes = 1,
    item_bias: Annotated[bool | None, typer.Option(help="NAME+id, or NAME without ids, whatever --model says.")] = None,
    query_time: Annotated[bool, typer.Option("--query-time", help="The model is told when it is asked.")] = False,
    split: Split = "leave_one_out",
    as_json: Json = False,
) -> None:
    """Fine-tune on a target domain, or train from scratch (MMM4Rec: full-catalogue cross-entropy, eq. 22)."""
    if item_bias is not None:
        model = model.removesuffix("+id") + ("+id" if item_bias else "")
    task = load_task(data, domain, features, split=split)
    first = launch(devices, nodes)
    changes = _changes(task, model, epochs) | (dict(query_time=True) if query_time else {})
    done = m4r.run(task, model, m4r.Protocol(preset), out, start=start, seed=seed, progress=not as_json, **changes)
    if first:
        show(done.history, as_json, model=str(out / "model.safetensors"))


def _changes(task, model, epochs):
    """What a run of these data changes in the preset."""
    timeless = hasattr(m4r.get_model(model).config, "time") and "time" not in task.inputs
    return (dict(time=False) if timeless else {}) | (dict(epochs=epochs) if epochs else {})


def evaluate_command(
    run: Run, data: Dataset, features: FeatureFile, domain: Domains = "", as_json: Json = False
) -> None:
    """Test metrics by full ranking, beside popularity and a Markov chain; of a run of `pretrain`, on other domains."""
    task = load_task(data, domain, features)
    done = m4r.load_run(run, task)
    pretrained, ways = (
        done.record["stage"] == "pretrain",
        "fine-tune it first, or give data of other domains (zero-shot)",
    )
    refuse(pretrained and done.saw(task), f"{run}: a pre-training run holds no rows out to test on; {ways}")
    rows = m4r.runs.SPLITS[done.record["split"]](task.dataset)
    told = ", told the time of the request" if getattr(done.model.config, "query_time", False) else ""
    told += ", zero-shot" if pretrained else ""
    system, scorer = m4r.get_model(done.record["system"]).title + told, m4r.evaluation.model_scorer(done.model)
    table = m4r.compare({system: scorer, **m4r.evaluation.counting(rows)}, rows.sequences, rows.test, done.model.window)
    show(table, as_json, run=str(run), dataset=task.dataset.name, split=done.record["split"])


def recommend_command(
    run: Run,
    user: Annotated[str, typer.Option(help="The user's id in the dataset.")],
    data: Dataset,
    features: FeatureFile,
    domain: Domains = "",
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10,
    at: Annotated[datetime | None, typer.Option(help="When they are asked for, in UTC (query_time models).")] = None,
    as_json: Json = False,
) -> None:
    """The best next items for a user, by name."""
    task = load_task(data, domain, features)
    seconds = None if at is None else int(at.replace(tzinfo=UTC).timestamp())
    table = m4r.recommend(m4r.load_run(run, task).model, task.dataset, user, k, at=seconds)
    if not as_json:
        latest = "; ".join(m4r.evaluation.user_history(task.dataset, user).tail(5)["title"])
        print(printable(f"Latest of user {user}: {latest}"), end="\n\n")
    show(table.drop(columns="image"), as_json, user=user)


def systems_command(as_json: Json = False) -> None:
    """Every system: modalities, stages, parameters without per-item tables, paper; losses, how exact it is; quirks."""
    import pandas as pd

    records = m4r.list_models()
    if as_json:
        print(json.dumps(records))
        return
    table = pd.DataFrame(records)
    table["modalities"] = table["modalities"].str.join(" ") + table["with ids too"].map({True: " [id]", False: ""})
    table["stages"], table["quirks"] = table["stages"].str.join(" "), table["quirks"].str.join(" ")
    table[["at 64", "at 256"]] = [list(counts.values()) for counts in table["parameters"]]
    terms = lambda of: (" ".join(of[stage]) for stage in ("scratch", "pretrain") if stage in of)
    table["losses"] = ["; pretrain: ".join(dict.fromkeys(terms(losses))) for losses in table["losses"]]
    print(table[["name", "modalities", "stages", "at 64", "at 256", "paper"]].to_string(index=False))
    print("[id]: with a learned vector per item too, as NAME+id. Parameters: at two widths, features of 768 numbers.\n")
    print(table[["name", "losses", "exact"]].to_string(index=False))
    print("\nquirks: what released code does, off by default; docs/systems.md says what each is")
    for name, quirks in table.loc[table["quirks"] != "", ["name", "quirks"]].itertuples(index=False):
        print(f"{name:>11} {quirks}")
