"""Rhythms planted by hand, what filters make of them, and figures that draw what their frames say."""

import math

import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex

from mmm4rec_lite.models.blocks import FourierFilter
from mmm4rec_lite.study import ch04_alignment_and_fusion as ch04
from mmm4rec_lite.viz.style import COLOURS
from tests.support.figures import drawn
from tests.support.figures import legend as words

L = 20
BINS = pd.DataFrame({"bin": [1, 2, 3], "period": [6.0, 3.0, 2.0]})


def test_traits_tell_linear_filters_from_the_adaptive_one():
    made = {name: ch04.fresh_filter(L, **changes) for name, changes in ch04.FILTERS.items()}
    table = ch04.traits(made | {"published": ch04.fresh_filter(L, published=True)}).set_index("filter")
    assert (table.loc[["w/o AF", "neither"], "superposition"] < 1e-5).all()
    assert (table.loc[["both filters", "w/o LF"], "superposition"] > 0.02).all()
    assert (table.loc[["w/o LF", "neither"], "elsewhere"] < 1e-6).all()  # an element-wise K makes no new bins
    assert (table.loc[["both filters", "w/o AF"], "elsewhere"] > 1e-3).all()
    assert table.loc["neither", ["gain", "twice"]].tolist() == pytest.approx([2, 2])
    assert table.loc["published", "twice"] == pytest.approx(4) and table.loc["published", "gain"] < 0.02


