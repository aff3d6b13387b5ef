"""The demo store: its parameters do what they say (measured on what it makes), and its truth is the truth."""

import filecmp
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from mmm4rec_lite.data import batch, leave_one_out, load_dataset
from mmm4rec_lite.data.assets import COLOURS, INKS, SHAPES
from mmm4rec_lite.data.synthetic import (
    DAY,
    DOMAINS,
    KINDS,
    SOURCES,
    TARGETS,
    StoreConfig,
    Truth,
    make_store,
    oracle_scorer,
    read_parameters,
    save_store,
    truth_of,
)
from mmm4rec_lite.evaluation import ndcg_per_row, rank_rows
from mmm4rec_lite.study.cli.commands import app
from mmm4rec_lite.utils.errors import InputError

SAMPLE = Path(__file__).parents[2] / "data_samples" / "store"
SMALL = StoreConfig(users=20, items=16, length=8)
PLAIN = StoreConfig(users=2000, items=64, length=10, focus=1, taste=0, drift=0)  # items show the interest bare


def neighbours(config):
    """Neighbouring purchases of users of one domain: kinds before and after, days between, and the days since the
    user's first purchase; ``kind0`` is the user's first."""
    dataset = make_store(None, config, ["rugs"])
    rows = dataset.interactions.merge(truth_of(dataset).items, on="item", sort=False)
    rows = rows.assign(time=rows["timestamp"]).sort_values(["user", "time"], kind="stable")
    users = rows.groupby("user")
    return pd.DataFrame(
        {
            "user": rows["user"],
            "kind": rows["kind"],
            "before": users["kind"].shift(),
            "second": users["kind"].shift(2),
            "days": users["time"].diff() / DAY,
            "kind0": users["kind"].transform("first"),
            "since": (rows["time"] - users["time"].transform("first")) / DAY,
        }
    )


def change_by_gap(config):
    """Share of neighbours of different kinds after gaps within a visit and after absences."""
    pairs = neighbours(config).dropna(subset="days")
    changed = pairs["kind"] != pairs["before"]
    absent = pairs["days"] > 2
    return changed[~absent].mean(), changed[absent].mean(), len(pairs)


def test_the_store_has_five_source_and_five_target_domains_with_all_that_the_paper_needs(tmp_path):
    dataset = make_store(tmp_path, SMALL)
    assert set(dataset.items["domain"]) == {*SOURCES, *TARGETS} and len(SOURCES) == len(TARGETS) == 5
    assert (dataset.items.groupby("domain").size() == 16).all()
    assert dataset.interactions["user"].nunique() == 200
    # users buy in one domain, in order, and no domain shares an item with another
    bought = dataset.interactions.merge(dataset.items, on="item")
    assert (bought.groupby("user")["domain"].nunique() == 1).all()
    assert dataset.items["title"].str.len().gt(5).all() and dataset.items["text"].str.contains("Brand: ").all()
    pictures = dataset.items["image"].dropna()
    assert len(pictures) == 10 * 13 and Image.open(tmp_path / pictures.iloc[0]).size == (64, 64)


def test_users_buy_as_often_as_length_says():
    for length in (5, 12):
        rows = make_store(None, SMALL.replace(users=2000, length=length), ["mugs"]).interactions
        counts = rows["user"].value_counts()
        assert counts.min() == 5 and counts.mean() == pytest.approx(length, abs=0.6 if length > 5 else 0)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        save_store(tmp_path / name, SMALL.replace(seed=seed), ["mugs"])
    files = [str(p.relative_to(tmp_path / "one")) for p in (tmp_path / "one").rglob("*") if p.is_file()]
    assert len(files) == 3 + 13
    assert filecmp.cmpfiles(tmp_path / "one", tmp_path / "two", files, shallow=False)[0] == files
    assert (
        not (tmp_path / "three" / "interactions.parquet").read_bytes()
        == (tmp_path / "one" / "interactions.parquet").read_bytes()
    )


