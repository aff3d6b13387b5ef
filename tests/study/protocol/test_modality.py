"""What is put in a modality's place, and the sweep over it."""

from dataclasses import replace

import pytest
import torch

from mmm4rec_lite.models import protocol
from mmm4rec_lite.runs import Protocol, Task
from mmm4rec_lite.study.protocol import modality
from mmm4rec_lite.study.protocol.results import paired_differences
from mmm4rec_lite.utils.errors import InputError

HOW = dict(seeds=(0,), protocol=Protocol("matched", "quick", width=16, window=8), backend="threading", jobs=1)


def test_noise_has_the_mean_and_covariance_of_the_vectors():
    table = torch.randn(400, 5) @ torch.randn(5, 5) + torch.arange(5.0)
    drawn = modality.alike(table, 20_000)
    assert torch.allclose(drawn.mean(0), table.mean(0), atol=0.15)
    scale = table.std(0)
    assert torch.allclose(
        torch.cov(drawn.T) / scale / scale[:, None], torch.cov(table.T) / scale / scale[:, None], atol=0.1
    )


def test_a_modality_is_taken_replaced_or_copied_for_those_that_have_it(toy, random_features):
    rows = random_features(toy.items["item"])
    rows = replace(rows, has_image=torch.arange(len(rows.items)) % 3 > 0)
    has = rows.has_image
    assert not modality.without(rows, "image").has_image.any() and not modality.without(rows, "text").text.any()
    noisy, copied = modality.noise(rows, "image"), modality.copied(rows, "image")
    assert (noisy.has_image == has).all() and not noisy.image[~has].any() and not copied.image[~has].any()
    assert not torch.equal(noisy.image[has], rows.image[has]) and torch.equal(noisy.text, rows.text)
    assert torch.equal(copied.image[has], rows.text[has])
    assert torch.equal(modality.copied(rows, "text").text[has], rows.image[has])


def test_every_form_is_trained_and_compared_with_the_whole(toy, random_features, monkeypatch, tmp_path):
    monkeypatch.setattr(protocol, "MATCHED", protocol.MATCHED.replace(epochs=1, batch_size=64))
    monkeypatch.setitem(protocol.SCALES, "quick", dict(epochs=1, rows_per_epoch=64))
    monkeypatch.chdir(tmp_path)
    rows = random_features(toy.items["item"])
    frame = modality.modality_worth(Task(toy, rows), ["mmm4rec", "missrec"], **HOW)
    of = lambda name: frame.loc[frame["system"] == name, "variant"].tolist()
    assert of("mmm4rec") == list(modality.FORMS)
    assert of("missrec") == [name for name in modality.FORMS if name != "no pictures"]
    assert list(frame.attrs["left_out"]) == [("missrec", "no pictures")]
    pairs = paired_differences("modality-worth", frame)
    assert set(pairs.loc[pairs["system"] == "mmm4rec", "variant"]) >= set(list(modality.FORMS)[1:])
    with pytest.raises(InputError, match="no item has a picture"):
        modality.modality_worth(Task(toy, modality.without(rows, "image")), **HOW)
