"""Checkpoints: what was saved comes back, moves to another catalogue, and anything else is refused."""

import pickle
import re

import pytest
import torch

from mmm4rec_lite.checkpoint import load_model, save_model
from mmm4rec_lite.data import batch
from mmm4rec_lite.models.config import Quirks
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.tensorfile import load_tensors, save_tensors


@pytest.fixture
def trained(toy_model, small):
    """A model none of whose tensors is at its start value."""
    model = toy_model(small.replace(quirks=Quirks(filter_bias_twice=True), temperature=0.5)).eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor += 0.05 * torch.randn_like(tensor)
    return model


@pytest.fixture
def features(toy, random_features):
    return random_features(toy.items["item"])


@pytest.fixture
def file(trained, features, toy, tmp_path):
    save_model(tmp_path / "model.safetensors", trained, features.encoder, toy.items["item"], stage="finetune")
    return tmp_path / "model.safetensors"


def refused(file, features, items, message, **changes):
    """load_model fails with one line that names the file and holds ``message``."""
    with pytest.raises(InputError, match=re.escape(message)) as error:
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
    tensors, _ = load_tensors(file, "model", "")
    assert tensors.keys() == trained.state_dict().keys() and not any("features" in name for name in tensors)


def test_another_catalogue_takes_over_all_but_the_per_item_tables(trained, file, random_features):
    others = [f"x{n}" for n in range(25)]
    model, _ = load_model(file, random_features(others, seed=5), others, keep_items=False)
    for name, tensor in model.state_dict().items():
        if name in MMM4Rec.item_specific + MMM4Rec.reset_on_transfer:
            assert tensor.shape == (26, 16) and (tensor == 0).all()
        else:
            assert torch.equal(tensor, trained.state_dict()[name]), name
    assert len(model.text_features) == 26


def test_per_item_tables_can_be_added_or_dropped_by_a_transfer(toy_model, small, file, features, toy, tmp_path):
    items = toy.items["item"]
    save_model(tmp_path / "plain", toy_model(small.replace(item_bias=False)), features.encoder, items)
    model, _ = load_model(tmp_path / "plain", features, items, keep_items=False, item_bias=True)
    assert (model.bias_image == 0).all() and model.config.item_bias
    model, _ = load_model(file, features, items, keep_items=False, item_bias=False)
    assert not hasattr(model, "bias_image")


CATALOGUES = {
    "smaller": lambda items: items[:-1],
    "larger": lambda items: [*items, "x0"],
    "other items, as many": lambda items: [*items[:-1], "x0"],
    "another order": lambda items: items[::-1],
    "two exchanged": lambda items: [items[1], items[0], *items[2:]],
}


@pytest.mark.parametrize("change", CATALOGUES)
def test_another_catalogue_or_order_is_refused_unless_keep_items_is_false(file, toy, random_features, change):
    others = CATALOGUES[change](toy.items["item"].tolist())
    message = refused(file, random_features(others), others, "its per-item tables belong to other items")
    assert message.startswith(str(file)) and "keep_items=False" in message
    model, _ = load_model(file, random_features(others), others, keep_items=False)
    assert len(model.bias_text) == len(others) + 1 and (model.bias_text == 0).all()


def test_a_model_without_per_item_tables_goes_with_any_catalogue(toy_model, small, toy, toy_split, features, tmp_path):
    plain, items = toy_model(small.replace(item_bias=False)).eval(), toy.items["item"].tolist()
    save_model(tmp_path / "plain", plain, features.encoder, items)
    for change in ("smaller", "another order"):
        others = CATALOGUES[change](items)
        model, _ = load_model(tmp_path / "plain", features, others)
        assert all(torch.equal(v, plain.state_dict()[k]) for k, v in model.state_dict().items())
    one = batch(toy_split.sequences, toy_split.test, 8)  # others: the reversed catalogue
    there, back = (
        m.eval().score(m(rows, one.lengths, one.times))[:, 1:]
        for m, rows in ((plain, one.items), (model, (61 - one.items) * (one.items > 0)))
    )
    torch.testing.assert_close(there, back.flip(1))


def test_items_without_features_are_refused(file, features):
    refused(file, features, ["l00", "nothing"], "features of other items: 1 of 2", keep_items=False)


def test_features_of_another_encoder_are_refused(file, random_features, toy):
    refused(file, random_features(toy.items["item"], fingerprint="e" * 16), toy.items["item"], "cannot be mixed")


def test_weights_of_another_config_are_refused(file, features, toy):
    for changes in (dict(n_layers=2), dict(d_state=8), dict(time=False), dict(shared=False)):
        message = refused(file, features, toy.items["item"], "does not fit this model: ", **changes)
        assert len(message) < 400
    refused(file, features, toy.items["item"], "does not divide", head_dim=7)


def test_a_config_with_unknown_or_bad_fields_is_refused(file, features, toy):
    tensors, notes = load_tensors(file, "model", "")
    notes = {name: note for name, note in notes.items() if name not in ("kind", "checksum")}
    for change in (dict(colour="red"), dict(quirks={"colour": True})):
        save_tensors(file, "model", tensors, **{**notes, "config": {**notes["config"], **change}})
        message = refused(file, features, toy.items["item"], "its config is not this library's")
        assert message.startswith(str(file)) and "'colour'" in message
    save_tensors(file, "model", tensors, **{**notes, "config": {**notes["config"], "max_len": 0}})
    refused(file, features, toy.items["item"], "config: max_len must be")


def test_a_cut_or_foreign_file_is_refused(file, features, toy):
    whole = file.read_bytes()
    for damaged in (whole[:-100], whole[:50], b"", b"\xff" * 200):
        file.write_bytes(damaged)
        refused(file, features, toy.items["item"], f"{file} is no model file or is damaged")


class Trap:
    """Unpickling this is told by a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_pickle_by_another_name_is_refused_and_never_unpickled(write, tmp_path, features, toy):
    write({"model": Trap(tmp_path / "run")}, tmp_path / "model.safetensors")
    refused(tmp_path / "model.safetensors", features, toy.items["item"], "is no model file or is damaged")
    assert not (tmp_path / "run").exists()


def test_a_missing_file_and_files_of_another_kind_are_refused(tmp_path, features, toy):
    path, items = tmp_path / "other.safetensors", toy.items["item"]
    refused(path, features, items, f"{path}: there is no such model file; train one with")
    features.save(path)
    refused(path, features, items, f"{path} is no model file but feature; train one with")
