"""What the configs know of the rest of the library, which they do not import."""

import torch

from mmm4rec_lite import training
from mmm4rec_lite.evaluation import metrics
from mmm4rec_lite.models.config import METRICS, OPTIMIZERS


def test_the_names_that_a_training_may_use_are_those_that_there_are():
    assert METRICS == tuple(metrics(torch.tensor([1]))) and OPTIMIZERS == tuple(training.OPTIMIZERS)
