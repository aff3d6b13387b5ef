"""HM4SR beside its golden numbers: experts and time by loops, the masked view, what is refused and what quirks do."""

from dataclasses import replace

import pytest
import torch

from mmm4rec_lite.models.hm4sr import HM4SR, HM4SRConfig, gaps, real
from mmm4rec_lite.training import TrainConfig, fit
from mmm4rec_lite.utils.errors import InputError
from tests.support.models import drawn
from tests.support.rows import rows_of

K, HOUR = 12, 3600
CONFIG = HM4SRConfig(d_model=8, d_ff=16, max_len=8, dropout=0.0)
ROWS = rows_of([1, 2, 3, 4, 5, 6, 7], [8, 9, 10], [5], gap=HOUR)


@pytest.fixture
def model():
    return made()


def made(**changes):
    torch.manual_seed(0)
    return HM4SR(CONFIG.replace(**changes), drawn(K))


def test_gaps_are_none_at_the_start_and_into_padding():
    assert gaps(ROWS).tolist()[1] == [0, HOUR, HOUR, 0, 0, 0, 0, 0]  # from 8 h over 9 h to 10 h, into padding
    assert real(ROWS).sum(1).tolist() == [7, 3, 1]


def test_time_is_a_row_of_gaps_and_a_wave_of_days(model):
    time = model.time_experts.embed(ROWS)
    row = int(100 * torch.log2(torch.tensor(HOUR + 1.0)))
    assert torch.equal(time[0, 1, :8], model.time_experts.gaps.weight[row])
    weight, bias = model.time_experts.moment.weight[:, 0], model.time_experts.moment.bias
    for k in range(8):
        wave = torch.cos((weight[k] * 3 / 24 + bias[k]) / 10_000 ** (k / 8))
        torch.testing.assert_close(time[0, 2, 8 + k], wave)


def test_moments_are_told_apart_in_bfloat16_too(model):
    late = replace(ROWS, times=(ROWS.times + 1_400_000_000) * real(ROWS))
    with torch.autocast("cpu", torch.bfloat16):
        found = model.time_experts.embed(late)
    assert torch.equal(found, model.time_experts.embed(late))


def test_a_gap_longer_than_the_table_has_its_last_row(model):
    ages = replace(ROWS, times=ROWS.times * 10**6)
    assert torch.equal(model.time_experts.embed(ages)[0, 1, :8], model.time_experts.gaps.weight[-1])


def test_experts_by_a_loop(model):
    x, d = torch.randn(2, 3, 3, 8), 8
    experts, found = model.modal_experts, x.clone()
    for m in range(3):
        gate = experts.gates[m](x[:, :, m]).softmax(-1)
        for k in range(4):
            rows = slice(24 * k + d * m, 24 * k + d * (m + 1))
            output = x.flatten(2) @ experts.maps.weight[rows].T + experts.maps.bias[rows]
            found[:, :, m] += experts.weights[m] * gate[..., k, None] * output
    torch.testing.assert_close(experts(x), found)
    assert torch.equal(experts(x)[:, :, 0], x[:, :, 0]) and experts.weights.tolist() == [0, 1, 1]  # at the start


def test_a_masked_view_hides_a_share_of_the_items(model):
    masked = torch.stack([model.masked(ROWS) for _ in range(50)])
    assert (masked.sum(2) == torch.tensor([2, 0, 0])).all() and not (masked & ~real(ROWS)).any()
    assert masked.any(0)[0, :7].all()  # each in turn
    view, mixed = model.hide(model.mix(ROWS), masked[0]), model.mix(ROWS)
    assert torch.equal(view[~masked[0]], mixed.x[:, :, 1:][~masked[0]])
    assert torch.equal(view[masked[0]][:, 0], model.placeholders[0](mixed.time[masked[0]]))


def test_categories_are_needed():
    with pytest.raises(InputError, match=r"^this model predicts the categories of items: [^\n]*$"):
        HM4SR(CONFIG, replace(drawn(K), categories=None))


def test_misplaced_items_need_as_many_categories_as_steps():
    with pytest.raises(InputError, match=r"^config: misplaced_items [^\n]*5 categories are fewer than[^\n]*8 steps$"):
        made(misplaced_items=True)


def test_the_category_loss_is_a_mean_over_what_stands_in_the_history(model):
    probability = torch.sigmoid(model.category(model.candidates()))
    known, total = model.categories, []
    for items, length in zip(ROWS.items, ROWS.lengths):
        for item in items[:length]:
            wanted = torch.where(known[item] > 0, probability[item], 1 - probability[item])
            total.append(-wanted.log().mean())
    torch.testing.assert_close(model.losses(ROWS, "scratch")["category"], torch.stack(total).mean())


@pytest.mark.parametrize("fixed", [False, True])
def test_fixed_experts_are_not_trained(fixed, toy, toy_split):
    torch.manual_seed(0)
    model = HM4SR(CONFIG.replace(fixed_experts=fixed), drawn(len(toy.items) + 1))
    before = model.time_experts.vectors.detach().clone()
    config = TrainConfig(epochs=1, batch_size=32)
    fit(model, toy_split.sequences, toy_split.train[:64], config, progress=False)
    assert torch.equal(model.time_experts.vectors, before) == fixed


def test_overwritten_tables_are_kept_with_the_weights():
    noise, other = made(features_overwritten=True), made()
    tables = {"text.features", "image.features", "categories"}
    assert noise.state_dict().keys() - other.state_dict().keys() == tables
    assert set(noise.item_specific) == {"items.ids.", *tables}
    again = HM4SR(noise.config, drawn(K))
    again.load_state_dict(noise.state_dict())
    assert torch.equal(again.users(ROWS), noise.users(ROWS)) and noise.text.features.std() < 0.05
