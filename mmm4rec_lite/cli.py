"""The command line: parses, calls, prints. ``--json`` prints one JSON object for machines."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmm4rec_lite.errors import KitError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
                  help="MMM4Rec, readable: data, features, pre-training, fine-tuning, evaluation, recommendations.")
data_app = typer.Typer(no_args_is_help=True, help="Get, check and describe dataset folders.")
app.add_typer(data_app, name="data")

Dataset = Annotated[Path, typer.Option("--data", help="A dataset folder (see `data`).")]
Domains = Annotated[str, typer.Option("--domain", help="Domains of it, separated by commas; all by default.")]
FeatureFile = Annotated[Path, typer.Option("--features", help="A feature file (see `features`).")]
Out = Annotated[Path, typer.Option("--out", help="Where the result goes.")]
Preset = Annotated[str, typer.Option("--preset", help="small (two cores) or paper (section 4.1.4's sizes).")]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="At most so many epochs.")]
Seed = Annotated[int, typer.Option("--seed", help="Of start values, drop-out and the order of rows.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main():
    """Run the command line; a KitError becomes one line on stderr and exit code 2."""
    try:
        app()
    except (KitError, OSError) as error:
        sys.exit(_fail(error))


def _fail(error):
    print(f"error: {error}", file=sys.stderr)
    return 2


def _show(table, as_json, **more):
    """A frame for people, or the frame's records with ``more`` for machines."""
    if as_json:
        print(json.dumps({**more, "rows": json.loads(table.to_json(orient="records"))}))
    else:
        print(table.to_string(index=False, float_format="{:.4f}".format))


def _parts(folder, domains):
    from mmm4rec_lite.data import load_dataset

    dataset = load_dataset(folder)
    return [dataset.select(name.strip()) for name in domains.split(",")] if domains else [dataset]


def _dataset(folder, domains):
    from mmm4rec_lite.data import union

    parts = _parts(folder, domains)
    return parts[0] if len(parts) == 1 else union(parts, "+".join(part.name for part in parts))


def _configs(preset, stage, epochs, seed):
    from mmm4rec_lite.config import ModelConfig
    from mmm4rec_lite.train import TrainConfig

    small = {"pretrain": TrainConfig(loss="in_batch", epochs=2, lr=1e-3), "finetune": TrainConfig()}
    presets = {"small": (ModelConfig(), small[stage]), "paper": (ModelConfig.paper(), TrainConfig.paper(stage))}
    if preset not in presets:
        raise KitError(f"preset: {preset!r} is not known; one of {', '.join(presets)}")
    model, training = presets[preset]
    return model, training.but(seed=seed, **({"epochs": epochs} if epochs else {}))


@data_app.command("movielens")
def data_movielens(
    out: Out,
    posters: Annotated[Path | None, typer.Option(help="A folder of pictures named <item id>.jpg.")] = None,
    ties: Annotated[str, typer.Option(help="Order inside one second: line or shuffle.")] = "line",
    seed: Seed = 0,
    as_json: Json = False,
):
    """Fetch MovieLens-100K (5-core, genre groups as domains) into a dataset folder."""
    from mmm4rec_lite.data import movielens_100k

    movielens_100k(posters, ties, seed).save(out)
    data_table([out], as_json)


@data_app.command("check")
def data_check(folder: Path, as_json: Json = False):
    """Check a dataset folder and describe it."""
    data_table([folder], as_json)


@data_app.command("table")
def data_table(folders: list[Path], as_json: Json = False):
    """Statistics of dataset folders and of their domains, as in the paper's Table 1."""
    from mmm4rec_lite.data import load_dataset, statistics

    datasets = []
    for folder in folders:
        dataset = load_dataset(folder)
        datasets.append(dataset)
        if len(dataset.domains) > 1:
            datasets += [dataset.select(domain) for domain in dataset.domains]
    _show(statistics(datasets), as_json)


