"""What computes does so where the model is: on a pretended device (``device_apart``), no GPU needed."""

import numpy as np
import pytest
import torch

from mmm4rec_lite import analysis, training
from mmm4rec_lite.evaluation import as_batch, recommend, user_history
from mmm4rec_lite.viz.explorers import mask_explorer, what_if
from tests.support.device_apart import APART, Apart, Mode
from tests.support.models import STAGED, trains_ranks_and_loses_pictures

# torch says this of its own meta tensors, which hold nothing; these do
pytestmark = pytest.mark.filterwarnings("ignore:.*to a meta parameter")


class Fabric:
    device = APART

    def backward(self, loss):
        loss.backward()


@pytest.fixture
def apart(monkeypatch):
    """The device, and a torch that makes tensors on it."""
    plain = torch.tensor
    monkeypatch.setattr(torch, "tensor", lambda *given, device=None, **kind: plain(*given, **kind).to(device or "cpu"))
    monkeypatch.setattr(training, "fabric", Fabric)
    with Mode():
        yield APART


def test_the_pretended_device_counts_right_and_is_as_strict_as_a_gpu(apart):
    here, there = torch.arange(3.0), torch.arange(3.0).to(apart)
    assert (there * 2 + 1).tolist() == [1, 3, 5]
    assert torch.equal(there.cpu(), here) and not isinstance(there.cpu(), Apart)
    assert there[torch.tensor([2])].item() == 2 and (there + torch.tensor(1.0)).sum().item() == 6
    for wrong in (lambda: here + there, lambda: here[there.long()], lambda: torch.cat([here, there])):
        with pytest.raises(RuntimeError, match="two devices"):
            wrong()
    with pytest.raises(TypeError, match="cpu"):
        there.numpy()


@pytest.mark.slow
@pytest.mark.parametrize("name, stage", STAGED)
def test_every_system_trains_ranks_and_loses_pictures_there(apart, toy, toy_split, name, stage):
    trains_ranks_and_loses_pictures(name, stage, apart.type, toy, toy_split)


@pytest.mark.slow
def test_inputs_may_lie_on_the_cpu_and_figures_find_their_numbers(apart, toy, toy_model, small):
    model, user = toy_model(small).to(apart), toy.interactions["user"].iloc[0]
    given = as_batch(toy, user_history(toy, user), small.max_len)
    assert len(recommend(model, toy, user, 3)) == 3
    assert isinstance(analysis.decay_masks(model, *given)["layer 1, text"], Apart)
    assert len(analysis.step_table(model, *given, place="layer 1, text"))
    assert np.isfinite(mask_explorer(toy, model, user).state["mask"]).all()
    assert what_if(model, toy, user).error.value == ""
