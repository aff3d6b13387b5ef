"""Measured costs: the frame's form, what is counted, what is left as it was. No test asserts on time itself."""

import pytest
import torch

from mmm4rec_lite import InputError
from mmm4rec_lite.study import ch02_ssd as experiment
from mmm4rec_lite.study.ch02_ssd import FORMS, inputs, scaling


def test_inputs_suit_every_form_and_come_back_the_same():
    given = inputs(10, batch=2, heads=4, width=3, state=5, seed=1)
    assert (given["dt"] > 0).all() and (given["A"] < 0).all()
    y = [form(**given) for form in FORMS.values()]
    assert y[0].shape == (2, 10, 4, 3)
    for other in y[1:]:
        torch.testing.assert_close(other, y[0], atol=1e-5, rtol=1e-5)
    assert all(torch.equal(v, given[name]) for name, v in inputs(10, 2, 4, 3, 5, seed=1).items())
    assert not torch.equal(inputs(10, seed=1)["x"], inputs(10, seed=2)["x"])


def test_every_form_is_timed_at_every_length_and_the_first_run_does_not_count():
    calls = []

    def form(x, **rest):
        calls.append((tuple(x.shape), torch.get_num_threads()))
        return x

    before = torch.get_num_threads()
    table = scaling([4, 8], {"a": form, "b": form}, batch=3, rounds=2, heads=2, width=5)
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
    scaling([4], {"a": form}, rounds=1)
    assert not grads
    scaling([4], {"a": form}, rounds=1, backward=True)
    assert len(grads) == 2


def test_threads_are_set_back_also_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        scaling([4], {"a": lambda **given: 1 / 0}, threads=before + 1)
    assert torch.get_num_threads() == before


def test_the_scale_is_read_from_the_environment(monkeypatch):
    monkeypatch.setattr(experiment, "LENGTHS", {"quick": (2,), "full": (2, 3)})
    quiet = {"a": lambda x, **rest: x}
    monkeypatch.delenv("MMM4REC_SCALE", raising=False)
    assert scaling(forms=quiet, rounds=1)["length"].tolist() == [2]
    monkeypatch.setenv("MMM4REC_SCALE", "full")
    assert scaling(forms=quiet, rounds=1)["length"].tolist() == [2, 3]
    monkeypatch.setenv("MMM4REC_SCALE", "huge")
    with pytest.raises(InputError, match="huge"):
        scaling(forms=quiet)


def test_no_rounds_is_told():
    with pytest.raises(InputError, match="rounds"):
        scaling([4], rounds=0)
