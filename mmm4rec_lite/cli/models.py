"""Commands on models: train, evaluate, recommend."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mmm4rec_lite.cli.common import (
    Dataset,
    Domains,
    Epochs,
    FeatureFile,
    Json,
    Out,
    Preset,
    Seed,
    configs,
    load_domains,
    show,
)
from mmm4rec_lite.utils.errors import InputError


def pretrain_command(
    data: Dataset,
    features: FeatureFile,
    out: Out,
    domain: Domains = "",
    preset: Preset = "small",
    epochs: Epochs = None,
    seed: Seed = 0,
    as_json: Json = False,
):
    """Pre-train on source domains (in-batch cross-entropy, eq. 21)."""
    from mmm4rec_lite.features import load_features
    from mmm4rec_lite.stages import pretrain

    config, training = configs(preset, "pretrain", epochs, seed)
    _, history = pretrain(load_domains(data, domain), load_features(features), out, config, training, not as_json)
    show(history, as_json, model=str(out / "model.safetensors"))


def finetune_command(
    data: Dataset,
    features: FeatureFile,
    out: Out,
    domain: Domains = "",
    start: Annotated[Path | None, typer.Option(help="A run folder of `pretrain`; none: from scratch.")] = None,
    preset: Preset = "small",
    epochs: Epochs = None,
    seed: Seed = 0,
    item_bias: Annotated[bool, typer.Option(help="Per-item tables (with ID) or not (without ID).")] = True,
    query_time: Annotated[bool, typer.Option("--query-time", help="The model is told when it is asked.")] = False,
    split: Annotated[str, typer.Option(help="leave_one_out or global_time.")] = "leave_one_out",
    as_json: Json = False,
):
    """Fine-tune on a target domain (full-catalogue cross-entropy, eq. 22)."""
    from mmm4rec_lite.features import load_features
    from mmm4rec_lite.stages import finetune

    config, training = configs(preset, "finetune", epochs, seed)
    checkpoint = None if start is None else start / "model.safetensors"
    _, history = finetune(
        load_domains(data, domain),
        load_features(features),
        out,
        checkpoint,
        config.replace(item_bias=item_bias, query_time=query_time),
        training,
        split,
        not as_json,
    )
    show(history, as_json, model=str(out / "model.safetensors"))


def evaluate_command(
    run: Annotated[Path, typer.Argument(help="A run folder of `finetune`.")],
    data: Dataset,
    features: FeatureFile,
    domain: Domains = "",
    as_json: Json = False,
):
    """Test metrics by full ranking, beside popularity and a Markov chain."""
    from mmm4rec_lite.evaluation import compare, counting, model_scorer
    from mmm4rec_lite.stages import split

    model, notes, dataset = _trained(run, data, features, domain)
    if notes["stage"] == "pretrain":
        raise InputError(f"{run}: a pre-training run holds no rows out to test on; fine-tune it first")
    rows = split(dataset, notes.get("split", "leave_one_out"))
    name = "MMM4Rec, told the time of the request" if model.config.query_time else "MMM4Rec"
    systems = {name: model_scorer(model), **counting(rows)}
    table = compare(systems, rows.sequences, rows.test, model.config.max_len)
    show(table, as_json, run=str(run), dataset=dataset.name, split=notes.get("split", "leave_one_out"))


def recommend_command(
    run: Annotated[Path, typer.Argument(help="A run folder of `finetune`.")],
    user: Annotated[str, typer.Option(help="The user's id in the dataset.")],
    data: Dataset,
    features: FeatureFile,
    domain: Domains = "",
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10,
    at: Annotated[datetime | None, typer.Option(help="When they are asked for, in UTC (query_time models).")] = None,
    as_json: Json = False,
):
    """The best next items for a user, by name."""
    from mmm4rec_lite.evaluation import recommend, user_history

    model, _, dataset = _trained(run, data, features, domain)
    seconds = None if at is None else int(at.replace(tzinfo=UTC).timestamp())
    table = recommend(model, dataset, user, k, at=seconds)
    if not as_json:
        latest = user_history(dataset, user).tail(5)["title"]
        print(f"Latest of user {user}: {'; '.join(latest)}\n")
    show(table.drop(columns="image"), as_json, user=user)


def _trained(run, data, features, domain):
    from mmm4rec_lite.checkpoint import load_model
    from mmm4rec_lite.features import load_features
    from mmm4rec_lite.utils.devices import device

    dataset = load_domains(data, domain)
    model, notes = load_model(run / "model.safetensors", load_features(features), dataset.items["item"])
    return model.to(device()), notes, dataset


def systems_command(as_json: Json = False):
    """Every system built here: modalities, stages, paper, parameters without per-item tables at widths 64 and 256."""
    import json

    import pandas as pd

    from mmm4rec_lite.models.registry import list_models

    records = list_models()
    if as_json:
        print(json.dumps(records))
        return
    plain = [
        {
            **r,
            "modalities": " ".join(r["modalities"]) + (" [id]" if r["with ids too"] else ""),
            "stages": " ".join(r["stages"]),
            **{f"at {w}": n for w, n in r["parameters"].items()},
        }
        for r in records
    ]
    print(pd.DataFrame(plain)[["name", "modalities", "stages", "at 64", "at 256", "paper"]].to_string(index=False))
    print("[id]: with a learned vector per item too, as NAME+id")
