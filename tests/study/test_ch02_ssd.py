"""The operator's costs: the frame's form, what is counted, what is left as it was; its figures. No test is on time."""

import math

import pandas as pd
import pytest
import torch

from mmm4rec_lite import InputError
from mmm4rec_lite.models.ssd import decay_mask
from mmm4rec_lite.study import ch02_ssd as ch02
from tests.support.figures import drawn, legend

MASK = decay_mask(torch.tensor([-0.1, -0.2, -0.3]))


def test_inputs_suit_every_form_and_come_back_the_same():
    given = ch02.inputs(10, batch=2, heads=4, width=3, state=5, seed=1)
    assert (given["dt"] > 0).all() and (given["A"] < 0).all()
    y = [form(**given) for form in ch02.FORMS.values()]
    assert y[0].shape == (2, 10, 4, 3)
    for other in y[1:]:
        torch.testing.assert_close(other, y[0], atol=1e-5, rtol=1e-5)
    assert all(torch.equal(v, given[name]) for name, v in ch02.inputs(10, 2, 4, 3, 5, seed=1).items())
    assert not torch.equal(ch02.inputs(10, seed=1)["x"], ch02.inputs(10, seed=2)["x"])


def test_every_form_is_timed_at_every_length_and_the_first_run_does_not_count():
    calls = []

    def form(x, **rest):
        calls.append((tuple(x.shape), torch.get_num_threads()))
        return x

    before = torch.get_num_threads()
    table = ch02.scaling([4, 8], {"a": form, "b": form}, batch=3, rounds=2, heads=2, width=5)
    assert table[["form", "length", "batch", "rounds", "threads"]].values.tolist() == [
        [name, length, 3, 2, 1] for length in (4, 8) for name in "ab"
    ]
    assert calls == [((3, length, 2, 5), 1) for length in (4, 8) for _ in range(6)]  # (1 + 2 rounds) x 2 forms
    assert (table["fastest"] <= table["seconds"]).all() and (table["seconds"] <= table["slowest"]).all()
    assert torch.get_num_threads() == before