def test_the_published_start_passes_next_to_nothing():
    tones = (2 * math.pi * torch.outer(torch.arange(L // 2 + 1), torch.arange(L)) / L).cos()
    for published, least, most in ((True, 0, 0.02), (False, 1.5, 2.5)):
        answer = ch04.fresh_filter(L, published=published)(tones, tones)
        assert least < answer.std() / tones.std() < most


@pytest.mark.parametrize(
    "period, bins", [(5, [4, 8]), (4, [5, 10]), (10, [2, 4, 6, 8, 10]), (1, []), (20, range(1, 11))]
)
def test_a_planted_rhythm_is_where_its_period_says(period, bins):
    gaps = ch04.rhythm(period, L)
    table = ch04.rhythm_table({"planted": gaps})
    assert table["bin"][table["amplitude"] > 1e-3].tolist() == list(bins)
    assert (gaps == gaps.max()).sum() == L // period


def test_a_signal_forgets_tempo_and_keeps_rhythm():
    days, minutes = ch04.signal(ch04.rhythm(5, L)), ch04.signal(ch04.rhythm(5, L, 60, 3600))
    torch.testing.assert_close(days, minutes, atol=1e-4, rtol=0)
    assert ch04.signal(torch.full((L,), 7 * 86400)).abs().max() < 1e-3


def test_filters_are_shown_signal_by_signal():
    signals = {"five": ch04.signal(ch04.rhythm(5, L)), "four": ch04.signal(ch04.rhythm(4, L))}
    layer = ch04.pass_bins([4, 8], L)
    assert isinstance(layer, FourierFilter)
    table = ch04.passed({"period 5": layer}, signals)
    rows = table.groupby("signal")
    assert rows.size().to_dict() == {"five": L, "four": L}
    for name, out in (("five", signals["five"]), ("four", torch.zeros(L))):
        assert rows.get_group(name)["out"].tolist() == pytest.approx(out.tolist(), abs=1e-4)
    K = ch04.adaptive_table(layer, signals).set_index("signal").loc["five"]
    assert K["bin"].tolist() == list(range(1, 11))
    assert K["K"].tolist() == pytest.approx([0.5 * (k in (4, 8)) for k in range(1, 11)])


def periods(axis):
    return [tick.get_text() for tick in axis.get_xticklabels()] == ["6", "3", "2"] and "steps" in axis.get_xlabel()


def test_alignment_bars_have_a_panel_per_place_and_a_bar_per_form_and_state():
    table = pd.DataFrame(
        [
            {
                "form": form,
                "when": when,
                "place": place,
                "seed": seed,
                "own": 0.2 + 0.1 * seed,
                "others": 0.1,
                "cka": 0.5,
            }
            for form in ("one", "each")
            for when in ("fresh", "trained")
            for place in ("in", "out")
            for seed in (0, 1)
        ]
    )
    into, out = drawn(ch04.plot_alignment_bars(table))
    assert [axis.get_title(loc="left") for axis in (into, out)] == ["in", "out"]
    own, others = out.containers
    assert [bar.get_height() for bar in own] == pytest.approx([0.25] * 4) and len(others) == 4
    assert "cosine" in into.get_ylabel() and words(out) == ["with the own image", "with others' images"]


def test_planted_rhythms_show_gaps_and_spectrum_side_by_side():
    rhythms = {"a": torch.tensor([60, 60, 3600, 60, 60, 3600]), "b": torch.full((6,), 60)}
    table = pd.concat([BINS.assign(customer=name, amplitude=[0, 2, 0.5]) for name in rhythms])
    axes = drawn(ch04.plot_planted_rhythms(rhythms, table))
    assert len(axes) == 4 and [bar.get_height() for bar in axes[0].patches] == rhythms["a"].tolist()
    assert [bar.get_height() for bar in axes[1].patches] == [0, 2, 0.5] and periods(axes[3])


def test_filter_in_out_has_a_row_per_signal_and_a_column_per_filter():
    table = pd.concat(
        [
            pd.DataFrame({"filter": f, "signal": s, "step": [1, 2, 3], "in": [0, 1, 0], "out": [0, 2, 0]})
            for f in ("f", "g", "h")
            for s in ("s", "t")
        ]
    )
    axes = drawn(ch04.plot_filter_in_out(table))
    assert [axis.get_title(loc="left") for axis in axes] == ["f", "g", "h", "", "", ""]
    assert [axis.get_ylabel().split()[0] for axis in axes[::3]] == ["s", "t"]
    assert [[bar.get_height() for bar in bars] for bars in axes[0].containers] == [[0, 1, 0], [0, 2, 0]]


def test_adaptive_gain_shows_each_signal_from_1():
    (axis,) = drawn(ch04.plot_adaptive_gain(pd.concat([BINS.assign(signal=s, K=[1, 2, 1.5]) for s in ("a", "b")])))
    assert words(axis) == ["a", "b"] and periods(axis)
    assert [bar.get_y() + bar.get_height() for bar in axis.containers[0]] == [1, 2, 1.5]


def test_reach_bars_tell_an_exact_zero_from_a_small_number():
    table = pd.DataFrame(
        [
            {"stream": s, "back": b, "moved": v, "when": when}
            for when in ("fresh", "trained")
            for s, values in (("image", [0.5, 0]), ("text", [0.7, 0.002]))
            for b, v in enumerate(values)
        ]
    )
    left, right = drawn(ch04.plot_reach_bars(table))
    assert [text.get_text() for text in left.texts] == ["70", "0.2", "50", "0"]
    bars = [to_hex(container[0].get_facecolor()) for container in right.containers]
    assert sorted(bars) == sorted(map(to_hex, COLOURS[:2]))
    assert [to_hex(handle.get_facecolor()) for handle in right.get_legend().legend_handles] == [
        *map(to_hex, COLOURS[:2])
    ]
    assert words(right) == ["text", "image"] and "%" in left.get_ylabel() and "steps" in left.get_xlabel()
    assert left.get_xlim()[0] > left.get_xlim()[1]  # the last step on the right


@pytest.mark.slow
def test_a_past_picture_moves_m_where_a_past_vector_at_the_fusion_does_not():
    models = {"fresh": ch04.fresh()}
    at_fusion, at_entry = ch04.reach_table(models).query("stream == 'image'"), ch04.picture_table(models)
    assert at_entry["back"].tolist() == at_fusion["back"].tolist() == list(range(models["fresh"].config.max_len))
    far = at_fusion["back"].to_numpy() > 3
    assert (at_fusion["moved"][far] == 0).all() and (at_entry["moved"][far] > 1e-4).all()
    assert at_entry["moved"].iloc[0] > 10 * at_entry["moved"].iloc[-1]
    parts = ch04.query_and_gate(models)
    assert parts["place"].tolist() == ["query C", "gate"] and (parts["moved"] > 0).all()
    assert not any(part._forward_pre_hooks for part in models["fresh"].modules())


def test_score_bars_show_both_parts_and_their_sum():
    table = pd.DataFrame({"item": ["A", "B"], "text": [2.0, 1.0], "image": [0.5, -1.0], "score": [2.5, 0.0]})
    (axis,) = drawn(ch04.plot_score_bars(table))
    assert [bar.get_width() for bar in axis.patches] == [2, 1, 0.5, -1] and len(words(axis)) == 3
    (total,) = [line for line in axis.lines if line.get_marker() == "D"]
    assert list(total.get_xdata()) == [2.5, 0]