def test_a_domain_is_the_same_alone_without_pictures_and_among_others(tmp_path):
    alone, among = make_store(None, SMALL, ["vases"]), make_store(tmp_path, SMALL, ["mugs", "vases"])
    rows = among.interactions[among.interactions["item"].str.startswith("vases")].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.interactions, rows)
    items = among.items[among.items["domain"] == "vases"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.items.drop(columns="image"), items.drop(columns="image"))
    assert alone.items["image"].isna().all() and items["image"].notna().any()


def test_the_sample_is_what_its_config_makes(tmp_path):
    sample = load_dataset(SAMPLE)
    again = make_store(tmp_path, StoreConfig(**sample.info["store"]), sample.info["domains"])
    pd.testing.assert_frame_equal(again.interactions, sample.interactions)
    pd.testing.assert_frame_equal(again.items, sample.items)
    for image in sample.items["image"].dropna():
        assert (np.asarray(Image.open(tmp_path / image)) == np.asarray(Image.open(SAMPLE / image))).all()
    assert sum(p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file()) < 2e6


def test_gaps_matter_as_much_as_the_parameter_says():
    visit, absence, n = change_by_gap(PLAIN.replace(gap_effect=0))
    assert visit == pytest.approx(absence, abs=5 * 0.43 * (4 / n) ** 0.5)
    apart = [np.subtract(*change_by_gap(PLAIN.replace(gap_effect=e))[1::-1]) for e in (0.5, 1)]
    assert 0.35 < apart[0] < 0.55 < 0.8 < apart[1]
    # what changes is when, not how much
    for effect in (0, 1):
        pairs = neighbours(PLAIN.replace(gap_effect=effect)).dropna(subset="days")
        assert (pairs["kind"] != pairs["before"]).mean() == pytest.approx(0.246 * 15 / 16, abs=0.01)


@pytest.mark.parametrize("half_life", [30, 60, 120])
def test_interest_halves_in_the_half_life(half_life):
    pairs = neighbours(PLAIN.replace(half_life=half_life, absence=0.7)).dropna(subset="days")
    near = pairs[pairs["days"].between(half_life * 0.8, half_life * 1.2)]
    # a new interest is the old kind in one case of 16
    assert (near["kind"] == near["before"]).mean() == pytest.approx(0.5 + 0.5 / KINDS, abs=0.04)


def test_focus_is_the_share_that_follows_the_interest():
    short = [p[p["days"] < 1] for p in (neighbours(PLAIN.replace(focus=f, popularity=0)) for f in (1, 0.5, 0))]
    same = [(p["kind"] == p["before"]).mean() for p in short]
    assert same[0] > 0.95
    assert same[1] == pytest.approx(0.25 * same[0] + 0.75 / KINDS, abs=0.02)
    assert same[2] == pytest.approx(1 / KINDS, abs=0.01)


def test_seasons_bring_interests_back():
    """Of the interests after two changes in a row, how many are the one of before?"""
    back = {}
    for seasons in (1, 2, 3):
        pairs = neighbours(PLAIN.replace(seasons=seasons, absence=0.6, half_life=2, length=16))
        pairs = pairs[(pairs["days"] > 20) & (pairs["kind"] != pairs["before"]) & (pairs["before"] != pairs["second"])]
        back[seasons] = (pairs["kind"] == pairs["second"]).mean()
    assert back[2] > 0.6 and back[1] < 0.12 and back[3] < 0.12


@pytest.mark.slow
def test_taste_and_its_drift():
    """New interests are of the favourite colour, a year later, too, unless it drifts."""

    def same_colour(**parameters):
        pairs = neighbours(PLAIN.replace(absence=0.6, half_life=2, length=20, **parameters))
        late = pairs[pairs["since"] > 365]
        return (late["kind"] % 4 == late["kind0"] % 4).mean()

    assert same_colour(taste=1) > 0.99
    assert same_colour(taste=1, drift=20) == pytest.approx(0.25, abs=0.03)
    assert 0.3 < same_colour(taste=1, drift=0.5) < 0.9
    assert same_colour(taste=0) == pytest.approx(0.25, abs=0.03)


