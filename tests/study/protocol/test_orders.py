"""The same interactions in another order, and what it changes."""

from dataclasses import replace

import pandas as pd
import pytest

from mmm4rec_lite.data import order
from mmm4rec_lite.data.tabular import ORDER_ONLY
from mmm4rec_lite.models import protocol
from mmm4rec_lite.runs import Protocol, Task
from mmm4rec_lite.study.protocol import orders
from mmm4rec_lite.study.protocol.results import paired_differences
from mmm4rec_lite.utils.errors import InputError

HOW = dict(seeds=(0,), protocol=Protocol("matched", "quick", width=16, window=8), backend="threading", jobs=1)


@pytest.fixture(scope="module")
def reversed_toy(toy):
    """Everybody's interactions from the last to the first, and one more of somebody."""
    rows = toy.interactions.iloc[::-1].reset_index(drop=True)
    rows = pd.concat([rows, rows.tail(1).assign(item=toy.items["item"].iloc[0])], ignore_index=True)
    return replace(toy, interactions=order(rows.assign(timestamp=range(len(rows)))))


def test_the_order_is_the_others_and_nothing_else_changes(toy, reversed_toy):
    moved = orders.in_order_of(toy, reversed_toy)
    key = ["user", "item"]
    sets = [one.interactions.sort_values(key)[key].to_numpy().tolist() for one in (moved, toy)]
    assert sets[0] == sets[1] and moved.interactions["timestamp"].max() < len(reversed_toy.interactions)
    mine, theirs = (one.interactions.groupby("user")["item"].agg(list) for one in (toy, moved))
    assert all(a == b[::-1] for a, b in zip(mine, theirs))
    shares = orders.changed_targets(toy, moved)
    ends = sum(a[0] != a[-1] for a in mine) / len(mine)
    assert shares["retargeted_share"] == pytest.approx(ends) and shares["reordered_share"] > 0.9
    assert set(orders.changed_targets(toy, orders.in_order_of(toy, toy)).values()) == {0.0}
    fewer = replace(toy, interactions=toy.interactions.iloc[1:])
    with pytest.raises(InputError, match="lacks 1 of the 1035 interactions"):
        orders.in_order_of(toy, fewer)


def test_every_system_has_a_run_in_either_order(toy, reversed_toy, random_features, monkeypatch, tmp_path):
    monkeypatch.setattr(protocol, "MATCHED", protocol.MATCHED.replace(epochs=1, batch_size=64))
    monkeypatch.setitem(protocol.SCALES, "quick", dict(epochs=1, rows_per_epoch=64))
    monkeypatch.chdir(tmp_path)
    task = Task(toy, random_features(toy.items["item"]))
    frame = orders.two_orders(task, ["sasrec"], beside=reversed_toy, **HOW)
    assert frame["variant"].tolist() == ["", orders.OTHER] and frame["ndcg@10"].nunique() == 2
    pairs = paired_differences("orders", frame)
    assert pairs[["variant", "against_variant"]].values.tolist() == [[orders.OTHER, ""]]
    with pytest.raises(InputError, match="say --beside"):
        orders.two_orders(task, ["sasrec"], **HOW)


def test_a_system_without_times_is_called_so_in_either_order(toy, reversed_toy, random_features, monkeypatch, tmp_path):
    monkeypatch.setattr(protocol, "MATCHED", protocol.MATCHED.replace(epochs=1, batch_size=64))
    monkeypatch.setitem(protocol.SCALES, "quick", dict(epochs=1, rows_per_epoch=64))
    monkeypatch.chdir(tmp_path)
    task = Task(replace(toy, info={**toy.info, "times": ORDER_ONLY}), random_features(toy.items["item"]))
    frame = orders.two_orders(task, ["mmm4rec"], beside=reversed_toy, **HOW)
    assert frame["variant"].tolist() == ["w/o Time", f"w/o Time, {orders.OTHER}"]
    assert paired_differences("orders", frame)["against_variant"].tolist() == ["w/o Time"]
