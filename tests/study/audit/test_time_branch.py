"""The audit of the time branch: the published one is dead, and one seed decides nothing."""

from dataclasses import replace

from mmm4rec_lite.data import leave_one_out
from mmm4rec_lite.study.audit import time_branch
from mmm4rec_lite.study.audit.trials import FORMS, fresh
from mmm4rec_lite.study.protocol.verdict import INCONCLUSIVE


def test_the_published_branch_is_dead_and_ours_is_not(lamps):
    rows = leave_one_out(lamps.dataset)
    training = lambda name: lamps.training.replace(decay_all=FORMS[name][1])
    state = lambda name: time_branch.branch_state(fresh(lamps, FORMS[name], 0), rows, training(name))
    dead, live = state("published"), state("log-gaps and gap vector")
    assert dead["relative_change"] < 1e-6 < 1e-2 < live["relative_change"]
    assert dead["scale_gradient"] < 1e-6 * dead["scale_l2"] and live["scale_l2"] == 0 < live["scale_gradient"]
    assert list(state("no time")) == ["step_variation"]


def test_one_seed_decides_nothing(lamps):
    assert time_branch.revived(replace(lamps, seeds=(0,))).verdict == INCONCLUSIVE