def test_popularity_is_zipfs_law():
    for exponent in (0.0, 1.0):
        dataset = make_store(None, StoreConfig(users=2000, items=64, focus=0, popularity=exponent), ["rugs"])
        sold = np.sort(dataset.interactions["item"].value_counts().to_numpy())[::-1]
        slope = np.polyfit(np.log(np.arange(1, 65)), np.log(sold), 1)[0]
        assert slope == pytest.approx(-exponent, abs=0.05)


def test_pictures_and_texts_tell_as_much_as_the_parameters_say_and_independently():
    items = Truth(StoreConfig(items=4000, picture=0.9, text=0.4), ["rugs"]).items
    right = {(m, a): items[f"{m}_{a}"] == items[a] for m in ("picture", "text") for a in ("shape", "colour")}
    for (modality, _), values in right.items():
        assert values.mean() == pytest.approx({"picture": 0.925, "text": 0.55}[modality], abs=0.03)
    assert np.abs(np.corrcoef(list(right.values())) - np.eye(4)).max() < 0.06


def test_words_and_pictures_show_what_the_truth_says_they_show(tmp_path):
    dataset = make_store(tmp_path, StoreConfig(users=5, items=100, picture=0.5, text=0.5), ["bags", "scarves"])
    items = truth_of(dataset).items
    for title, shape, colour in zip(dataset.items["title"], items["text_shape"], items["text_colour"]):
        _, c, s, _ = title.split()
        assert s in SHAPES[shape] and c in COLOURS[colour]
    filled = []
    for image, shape, colour in zip(dataset.items["image"], items["picture_shape"], items["picture_colour"]):
        if image is None:
            continue
        pixels = np.asarray(Image.open(tmp_path / image)).astype(float)
        ink = (pixels.max(2) - pixels.min(2)) > 50  # the ground is pale
        mean = pixels[ink].mean(0)
        hue = lambda v: (v - v.min()) / (v.max() - v.min())
        assert np.argmin([np.abs(hue(mean) - hue(known)).sum() for known in INKS.astype(float)]) == colour
        where = np.argwhere(ink)
        (top, left), (bottom, right) = where.min(0), where.max(0)
        filled.append(
            (
                shape,
                ink[
                    (top + bottom) // 2 - 2 : (top + bottom) // 2 + 3, (left + right) // 2 - 2 : (left + right) // 2 + 3
                ].mean(),
            )
        )
    middle = pd.DataFrame(filled, columns=["shape", "ink"]).groupby("shape")["ink"].max()
    assert middle[3] == 0 and (middle[:3] > 0.9).all()  # rings are open


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_missing_is_the_share_of_items_without_a_picture(tmp_path, share):
    dataset = make_store(tmp_path, SMALL.replace(missing=share), ["mugs"])
    assert dataset.items["image"].isna().mean() == share
    assert len(list(tmp_path.rglob("*.png"))) == 16 * (1 - share)


# ---- the best scorers ----


def world(**parameters):
    dataset = make_store(
        None, StoreConfig(users=2000, items=60, length=10, absence=0.2).replace(**parameters), ["rugs"]
    )
    return dataset, truth_of(dataset), leave_one_out(dataset)


@pytest.fixture(scope="module")
def plain():
    return world()


def ndcg(score, split, max_len=12):
    return ndcg_per_row(rank_rows(score, split.sequences, split.test, max_len))


def difference(a, b):
    return (a - b).mean().item(), ((a - b).std() / len(a) ** 0.5).item()


