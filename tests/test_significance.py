"""Paired differences, and from when on they count."""

import pytest
import torch

from mmm4rec_lite.significance import STANDARD_ERRORS, detectable, holm, paired, significant


def test_differences_are_paired_by_row_and_seed():
    base = torch.tensor([[0.0, 1, 0, 1], [0, 1, 1, 1]])
    table = paired({"base": base, "more": base + 0.25, "other": base.flip(1)}, "base").set_index("form")
    assert table.loc["more", ["difference", "standard_error"]].tolist() == [0.25, 0]
    assert table.loc["other", "difference"] == 0 and table.loc["other", "standard_error"] > 0.1
    assert table.loc["base", "seed_spread"] == pytest.approx(torch.tensor([0.5, 0.75]).std().item())


def test_two_standard_errors_are_significant_and_nothing_is_not():
    assert STANDARD_ERRORS == 2
    assert significant(0.2, 0.1) and significant(-0.2, 0.1) and not significant(0.19, 0.1)
    assert not significant(0.0, 0.0)  # equal without any spread


def test_several_differences_have_to_pass_stricter_bounds_together():
    assert holm([2.0]) == [True] and holm([1.99]) == [False]
    assert holm([2.1, 2.1, 0.1]) == [False, False, False]  # the larger of three needs 2.43
    assert holm([-2.5, 2.1, 5.0]) == [True, True, True]  # 2.43, then 2.28, then 2: each passes its own
    assert holm([2.5, 2.2, 2.1]) == [True, False, False] and holm([]) == []


def test_what_would_have_shown_is_two_errors_and_the_power():
    assert detectable(0.01) == pytest.approx(0.0284, abs=1e-4)
