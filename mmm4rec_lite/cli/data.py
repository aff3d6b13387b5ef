"""Commands on data: datasets and their features."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mmm4rec_lite.cli.common import Dataset, Json, Out, Seed, show

data_app = typer.Typer(no_args_is_help=True, help="Get, check and describe dataset folders.")


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
    show(statistics(datasets), as_json)


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
