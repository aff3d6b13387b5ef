"""The quickstart's mask: over real steps alone, of the head in the middle, and other where gaps are other."""

import pytest
import torch

from mmm4rec_lite.evaluation import as_batch, user_history
from mmm4rec_lite.study import ch00_quickstart as ch00


def test_the_middling_head_has_half_of_its_history_left():
    masks = torch.tensor([0.9, 0.4, 0.0])[:, None, None].expand(3, 5, 5)
    assert ch00.middling_head(masks) == 1


def test_longer_gaps_change_what_is_left_at_the_last_step(toy, toy_model, small):
    model, history = toy_model(small), as_batch(toy, user_history(toy, toy.interactions["user"].iloc[0]), 8)
    masks, left = ch00.layer_masks(model, history), ch00.left_by_gaps(model, history)
    n = int(history[1])
    assert masks.shape == (model.config.n_heads, n, n) and list(left) == ["real gaps", "all at once", "a month apart"]
    assert left["real gaps"].tolist() == pytest.approx(masks[:, -1].mean(0).tolist())
    assert all(values[-1] == 1 for values in left.values())
    assert not torch.equal(left["all at once"], left["a month apart"])