def test_best_equals_the_sum_over_all_paths():
    """A history of two items, by brute force over the states of three moments."""
    dataset = make_store(None, StoreConfig(users=200, items=32, drift=3, gap_effect=0.7), ["mugs"])
    truth = truth_of(dataset)
    split, items, config = leave_one_out(dataset), truth.items, truth.config
    rows = split.test[:5]
    one = batch(split.sequences, rows, 2)
    scores = oracle_scorer(truth, dataset)(one)

    def transition(gap):
        s, d = truth.events(np.array([gap]))
        drifted = d / 4 + (1 - d) * np.eye(4)  # [taste, new taste]
        stays = np.einsum("tn,kl->tknl", drifted, np.eye(KINDS))
        leaves = np.einsum("tn,nl->tnl", drifted, truth.fresh)[:, None]
        return ((1 - s) * stays + s * leaves).reshape(4 * KINDS, 4 * KINDS)

    sold = np.zeros((KINDS, 33))
    for i, (kind, weight) in enumerate(zip(items["kind"], items["weight"]), 1):
        sold[:, i] = (1 - config.focus) * weight
        sold[kind, i] += config.focus * weight / items["weight"][items["kind"] == kind].sum()
    sold = np.tile(sold, (4, 1))
    grid, share = truth._grid
    last = sum(p * transition(g) for g, p in zip(grid, share))
    for r in range(5):
        a, b = one.items[r].tolist()
        state = truth.start.numpy().ravel() * sold[:, a]
        state = (state @ transition(int(one.times[r, 1] - one.times[r, 0]))) * sold[:, b]
        expected = (state / state.sum()) @ last @ sold
        np.testing.assert_allclose(scores[r, 1:], expected[1:], rtol=1e-6)
        assert scores[r, 1:].sum().item() == pytest.approx(1, abs=1e-6)


def test_users_start_where_they_stay():
    for seasons in (1, 2):
        truth = Truth(StoreConfig(seasons=seasons, drift=4), ["rugs"])
        later = truth.step(truth.start[None], torch.from_numpy(truth.odds())[None])[0]
        torch.testing.assert_close(later, truth.start, rtol=0, atol=1e-12)
        assert truth.start.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("parameters", [{}, {"seasons": 2, "drift": 4, "users": 700}])
@pytest.mark.parametrize("gaps", [True, False])
def test_best_knows_its_own_quality(parameters, gaps):
    """Calibration: what it expects to gain is what it gains, with and without gaps."""
    dataset, truth, split = world(**parameters)
    one = batch(split.sequences, split.test, 10)
    top = oracle_scorer(truth, dataset, gaps)(one).topk(10, dim=1)
    value = ndcg_per_row(torch.arange(1, 11))
    got = ((top.indices == one.targets[:, None]).double() * value).sum(1)
    mean, se = difference(got, top.values @ value)
    assert abs(mean) < 4 * se


def test_best_beats_popularity_and_whoever_is_blind_to_gaps(plain):
    dataset, truth, split = plain
    from mmm4rec_lite.evaluation import counting

    full, blind = ndcg(oracle_scorer(truth, dataset), split), ndcg(oracle_scorer(truth, dataset, gaps=False), split)
    for name, other in counting(split).items():
        mean, se = difference(blind, ndcg(other, split))
        assert mean > 4 * se, name
    mean, se = difference(full, blind)
    assert mean > 4 * se


def test_without_gap_effect_gaps_are_worth_nothing():
    dataset, truth, split = world(gap_effect=0)
    full, blind = oracle_scorer(truth, dataset), oracle_scorer(truth, dataset, gaps=False)
    one = batch(split.sequences, split.test, 12)
    torch.testing.assert_close(full(one)[:, 1:], blind(one)[:, 1:], rtol=1e-9, atol=0)


def test_more_history_is_worth_more_where_memory_is_long(plain):
    gained = []
    for dataset, truth, split in (plain, world(seasons=2, users=800)):
        one, three, all_ = (ndcg(oracle_scorer(truth, dataset), split, n) for n in (1, 4, 12))
        mean, se = difference(three, one)
        assert mean > 4 * se
        gained.append(difference(all_, three)[0])
    assert gained[1] > gained[0] + 0.01


def test_whoever_judges_from_the_telling_modality_finds_more():
    dataset, truth, split = world(picture=0.9, text=0.2)
    both, picture, text = (ndcg(oracle_scorer(truth, dataset, knows=k), split) for k in ("both", "picture", "text"))
    for better, worse in ((ndcg(oracle_scorer(truth, dataset), split), both), (both, text), (picture, text)):
        mean, se = difference(better, worse)
        assert mean > 4 * se
    # with as much noise in each, the two together know more than either alone
    dataset, truth, split = world(picture=0.6, text=0.6, missing=0)
    both, picture, text = (ndcg(oracle_scorer(truth, dataset, knows=k), split) for k in ("both", "picture", "text"))
    for one in (picture, text):
        mean, se = difference(both, one)
        assert mean > 4 * se