def test_backward_runs_when_asked_for():
    grads = []

    class Watch(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            grads.append(g)
            return g

    form = lambda x, **rest: Watch.apply(x)
    ch02.scaling([4], {"a": form}, rounds=1)
    assert not grads
    ch02.scaling([4], {"a": form}, rounds=1, backward=True)
    assert len(grads) == 2


def test_threads_are_set_back_also_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        ch02.scaling([4], {"a": lambda **given: 1 / 0}, threads=before + 1)
    assert torch.get_num_threads() == before


def test_the_scale_is_read_from_the_environment(monkeypatch):
    monkeypatch.setattr(ch02, "LENGTHS", {"quick": (2,), "full": (2, 3)})
    quiet = {"a": lambda x, **rest: x}
    monkeypatch.delenv("MMM4REC_SCALE", raising=False)
    assert ch02.scaling(forms=quiet, rounds=1)["length"].tolist() == [2]
    monkeypatch.setenv("MMM4REC_SCALE", "full")
    assert ch02.scaling(forms=quiet, rounds=1)["length"].tolist() == [2, 3]
    monkeypatch.setenv("MMM4REC_SCALE", "huge")
    with pytest.raises(InputError, match="huge"):
        ch02.scaling(forms=quiet)


def test_no_rounds_is_told():
    with pytest.raises(InputError, match="rounds"):
        ch02.scaling([4], rounds=0)


def test_doublings_are_milliseconds_and_their_factors():
    table = ch02.doublings(pd.DataFrame({"scan": [0.001, 0.0021]}, index=[64, 128]))
    assert table["milliseconds", "scan"].tolist() == [1, 2.1]
    assert table["factor per doubling", "scan"].tolist()[1] == 2.1


def test_memory_curves_draw_every_curve_from_the_impulse_on():
    (axis,) = drawn(ch02.plot_memory_curves({"a": torch.tensor([1, 0.5, 0.25]), "b": torch.tensor([1, 0.9, 0.81])}))
    assert axis.lines[0].get_ydata().tolist() == [1, 0.5, 0.25] and axis.lines[0].get_xdata().tolist() == [0, 1, 2]
    assert legend(axis) == ["a", "b"] and "steps" in axis.get_xlabel() and axis.get_ylabel()


def test_matrix_row_has_masks_with_a_grey_future_and_others_white_at_zero_and_counts_from_one():
    signed = torch.tensor([[1.0, -3], [0, 2]])
    left, right, *bars = drawn(ch02.plot_matrix_row({"M": MASK, "signed": signed}))
    assert right.images[0].get_array().tolist() == signed.tolist()
    assert right.images[0].get_clim() == (-3, 3) and right.get_xlim() == (0.5, 2.5)
    assert [axis.get_title() for axis in (left, right)] == ["M", "signed"] and "t" in left.get_ylabel()
    assert bars[0].get_ylim() == (0, 1) and bars[1].get_ylim() == (-3, 3)
    shown = left.images[0].get_array()
    assert shown.mask.tolist() == torch.ones_like(MASK).triu(1).bool().tolist() and "grey" in left.get_xlabel()
    future, forgotten, whole = (left.images[0].to_rgba(value)[:3] for value in (float("nan"), 0.0, 1.0))
    assert min(math.dist(future, forgotten), math.dist(future, whole), math.dist(forgotten, whole)) > 0.5
    used = drawn(ch02.plot_matrix_row({"used": MASK * torch.tensor([-1.0, 1, 1])}))[0].images[0]
    faint = (used.to_rgba(value)[:3] for value in torch.linspace(-0.3, 0.3, 7).tolist())
    assert min(math.dist(used.to_rgba(float("nan"))[:3], colour) for colour in faint) > 0.3
    assert "left" in bars[0].get_ylabel() and "weight" in bars[1].get_ylabel() and "grey" not in right.get_xlabel()


@pytest.mark.parametrize("chunk, squares", [(2, 2), (3, 1), (1, 3)])
def test_chunk_map_has_a_square_per_chunk_and_a_strip_before_all_but_the_first(chunk, squares):
    (axis,) = drawn(ch02.plot_chunk_map(MASK, chunk))
    assert sum(not patch.get_fill() for patch in axis.patches) == squares
    strips = [patch for patch in axis.patches if patch.get_fill()]
    assert [strip.get_width() for strip in strips] == [chunk * k for k in range(1, squares)]


def test_half_life_lines_follow_the_formula():
    (axis,) = drawn(ch02.plot_half_life_lines([-1, -2], [0.1, 1.0], fresh=(0.01, 0.1)))
    assert axis.lines[1].get_ydata() == pytest.approx([0.6931 / 0.2, 0.6931 / 2], rel=1e-3)
    assert axis.get_xscale() == axis.get_yscale() == "log" and "steps" in axis.get_ylabel()
    assert "A = -2" in legend(axis)


def test_scaling_curves_draw_medians_on_log_scales():
    table = pd.DataFrame(
        {
            "form": ["scan", "scan", "masked", "masked"],
            "length": [64, 128] * 2,
            "seconds": [1.0, 2, 0.5, 2.5],
            "fastest": [0.9, 1.9, 0.4, 2],
            "slowest": [1.1, 2.5, 0.7, 3],
        }
    )
    (axis,) = drawn(ch02.plot_scaling_curves(table))
    assert axis.lines[1].get_ydata().tolist() == [0.5, 2.5] and legend(axis)[:2] == ["scan", "masked"]
    assert axis.get_xscale() == axis.get_yscale() == "log"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["64", "128"]
    guides = [line.get_ydata() for line in axis.lines[2:]]
    assert [ends[1] / ends[0] for ends in guides] == pytest.approx([8, 64])  # slopes 1 and 2 over a factor of 8


def test_by_hand_is_the_page_s_arithmetic_and_the_library_s_mask():
    table = ch02.by_hand((1, 2, 3), 0.5)
    assert table["state"].tolist() == [[1], [2.5], [4.25]] and table["kept"].tolist() == [[0], [0.5], [1.25]]
    mask = decay_mask(torch.full((3,), 0.5).log())
    torch.testing.assert_close(mask, torch.tensor([[1, 0, 0], [0.5, 1, 0], [0.25, 0.5, 1]]))
    torch.testing.assert_close(mask @ torch.tensor([1.0, 2, 3]), torch.tensor([1, 2.5, 4.25]))


def test_by_hand_with_b_and_c_is_the_masked_form():
    B, C = ((1, 0), (0, 1), (1, 0)), ((1, 0), (1, 0), (1, 1))
    table = ch02.by_hand((1, 2, 3), 0.5, B, C)
    assert table["state"].tolist() == [[1, 0], [0.5, 2], [3.25, 1]] and table["read"].tolist() == [1, 0.5, 4.25]
    given = torch.tensor([1.0, 2, 3]).view(1, 3, 1, 1), torch.ones(1, 3, 1), torch.tensor([0.5]).log()
    maps = (torch.tensor(v, dtype=torch.float32).view(1, 3, 1, 2) for v in (B, C))
    torch.testing.assert_close(ch02.FORMS["masked"](*given, *maps).flatten(), torch.tensor([1, 0.5, 4.25]))
