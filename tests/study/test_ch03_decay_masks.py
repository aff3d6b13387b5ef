"""The rug shop of chapter 3, small: chosen customers, influence, what states are worth."""

import pandas as pd
import pytest

from mmm4rec_lite import InputError
from mmm4rec_lite.analysis import with_gap, without_memory
from mmm4rec_lite.evaluation import as_batch, user_history
from mmm4rec_lite.study import ch03_decay_masks as ch03
from mmm4rec_lite.study.shop import NO_TIME, STORE, World
from tests.support.figures import drawn, legend


@pytest.fixture(scope="module")
def shop():
    return World(STORE.replace(users=150))


@pytest.mark.parametrize("step", [3, 5, 7])
def test_an_interrupted_customer_was_away_once(shop, step):
    own = user_history(shop.dataset, ch03.interrupted(shop, step), hide=1).tail(8)
    gaps = own["timestamp"].diff().tolist()
    assert [i + 1 for i, gap in enumerate(gaps) if gap > ch03.ABSENCE] == [step] and len(own) == 8


@pytest.fixture
def history(shop):
    own = user_history(shop.dataset, ch03.interrupted(shop), hide=1)
    return as_batch(shop.dataset, own, 8)


def test_one_gap_changes_the_masks_of_the_time_aware_model_alone(shop, history):
    other = *history[:2], with_gap(history[2], 5, 7200)
    assert ch03.mask_change(shop.fresh(), history, other) > 1e-6
    assert ch03.mask_change(shop.fresh(NO_TIME), history, other) == 0
    table = ch03.gap_responses(shop.fresh(), history, step=5, gaps=[60, 86400])
    assert set(table["place"]) == {"text", "image"} and sorted(table["gap"].unique()) == [60, 86400]


def test_weights_of_every_head_are_shares(shop, history):
    weights = ch03.head_weights({"a": shop.fresh(), "b": shop.fresh(NO_TIME)}, history)
    assert list(weights) == ["a, text, head 1", "a, text, head 2", "b, text, head 1", "b, text, head 2"]
    assert all(share.sum().item() == pytest.approx(1) for share in weights.values())


def test_a_shop_without_such_customers_says_so():
    small = World(STORE.replace(users=20, absence=0.0))
    with pytest.raises(InputError, match="absence"):
        ch03.interrupted(small)
    with pytest.raises(InputError, match="one absence"):
        ch03.influences(small, small.fresh())


@pytest.mark.slow
def test_influences_of_a_fresh_model(shop):
    table = ch03.influences(shop, shop.fresh(), users=3)
    assert table["history"].unique().tolist() == ["the absence", "2 hours instead"] and len(table) == 16
    assert (table["influence"] > 0).all() and (table["standard_error"] >= 0).all()
    plain = ch03.influences(shop, shop.fresh(NO_TIME), users=3)["influence"].tolist()
    assert plain[:8] == plain[8:]


def test_worth_knows_the_bests(shop):
    model = shop.fresh()
    table = ch03.worth(shop, {"fresh": model, "wiped": without_memory(model)}).set_index("system")["expected_ndcg@10"]
    assert table["the best with gaps"] > table["the best without gaps"] > table["fresh"]
    assert list(table.index[:2]) == ["fresh", "wiped"] and table["wiped"] != table["fresh"]


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "step": [1, 1, 2, 2, 3, 3],
            "head": [1, 2] * 3,
            "gap": [0, 0, 60, 60, 0, 0],
            "D": 0.5,
            "dt": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
            "left": [0.1, 0.2, 0.5, 0.6, 1, 1],
        }
    )


def test_step_chain_shows_gaps_signal_steps_and_what_is_left(table):
    gap, signal, dt, left = drawn(ch03.plot_step_chain(table, [2]))
    assert [bar.get_height() for bar in gap.patches] == [60, 1]  # a gap of 0 stands at 1 s
    assert signal.lines[0].get_ydata().tolist() == [0.5, 0.5, 0.5]
    assert dt.lines[0].get_ydata().tolist() == [0.2, 0.4, 0.6] and legend(dt) == ["head 2"]
    assert left.lines[0].get_ydata().tolist() == [0.2, 0.6, 1]
    assert all(axis.get_ylabel() for axis in (gap, signal, dt, left)) and left.get_xlabel()


@pytest.mark.parametrize("places", [False, True])
def test_gap_response_draws_a_line_per_head_and_the_truth(places):
    table = pd.DataFrame(
        {"gap": [60, 3600] * 2, "head": [1, 1, 2, 2], "dt": [0.1, 0.2, 0.3, 0.4], "kept": [0.9, 0.8, 0.7, 0.6]}
    )
    table = table.assign(place="text") if places else table
    left, right = drawn(ch03.plot_gap_response(table, truth=lambda gap: 0.25))
    assert left.lines[1].get_ydata().tolist() == [0.3, 0.4] and right.lines[0].get_ydata().tolist() == [0.9, 0.8]
    assert any(set(line.get_ydata()) == {0.25} for line in right.lines)
    assert "the truth" in legend(right) and "head 2" in legend(right)


def test_influence_bars_show_both_histories_and_their_errors():
    table = pd.DataFrame(
        {
            "history": ["a", "a", "b", "b"],
            "item": [1, 2, 1, 2],
            "influence": [0.1, 0.2, 0.3, 0.4],
            "standard_error": 0.05,
        }
    )
    (axis,) = drawn(ch03.plot_influence_bars(table, marked=2))
    assert [bar.get_height() for bar in axis.patches] == [0.1, 0.2, 0.3, 0.4]
    assert {"a", "b", "the gap in question"} == set(legend(axis))


def test_by_hand_has_the_page_s_numbers():
    table = ch03.by_hand([0, 86_400, 604_800])
    assert table.columns.tolist() == ["gap", "D", "D-hat", "dt", "kept"] and table.index.tolist() == [1, 2, 3]
    assert table.loc[3].tolist() == [604_800, 1.0, 1.5, 0.48, 0.39] and table.loc[2, "kept"] == 0.78
    assert "-0.0" not in table.to_string() and ch03.by_hand([0, 3600]).loc[2, "D"] < -1  # signs stay, but for zeros