def test_best_serves_the_core_of_a_domain_and_breaks_ties():
    dataset = make_store(None, SMALL.replace(users=60, items=24, popularity=0))
    part = dataset.select("lamps")
    split = leave_one_out(part)
    scores = oracle_scorer(truth_of(part), part)(batch(split.sequences, split.test, 5))
    assert scores.shape == (len(split.test), len(part.items) + 1)
    assert all(len(row.unique()) == len(row) for row in scores)


# ---- bad input ----


@pytest.mark.parametrize(
    "parameters, told",
    [
        (dict(focus=1.5), "focus must be in"),
        (dict(text=float("nan")), "text must be in"),
        (dict(users=0), "users must be at least 1"),
        (dict(items=15), "items must be at least 16"),
        (dict(length=3), "length must be at least 5"),
        (dict(half_life=0), "half_life must be above 0"),
        (dict(length=float("inf")), "length must be a finite number"),
        (dict(half_life=float("inf")), "half_life must be a finite number"),
        (dict(drift=float("nan")), "drift must be"),
        (dict(users=float("inf")), "users must be a whole number"),
        (dict(users=2.5), "users must be a whole number"),
        (dict(seasons=4), "seasons must be 1, 2 or 3"),
        (dict(seed=-1), "seed must be at least 0"),
    ],
)
def test_impossible_parameters_are_told(parameters, told, unchecked):
    with pytest.raises(InputError, match=told):
        StoreConfig(**parameters)


def test_other_faults_are_told_in_one_line(toy):
    with pytest.raises(InputError, match="no domain 'hats'"):
        make_store(None, SMALL, ["hats"])
    with pytest.raises(InputError, match="toy is not the demo store"):
        truth_of(toy)
    with pytest.raises(InputError, match="items that are not of this store"):
        oracle_scorer(Truth(SMALL), toy)
    with pytest.raises(InputError, match="knows must be"):
        oracle_scorer(Truth(SMALL), make_store(None, SMALL, ["mugs"]), knows="sound")
    with pytest.raises(InputError, match="store has several domains"):
        oracle_scorer(Truth(SMALL), make_store(None, SMALL, ["mugs", "bags"]))
    with pytest.raises(InputError, match="no parameter 'colour'"):
        read_parameters(["colour=3"])
    with pytest.raises(InputError, match="popularity must be a finite number, not inf"):
        read_parameters(["popularity=inf"])
    assert read_parameters(["length=12.5"]).length == 12.5
    with pytest.raises(InputError, match="users must be a whole number, not 'many'"):
        read_parameters(["users=many"])


# ---- commands ----


def test_the_command_makes_a_dataset_folder(tmp_path):
    done = CliRunner().invoke(
        app,
        [
            "data",
            "store",
            "--out",
            str(tmp_path / "s"),
            "users=30",
            "items=20",
            "gap_effect=0.5",
            "--domain",
            "mugs, rugs",
            "--seed",
            "3",
            "--json",
        ],
    )
    assert done.exit_code == 0, done.output
    made = load_dataset(tmp_path / "s")
    assert made.domains == ["mugs", "rugs"] and json.loads(done.stdout)["rows"][0]["users"] == 60
    assert truth_of(made).config == StoreConfig(users=30, items=20, gap_effect=0.5, seed=3)
    assert set(DOMAINS) > set(made.domains)


def test_the_seed_is_given_once_and_the_help_names_every_parameter(tmp_path):
    command = ["data", "store", "--out", str(tmp_path / "s"), "users=30", "items=20", "--domain", "mugs", "seed=7"]
    both = CliRunner().invoke(app, [*command, "--seed", "7"])
    assert isinstance(both.exception, InputError) and "both --seed and the parameter seed=" in str(both.exception)
    assert not (tmp_path / "s").exists()
    assert CliRunner().invoke(app, command).exit_code == 0
    assert truth_of(load_dataset(tmp_path / "s")).config.seed == 7
    told = CliRunner().invoke(app, ["data", "store", "--help"], env={"COLUMNS": "1000"}).stdout
    assert "Of the whole store" in told and all(f"{f.name}={f.default}" in told for f in fields(StoreConfig))
