"""Sizes that cannot be, and what the configs know of the rest of the library, which they do not import."""

import pytest
import torch

from mmm4rec_lite import training
from mmm4rec_lite.evaluation import metrics
from mmm4rec_lite.models.config import METRICS, OPTIMIZERS, ModelConfig
from mmm4rec_lite.models.registry import MODELS
from mmm4rec_lite.utils.errors import InputError


def test_the_names_that_a_training_may_use_are_those_that_there_are():
    assert METRICS == tuple(metrics(torch.tensor([1]))) and OPTIMIZERS == tuple(training.OPTIMIZERS)


@pytest.mark.parametrize(
    "bad",
    [
        dict(head_dim=7),
        dict(n_groups=3),
        dict(gaps="days"),
        dict(max_len=0),
        dict(n_layers=0),
        dict(d_state=0),
        dict(d_conv=0),
        dict(head_dim=0),
        dict(d_model=0),
        dict(d_model=-16),
        dict(max_len=2.5),
        dict(expand="2"),
        dict(dropout=1.5),
        dict(dropout=-0.1),
        dict(time_dropout=1.0),
        dict(dropout=float("nan")),
        dict(temperature=0),
    ],
)
def test_a_bad_size_is_refused_in_one_line(bad, unchecked):
    with pytest.raises(InputError, match="^config: [^\n]*$"):
        ModelConfig(**bad)


@pytest.mark.parametrize(
    "bad", [dict(max_len=0), dict(n_layers=0), dict(d_model=-2), dict(n_heads=0), dict(d_ff=2.5), dict(dropout=2.0),
            dict(dropout=float("nan")), dict(dropout=1.0), dict(norm_eps=0.0)]
)  # fmt: skip
def test_so_is_one_of_any_compared_system(bad, unchecked):
    for spec in MODELS.values():
        if set(bad) <= set(vars(spec.config)):
            with pytest.raises(InputError, match="^config: [^\n]+$"):
                spec.config.replace(**bad)


def test_the_papers_model_has_no_gap_vector():
    assert not ModelConfig.paper().gap_vector and not ModelConfig.official().gap_vector
