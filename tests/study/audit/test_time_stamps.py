"""The audit of time stamps: what is exchanged, and what one seed decides."""

from dataclasses import replace

import torch

from mmm4rec_lite.analysis import other_gaps
from mmm4rec_lite.data import batch, leave_one_out
from mmm4rec_lite.study.audit import time_stamps
from mmm4rec_lite.study.protocol.verdict import INCONCLUSIVE


def test_only_the_targets_time_is_exchanged(lamps):
    rows, L = leave_one_out(lamps.dataset), lamps.config.max_len
    one = batch(rows.sequences, rows.test, L, target_time=True)
    changed = time_stamps.other_target_times(one).times != one.times
    assert changed.any() and (changed.nonzero()[:, 1] == one.lengths[changed.nonzero()[:, 0]]).all()
    gaps = other_gaps(one).times
    real = torch.arange(L) < one.lengths.unsqueeze(1)
    assert (gaps[~real] == one.times[~real]).all() and (gaps.diff(dim=1) >= 0)[real[:, 1:]].all()
    assert torch.equal(gaps[:, 0], one.times[:, 0]) and not torch.equal(gaps, one.times)


def test_the_example_tells_gaps_and_three_signals_of_one_history(lamps):
    table = time_stamps.example_signals(lamps)
    assert table["time_signal"].unique().tolist() == list(time_stamps.SIGNALS) and table["step"].min() == 2
    assert (table.groupby("step")["gap_days"].nunique() == 1).all() and (table["gap_days"] >= 0).all()


def test_one_seed_decides_nothing(lamps):
    assert time_stamps.same_day_order(replace(lamps, seeds=(0,))).verdict == INCONCLUSIVE
