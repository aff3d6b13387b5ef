"""Every model of the registry in a small size, over a catalogue of noise."""

from dataclasses import fields

import torch

from mmm4rec_lite.evaluation import model_scorer, rank_rows
from mmm4rec_lite.models.base import Catalogue
from mmm4rec_lite.models.registry import MODELS, get_model
from mmm4rec_lite.runs import fit_gaps
from mmm4rec_lite.training import TrainConfig, fit

NAMES = [*MODELS, *(f"{name}+id" for name, system in MODELS.items() if system.ids)]
STAGED = [(name, stage) for name in NAMES for stage in get_model(name).stages]
QUIET = {f"{kind}dropout": 0.0 for kind in ("", "attention_", "time_", "token_", "adaptor_")}


def drawn(rows, seed=0):
    """A catalogue of noise in which every fourth item has no image."""
    g = torch.Generator().manual_seed(seed)
    text, image, augmented_text = torch.randn(3, rows, 12, generator=g)
    categories = torch.rand(rows, 5, generator=g) < 0.3
    return Catalogue(text, image, torch.arange(rows) % 4 > 0, augmented_text, categories)


def made(name, catalogue, stage="scratch", width=16, **changes):
    """The system in a small size, with drop-out only where ``changes`` ask for it."""
    system = get_model(name)
    known = {f.name for f in fields(system.config)}
    wanted = {**QUIET, **changes, **(system.pretraining if stage == "pretrain" else {})}
    torch.manual_seed(0)
    return system.build(system.sized(width, 8, **{k: v for k, v in wanted.items() if k in known}), catalogue)


def trains_ranks_and_loses_pictures(name, stage, device, toy, toy_split):
    catalogue = drawn(len(toy.items) + 1)
    model = made(name, catalogue, stage, dropout=0.1)
    fit_gaps(model, toy_split)
    config = TrainConfig(stage=stage, epochs=1, batch_size=32, clip=1.0)
    valid = None if stage == "pretrain" else toy_split.valid[:20]
    fit(model, toy_split.sequences, toy_split.train[:64], config, valid, progress=False)
    assert {parameter.device.type for parameter in model.parameters()} == {device}
    model.drop_images(torch.arange(len(catalogue)) % 3 == 0)
    ranks = rank_rows(model_scorer(model), toy_split.sequences, toy_split.test[:20], model.window, True, progress=False)
    assert ranks.min() >= 1 and ranks.max() <= len(toy.items)
