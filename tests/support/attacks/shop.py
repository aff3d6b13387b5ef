"""What the attacks work on: the toy, features, a trained run, a half-trained one."""

from functools import cache
from pathlib import Path

import torch

import mmm4rec_lite as m4r
from mmm4rec_lite.data.mapped import open_sequences
from mmm4rec_lite.features.tables import FeatureTable
from mmm4rec_lite.models.registry import build_model, get_model
from mmm4rec_lite.training import TrainConfig, fit
from tests.support import toy as make_toy

TINY = dict(epochs=1, d_model=16, d_ff=16, max_len=8, rows_per_epoch=128, batch_size=64, progress=False)
STATE = TrainConfig(epochs=1, batch_size=64, rows_per_epoch=128)


@cache
def toy():
    """The toy dataset."""
    return m4r.load_dataset(make_toy.FOLDER)


@cache
def features():
    """Its features, drawn."""
    g, n = torch.Generator().manual_seed(0), len(toy().items)
    encoder = {"name": "drawn", "fingerprint": "f" * 16, "missing": "zeros"}
    text, image = torch.randn(n, 10, generator=g), torch.randn(n, 12, generator=g)
    return m4r.Features(list(toy().items["item"]), text, image, torch.ones(n).bool(), encoder)


def task():
    """The two together."""
    return m4r.Task(toy(), features())


def small_model(seed=0):
    """An untrained SASRec and the config of its training."""
    torch.manual_seed(seed)
    return build_model("sasrec", task().catalogue, get_model("sasrec").sized(16, 8))


def train_into(folder, epochs=1):
    """The state of a training that could go on."""
    split = task().rows
    return fit(
        small_model(), split.sequences, split.train, STATE.replace(epochs=epochs), split.valid[:20], folder, False
    )


def furnish(folder: Path) -> dict[str, Path]:
    """kind -> file, of every kind of tensor file."""
    features().save(folder / "features.safetensors")
    n = len(toy().items)
    FeatureTable("audio", list(toy().items["item"]), torch.rand(n, 4), "made up").save(folder / "table.safetensors")
    m4r.run(task(), "mmm4rec", out=folder / "run", **TINY)
    train_into(folder / "half")
    open_sequences(make_toy.FOLDER, folder / "sequences.safetensors")
    names = {"features": "features", "table": "table", "sequences": "sequences"}
    files = {kind: folder / f"{name}.safetensors" for kind, name in names.items()}
    return files | {"run": folder / "run" / "model.safetensors", "training": folder / "half" / "training.safetensors"}
