"""Checkpoints: what was saved comes back, moves to another catalogue, and anything else is refused."""

import pickle
import re

import pytest
import torch
from safetensors.torch import save_file

from mmm4rec_lite.checkpoint import PER_ITEM, load_model, load_tensors, save_model, save_tensors
from mmm4rec_lite.config import Quirks
from mmm4rec_lite.data import batch
from mmm4rec_lite.errors import KitError


@pytest.fixture
def trained(toy_model, small):
    """A model none of whose tensors is at its start value."""
    model = toy_model(small.but(quirks=Quirks(filter_bias_twice=True), temperature=0.5)).eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor += 0.05 * torch.randn_like(tensor)
    return model


@pytest.fixture
def features(toy, random_features):
    return random_features(toy.items["item"])


@pytest.fixture
def file(trained, features, tmp_path):
    save_model(tmp_path / "model.safetensors", trained, features.encoder, stage="finetune")
    return tmp_path / "model.safetensors"


def refused(file, features, items, message, **changes):
    """load_model fails with one line that names the file and holds ``message``."""
    with pytest.raises(KitError, match=re.escape(message)) as error:
        load_model(file, features, items, **changes)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_saved_model_scores_the_same_when_loaded(trained, features, file, toy, toy_split):
    model, notes = load_model(file, features, toy.items["item"])
    one = batch(toy_split.sequences, toy_split.test, 8)
    scores = [m.score(m(one.items, one.lengths, one.times)) for m in (trained, model.eval())]
    assert torch.equal(*scores) and model.config == trained.config
    assert notes["stage"] == "finetune" and notes["encoder"] == features.encoder


def test_features_are_not_part_of_a_checkpoint(trained, file):
    tensors, _ = load_tensors(file)
    assert tensors.keys() == trained.state_dict().keys() and not any("features" in name for name in tensors)


def test_another_catalogue_takes_over_all_but_the_per_item_tables(trained, file, random_features):
    others = [f"x{n}" for n in range(25)]
    model, _ = load_model(file, random_features(others, seed=5), others, keep_items=False)
    for name, tensor in model.state_dict().items():
        if name in PER_ITEM:
            assert tensor.shape == (26, 16) and (tensor == 0).all()
        else:
            assert torch.equal(tensor, trained.state_dict()[name]), name
    assert len(model.text_features) == 26


def test_per_item_tables_can_be_added_or_dropped_by_a_transfer(toy_model, small, file, features, toy, tmp_path):
    items = toy.items["item"]
    save_model(tmp_path / "plain", toy_model(small.but(item_bias=False)), features.encoder)
    model, _ = load_model(tmp_path / "plain", features, items, keep_items=False, item_bias=True)
    assert (model.bias_image == 0).all() and model.config.item_bias
    model, _ = load_model(file, features, items, keep_items=False, item_bias=False)
    assert not hasattr(model, "bias_image")


def test_another_catalogue_without_keep_items_false_is_refused(file, random_features):
    others = [f"x{n}" for n in range(25)]
    message = refused(file, random_features(others), others, "does not fit this model: bias_image, bias_text;")
    assert message.startswith(str(file)) and "keep_items=False" in message


def test_items_without_features_are_refused(file, features):
    refused(file, features, ["l00", "nothing"], "features of other items: 1 of 2")


def test_features_of_another_encoder_are_refused(file, random_features, toy):
    refused(file, random_features(toy.items["item"], fingerprint="e" * 16), toy.items["item"], "cannot be mixed")


def test_weights_of_another_config_are_refused(file, features, toy):
    for changes in (dict(n_layers=2), dict(d_state=8), dict(time=False), dict(shared=False)):
        message = refused(file, features, toy.items["item"], "does not fit this model: layers.", **changes)
        assert len(message) < 400
    refused(file, features, toy.items["item"], "does not divide", head_dim=7)


def test_a_damaged_file_is_refused(file, features, toy):
    whole = file.read_bytes()
    for damaged in (whole[:-100], whole[:50], b"", b"\xff" * 200):
        file.write_bytes(damaged)
        refused(file, features, toy.items["item"], f"{file}: not a file of this library, or damaged")


class Trap:
    """Unpickling this is told by a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_pickle_by_another_name_is_refused_and_never_unpickled(write, tmp_path, features, toy):
    write({"model": Trap(tmp_path / "run")}, tmp_path / "model.safetensors")
    refused(tmp_path / "model.safetensors", features, toy.items["item"], "not a file of this library, or damaged")
    assert not (tmp_path / "run").exists()


def test_other_safetensors_files_are_refused(tmp_path, features, toy):
    path, items = tmp_path / "other.safetensors", toy.items["item"]
    refused(path, features, items, "no such file")
    features.save(path)
    refused(path, features, items, "not a file of this library, or damaged")
    save_file({"x": torch.zeros(2)}, path)
    refused(path, features, items, "not a file of this library, or damaged")
    save_tensors(path, {"x": torch.zeros(2)}, history=[])
    refused(path, features, items, "a file of this library, but not a model")


def test_tensors_and_notes_come_back_from_any_layout(tmp_path):
    x = torch.arange(12).reshape(3, 4)
    save_tensors(tmp_path / "new" / "t", {"x": x.T, "y": x.clone()[:, 1]}, a=[1, {"b": None}], é="ü")
    tensors, notes = load_tensors(tmp_path / "new" / "t")
    assert torch.equal(tensors["x"], x.T) and torch.equal(tensors["y"], x[:, 1])
    assert notes == {"a": [1, {"b": None}], "é": "ü"}
