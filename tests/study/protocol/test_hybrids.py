"""Hybrids: every pair of a sequence block and an item encoder is a model; pairs that are a system are that system."""

from itertools import product

import pytest
import torch

from mmm4rec_lite.data import batch
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.runs import Protocol, Task
from mmm4rec_lite.study.protocol.hybrids import BLOCKS, ITEMS, hybrid, measure
from mmm4rec_lite.utils.errors import InputError
from tests.support.models import drawn

SMALL = Protocol("matched", width=16, window=8)
ATTENTION, IDS, TEXTS = "attention (SASRec)", "ids (SASRec)", "texts, a map (SASRec_T)"


@pytest.mark.parametrize("form", list(product(BLOCKS, ITEMS)), ids="-".join)
def test_every_pair_ranks_and_reaches_all_its_weights(form, toy, toy_split):
    model = hybrid(*form, drawn(len(toy.items) + 1), SMALL)
    one = batch(toy_split.sequences, toy_split.train[::40][:16], 8)
    model.losses(one, "scratch")["cross_entropy"].backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    assert all(name.startswith("encoder.tissd.1.enhance.") for name in idle)  # TiM4Rec's own
    assert model.score(model.users(one)).shape == (16, len(toy.items) + 1)


@pytest.mark.parametrize(
    "form,name",
    [
        ((ATTENTION, IDS), "sasrec"),
        ((ATTENTION, TEXTS), "sasrec_t"),
        (("attention + filter (BSARec)", IDS), "bsarec"),
        (("Mamba (Mamba4Rec)", IDS), "mamba4rec"),
        (("Mamba (Mamba4Rec)", TEXTS), "mamba4rec_t"),
        (("SSD with gaps (TiM4Rec)", IDS), "tim4rec"),
    ],
)
def test_a_pair_that_is_a_system_is_that_system(form, name):
    catalogue, spec = drawn(30), get_model(name)
    torch.manual_seed(0)
    ours = hybrid(*form, catalogue, SMALL).state_dict()
    torch.manual_seed(0)
    system = spec.build(SMALL.settings(spec, "scratch")[0], catalogue).state_dict()
    assert ours.keys() == system.keys() and all(torch.equal(ours[key], system[key]) for key in ours)


def test_an_unknown_part_is_refused():
    with pytest.raises(InputError, match=r"^hybrid: 'none' is not known; one of attention \(SASRec\), [^\n]*$"):
        hybrid("none", IDS, drawn(9), SMALL)
    with pytest.raises(InputError, match=r"^hybrid: 'none' is not known; one of ids \(SASRec\), [^\n]*$"):
        hybrid(ATTENTION, "none", drawn(9), SMALL)


def test_forms_are_measured_beside_the_first(toy, random_features):
    task, forms = Task(toy, random_features(toy.items["item"])), [(ATTENTION, IDS), (ATTENTION, "ids + texts")]
    tables = [measure(task, SMALL, forms, seeds=2, epochs=1, batch_size=64, rows_per_epoch=128) for _ in range(2)]
    assert tables[0].equals(tables[1]) and list(tables[0][["sequence", "items"]].itertuples(index=False)) == forms
    first, second = tables[0].to_dict(orient="records")
    assert first["difference"] == first["standard_error"] == 0 and not first["significant"]
    assert second["difference"] == pytest.approx(second["ndcg@10"] - first["ndcg@10"]) and second["standard_error"] > 0
