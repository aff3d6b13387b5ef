"""The audit of time stamps: what is exchanged, and what one seed decides."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from mmm4rec_lite.analysis import other_gaps, other_target_times
from mmm4rec_lite.data import batch, leave_one_out
from mmm4rec_lite.study.audit import time_stamps
from mmm4rec_lite.study.protocol.verdict import CONTRADICTED, INCONCLUSIVE, NOT_TESTED


def test_only_the_targets_time_is_exchanged(lamps):
    rows, L = leave_one_out(lamps.dataset), lamps.config.max_len
    one = batch(rows.sequences, rows.test, L, target_time=True)
    changed = other_target_times(one).times != one.times
    assert changed.any() and (changed.nonzero()[:, 1] == one.lengths[changed.nonzero()[:, 0]]).all()
    gaps = other_gaps(one).times
    real = torch.arange(L) < one.lengths.unsqueeze(1)
    assert (gaps[~real] == one.times[~real]).all() and (gaps.diff(dim=1) >= 0)[real[:, 1:]].all()
    assert torch.equal(gaps[:, 0], one.times[:, 0]) and not torch.equal(gaps, one.times)


def test_the_example_tells_gaps_and_three_signals_of_one_history(lamps):
    table = time_stamps.example_signals(lamps)
    assert table["time_signal"].unique().tolist() == list(time_stamps.SIGNALS) and table["step"].min() == 2
    assert (table.groupby("step")["gap_days"].nunique() == 1).all() and (table["gap_days"] >= 0).all()


ORDERS = dict(experiment="orders", dataset="d", n_items=9, scale="converged", device="cpu", date="2026-01-01")


def test_two_orders_that_move_a_system_contradict_quoted_columns():
    runs = pd.DataFrame([ORDERS | {"reordered_share": 0.5, "retargeted_share": 0.25}])
    pair = dict(experiment="orders", variant="another order", against_system="sasrec", n_seeds=3, standard_error=0.01)
    lines = [pair | {"system": name, "ndcg@10": 0.3, "difference": 0.03} for name in ("sasrec", "unisrec")]
    found = time_stamps.two_orders(runs, pd.DataFrame(lines))
    assert found.verdict == CONTRADICTED and found.table["name"].tolist() == ["SASRec"]  # each with itself alone
    assert found.table["first"].item() == pytest.approx(0.27) and "25%" in found.evidence
    still = time_stamps.two_orders(runs, pd.DataFrame([lines[0] | dict(difference=0.01)]))
    assert still.verdict == INCONCLUSIVE


@pytest.mark.parametrize("stored", [pd.DataFrame(columns=["experiment"]), pd.DataFrame([dict(experiment="table5")])])
def test_without_runs_of_two_orders_nothing_is_tested(stored):
    assert time_stamps.two_orders(stored, None).verdict == NOT_TESTED


def test_one_seed_decides_nothing(lamps):
    assert time_stamps.same_day_order(replace(lamps, seeds=(0,))).verdict == INCONCLUSIVE
