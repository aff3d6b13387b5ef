"""What is asked of a batch, of every system: one clear line for each fault, and what is right is taken."""

from dataclasses import replace

import pytest
import torch

from mmm4rec_lite.models.base import Batch, Catalogue, Recommender
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.errors import InputError
from tests.support.attacks import inputs

ONE = Batch(
    items=torch.tensor([[3, 4, 0], [5, 6, 7]]),
    lengths=torch.tensor([2, 3]),
    times=torch.tensor([[10, 20, 0], [5, 5, 9]]),
    targets=torch.tensor([1, 2]),
    requests=torch.tensor([30, 30]),
)
KEEP = "there must be at least one of each"
FAULTS = {
    "no rows": (lambda b: b.take(slice(0, 0)), f"batch: 0 histories of 3 steps; {KEEP}"),
    "length 0": (lambda b: replace(b, lengths=b.lengths * 0), "lengths: every one must be in 1..3, the number of .*"),
    "beyond": (lambda b: replace(b, items=b.items * 9), "items: ids must be in 1..30, the catalogue's rows .row 0."),
    "left": (lambda b: replace(b, items=b.items.flip(1)), "items: .* padding .0. stands behind the history .* .row 0."),
    "float": (lambda b: replace(b, items=b.items / 2), "items: must be whole numbers .torch.long., not torch.float32"),
    "float times": (lambda b: replace(b, times=b.times / 2), "times: must be .* since 1970, not torch.float32"),
    "back": (lambda b: replace(b, times=b.times.flip(1)), "times: go back; a history has its oldest .* .row 1."),
    "shape": (lambda b: replace(b, times=b.times[:, :2]), r"times: expected the shape \[2, 3\], not \[2, 2\]"),
    "device": (lambda b: b.to("meta"), "batch: on meta, but the weights on cpu; move it: batch.to.'cpu'."),
    "devices": (lambda b: replace(b, lengths=b.lengths.to("meta")), "lengths: on meta, but items on cpu"),
    "list": (lambda b: replace(b, items=b.items.tolist()), "items: expected a tensor, not list"),
    "tensor": (lambda b: b.items, "batch: expected a Batch, not Tensor"),
}
TARGET = r"^targets: ids must be in 1..30, the catalogue's rows \(row 1\)$"


@pytest.fixture(scope="module")
def systems():
    return inputs.systems()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_system_tells_a_fault_in_one_line(systems, fault, unchecked):
    change, message = FAULTS[fault][0], f"^{FAULTS[fault][1]}$"
    for model in systems.values():
        with pytest.raises(InputError, match=message):
            model.users(change(ONE))
        with pytest.raises(InputError, match=message):
            model.losses(change(ONE), model.stages[-1])


def test_what_comes_next_is_looked_at_where_it_is_used(systems):
    for wrong in (0, 31, -1):
        other = replace(ONE, targets=torch.tensor([1, wrong]))
        for model in systems.values():
            assert model.users(other).isfinite().all()
            with pytest.raises(InputError, match=TARGET):
                model.losses(other, model.stages[-1])


def test_whole_numbers_of_any_size_are_taken_and_padding_is_never_looked_at(systems):
    small = Batch(**{name: tensor.int() for name, tensor in vars(ONE).items()})
    junk = replace(ONE, items=torch.tensor([[3, 4, 10**9], [5, 6, 7]]))
    for name, model in systems.items():
        for other in (small, junk):
            torch.testing.assert_close(model.users(other), model.users(ONE), msg=name)


def test_a_batch_is_looked_at_once(systems, monkeypatch):
    calls, check = [], Recommender.check
    monkeypatch.setattr(Recommender, "check", lambda self, *more: calls.append(1) or check(self, *more))
    for model in systems.values():
        calls.clear()
        model.losses(ONE, model.stages[-1])
        with model.admitted(ONE) as one:
            model.users(one), model.losses(one, model.stages[-1])
        assert len(calls) == 2
    with pytest.raises(InputError):
        model.users(replace(ONE, lengths=ONE.lengths * 0))
    assert not model.admits  # a refused batch leaves no door open


def test_a_request_before_the_latest_item_is_refused():
    model = MMM4Rec(ModelConfig(query_time=True), torch.randn(31, 4), torch.randn(31, 4))
    with pytest.raises(InputError, match=r"^requests: must be seconds, not before the latest item \(row 1\)$"):
        model.users(replace(ONE, requests=torch.tensor([20, 8])))


def test_features_that_are_not_finite_or_not_alike_make_no_model():
    good, bad = torch.zeros(31, 4), torch.zeros(31, 4)
    bad[7, 1] = torch.nan
    with pytest.raises(InputError, match="features: text holds numbers that are not finite"):
        Catalogue(bad, good, good[:, 0] == 0)
    with pytest.raises(InputError, match="features: they hold numbers that are not finite"):
        MMM4Rec(ModelConfig(), good, bad)


def test_features_of_other_lengths_make_no_model(unchecked):
    with pytest.raises(InputError, match="features: a row per item"):
        Catalogue(torch.zeros(31, 4), torch.zeros(30, 4), torch.ones(31).bool())


@pytest.mark.parametrize("seed", [0, 1])
def test_batches_by_chance(seed, unchecked):
    report = inputs.attack(500, seed)
    assert report.wrong == [] and report.counts["told"] > 150 < report.counts["computed"]