@app.command("features")
def features_command(
    data: Dataset,
    out: Out,
    encoder: Annotated[str, typer.Option(help="packaged, siglip (the paper's), random, or an open_clip folder.")],
    missing: Annotated[str, typer.Option(help="Items without a picture: zeros or white.")] = "zeros",
    bad_images: Annotated[str, typer.Option(help="Pictures that cannot be read: error or missing.")] = "error",
    as_json: Json = False,
):
    """Extract item features with a frozen encoder; goes on where an interrupted call stopped."""
    from mmm4rec_lite.data import load_dataset
    from mmm4rec_lite.devices import device
    from mmm4rec_lite.features import extract, load_encoder

    features = extract(load_dataset(data), load_encoder(encoder, device()), out, missing, bad_images=bad_images)
    print(json.dumps({"path": str(out), "items": len(features.items), **features.encoder}) if as_json else features)


@app.command("pretrain")
def pretrain_command(
    data: Dataset, features: FeatureFile, out: Out, domain: Domains = "", preset: Preset = "small",
    epochs: Epochs = None, seed: Seed = 0, as_json: Json = False,
):
    """Pre-train on source domains (in-batch cross-entropy, eq. 21)."""
    from mmm4rec_lite.features import load_features
    from mmm4rec_lite.stages import pretrain

    config, training = _configs(preset, "pretrain", epochs, seed)
    _, history = pretrain(_dataset(data, domain), load_features(features), out, config, training, not as_json)
    _show(history, as_json, model=str(out / "model.safetensors"))


@app.command("finetune")
def finetune_command(
    data: Dataset, features: FeatureFile, out: Out, domain: Domains = "",
    start: Annotated[Path | None, typer.Option(help="A run folder of `pretrain`; none: from scratch.")] = None,
    preset: Preset = "small", epochs: Epochs = None, seed: Seed = 0,
    item_bias: Annotated[bool, typer.Option(help="Per-item tables (with ID) or not (without ID).")] = True,
    split: Annotated[str, typer.Option(help="leave_one_out or global_time.")] = "leave_one_out",
    as_json: Json = False,
):
    """Fine-tune on a target domain (full-catalogue cross-entropy, eq. 22)."""
    from mmm4rec_lite.features import load_features
    from mmm4rec_lite.stages import finetune

    config, training = _configs(preset, "finetune", epochs, seed)
    checkpoint = None if start is None else start / "model.safetensors"
    _, history = finetune(_dataset(data, domain), load_features(features), out, checkpoint,
                          config.but(item_bias=item_bias), training, split, not as_json)
    _show(history, as_json, model=str(out / "model.safetensors"))


@app.command("evaluate")
def evaluate_command(
    run: Annotated[Path, typer.Argument(help="A run folder of `finetune`.")],
    data: Dataset, features: FeatureFile, domain: Domains = "", as_json: Json = False,
):
    """Test metrics by full ranking, beside popularity and a Markov chain."""
    from mmm4rec_lite.baselines import counting
    from mmm4rec_lite.evaluate import compare, model_scorer
    from mmm4rec_lite.stages import split

    model, notes, dataset = _model(run, data, features, domain)
    if notes["stage"] == "pretrain":
        raise KitError(f"{run}: a pre-training run holds no rows out to test on; fine-tune it first")
    rows = split(dataset, notes.get("split", "leave_one_out"))
    systems = {"MMM4Rec": model_scorer(model), **counting(rows)}
    table = compare(systems, rows.sequences, rows.test, model.config.max_len)
    _show(table, as_json, run=str(run), dataset=dataset.name, split=notes.get("split", "leave_one_out"))


@app.command("recommend")
def recommend_command(
    run: Annotated[Path, typer.Argument(help="A run folder of `finetune`.")],
    user: Annotated[str, typer.Option(help="The user's id in the dataset.")],
    data: Dataset, features: FeatureFile, domain: Domains = "",
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10,
    as_json: Json = False,
):
    """The best next items for a user, by name."""
    from mmm4rec_lite.recommend import recommend, user_history

    model, _, dataset = _model(run, data, features, domain)
    table = recommend(model, dataset, user, k)
    if not as_json:
        latest = user_history(dataset, user).tail(5)["title"]
        print(f"Latest of user {user}: {'; '.join(latest)}\n")
    _show(table.drop(columns="image"), as_json, user=user)


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


def _model(run, data, features, domain):
    from mmm4rec_lite.checkpoint import load_model
    from mmm4rec_lite.devices import device
    from mmm4rec_lite.features import load_features

    dataset = _dataset(data, domain)
    model, notes = load_model(run / "model.safetensors", load_features(features), dataset.items["item"])
    return model.to(device()), notes, dataset
