"""Paired differences, and from when on they count."""

import pytest
import torch

from mmm4rec_lite.significance import STANDARD_ERRORS, paired, significant


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
