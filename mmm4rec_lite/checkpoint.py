"""Weights on disk: safetensors with the config in its header; nothing is ever unpickled.

A checkpoint holds no features. It goes with the encoder (by fingerprint) that its adapters were trained on,
and ``load_model`` refuses others.
"""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mmm4rec_lite.config import ModelConfig, Quirks
from mmm4rec_lite.errors import KitError
from mmm4rec_lite.files import atomic
from mmm4rec_lite.model import MMM4Rec

PER_ITEM = ("bias_image", "bias_text")


def save_tensors(path, tensors, **notes):
    """Write tensors and JSON notes to one safetensors file, whole or not at all."""
    with atomic(path) as temporary:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary,
                  {"notes": json.dumps(notes)})


def load_tensors(path):
    """(tensors, notes) of a file that ``save_tensors`` wrote."""
    path = Path(path)
    if not path.is_file():
        raise KitError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, json.loads(file.metadata()["notes"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise KitError(f"{path}: not a file of this library, or damaged ({error}); make it again") from None


def save_model(path, model, encoder, **notes):
    """Write a checkpoint. ``encoder``: the ``Features.encoder`` notes that the model was trained on."""
    save_tensors(path, model.state_dict(), config=asdict(model.config), encoder=encoder, **notes)


def load_model(path, features, item_ids, keep_items=True, **changes):
    """The model of a checkpoint over the catalogue ``item_ids`` with its ``features``; returns (model, notes).

    ``keep_items=False`` is the transfer to another catalogue: the per-item tables E^v, E^t start anew at zero.
    ``changes`` go to the config (e.g. ``item_bias=True`` where pre-training had none).
    """
    tensors, notes = load_tensors(path)
    if "config" not in notes:
        raise KitError(f"{path}: a file of this library, but not a model")
    features.require_encoder(notes["encoder"]["fingerprint"])
    config = ModelConfig(**{**notes["config"], "quirks": Quirks(**notes["config"]["quirks"]), **changes})
    model = MMM4Rec(config, *features.align(item_ids))
    fresh = () if keep_items else PER_ITEM
    own = model.state_dict()
    tensors = {k: v for k, v in tensors.items() if k not in fresh}
    wrong = sorted(k for k in own.keys() | tensors.keys() if k not in fresh and (
        k not in tensors or k not in own or own[k].shape != tensors[k].shape))
    if wrong:
        raise KitError(f"{path}: does not fit this model: {', '.join(wrong[:3])}{' ...' if len(wrong) > 3 else ''}; "
                       "another catalogue needs keep_items=False, another config other weights")
    with torch.no_grad():
        for k, v in tensors.items():
            own[k].copy_(v)
    return model, notes
