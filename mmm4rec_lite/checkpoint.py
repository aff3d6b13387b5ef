"""Models on disk: weights, config and where they come from.

A checkpoint holds no features. It goes with the encoder (by fingerprint) that its adapters were trained on,
and ``load_model`` refuses others.
"""

import hashlib
import json
from dataclasses import asdict

import torch

from mmm4rec_lite.models.config import ModelConfig, Quirks
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.tensorfile import load_tensors, save_tensors


def save_model(path, model, encoder, item_ids, **notes):
    """Write a checkpoint. ``encoder``: the ``Features.encoder`` notes that the model was trained on."""
    save_tensors(
        path,
        "model",
        model.state_dict(),
        config=asdict(model.config),
        encoder=encoder,
        catalogue=_catalogue(item_ids),
        **notes,
    )


def load_model(path, features, item_ids, keep_items=True, **changes):
    """The model of a checkpoint over the catalogue ``item_ids`` with its ``features``; returns (model, notes).

    ``keep_items=False`` is the transfer to another catalogue: what is not carried over starts anew.
    ``changes`` go to the config (e.g. ``item_bias=True`` where pre-training had none).
    """
    tensors, notes = load_tensors(path, "model", "train one with the commands `pretrain` or `finetune`")
    features.require_encoder(notes["encoder"]["fingerprint"], notes["encoder"]["name"])
    try:
        config = ModelConfig(**{**notes["config"], "quirks": Quirks(**notes["config"]["quirks"]), **changes})
    except TypeError as error:
        raise InputError(f"{path}: its config is not this library's ({error}); train again with this version") from None
    if keep_items and (config.item_bias or config.fusion == "item") and notes["catalogue"] != _catalogue(item_ids):
        raise InputError(
            f"{path}: its per-item tables belong to other items (or another order of them); "
            "give the dataset and the domain that it was trained on (a transfer needs keep_items=False)"
        )
    model = MMM4Rec.from_catalogue(config, features.catalogue(item_ids))
    own = model.state_dict()
    fresh = () if keep_items else MMM4Rec.item_specific + MMM4Rec.reset_on_transfer
    tensors = {k: v for k, v in tensors.items() if k not in fresh}
    wrong = sorted(
        k
        for k in own.keys() | tensors.keys()
        if k not in fresh and (k not in tensors or k not in own or own[k].shape != tensors[k].shape)
    )
    if wrong:
        raise InputError(
            f"{path}: does not fit this model: {', '.join(wrong[:3])}{' ...' if len(wrong) > 3 else ''}; "
            "load it with the config that it was trained with"
        )
    with torch.no_grad():
        for k, v in tensors.items():
            own[k].copy_(v)
    return model, notes


def _catalogue(item_ids):
    return hashlib.sha256(json.dumps(list(item_ids)).encode()).hexdigest()
