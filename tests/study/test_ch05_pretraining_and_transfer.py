"""What moves to another catalogue, what the losses see, and what fine-tuning changes, on the toy shop."""

import math

import pandas as pd
import pytest
import torch

from mmm4rec_lite import data
from mmm4rec_lite.data import batch, leave_one_out
from mmm4rec_lite.evaluation import model_scorer, popularity
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.runs import Task, initial_model, pretrain, run
from mmm4rec_lite.study import ch05_pretraining_and_transfer as ch05
from mmm4rec_lite.study.protocol.results import annotate_runs


@pytest.fixture(scope="module")
def domains(toy):
    return [toy.select(name, k=1) for name in toy.domains[:2]]


@pytest.fixture(scope="module")
def moved(domains, toy, random_features, small, tmp_path_factory):
    """(target, run folder of pre-training, its model and history, fine-tuned model, its history)."""
    folder, features = tmp_path_factory.mktemp("runs"), random_features(toy.items["item"])
    source, target = domains
    own = dict(vars(small), batch_size=64, progress=False)
    first = pretrain(Task(source, features), "mmm4rec+id", out=folder / "first", **own | dict(epochs=1))
    done = run(Task(target, features), "mmm4rec+id", out=folder / "second", start=first, **own | dict(epochs=2))
    return target, folder / "first", first.model, first.history, done.model, done.history


@pytest.fixture
def begun(moved, features, small):
    """(zero, fresh): the models that fine-tuning begins with, pre-trained and not."""
    task, own = Task(moved[0], features), vars(small)
    return initial_model(task, "mmm4rec+id", start=moved[1], **own), initial_model(task, "mmm4rec+id", **own)


@pytest.fixture(scope="module")
def features(toy, random_features):
    return random_features(toy.items["item"])


def test_everything_moves_but_what_belongs_to_items_or_to_one_domain(toy, domains, features, small):
    table = ch05.parts(toy, domains[1], features, small).set_index("part")
    stays = table[~table["moves"]]
    assert all(word in " ".join(stays.index) for word in ("E^t", "E^v", "two scores", "request")) and len(stays) == 4
    assert (stays["why_not"] != "").all() and (table[table["moves"]]["why_not"] == "").all()
    same = table["source_parameters"] == table["target_parameters"]
    assert same[table["moves"]].all() and not same[["item table E^t (section 3.2.3)"]].any()
    rows = len(domains[1].items) + 1
    assert table["target_parameters"]["item table E^t (section 3.2.3)"] == rows * small.d_model
    alike = ch05.parts(*domains, features, small).set_index("part")  # tables of one shape stay, too
    assert alike["moves"].equals(table["moves"]) and (alike["source_parameters"] == alike["target_parameters"]).all()


@pytest.mark.parametrize("changes", [{}, dict(shared=False, n_layers=2), dict(gaps="seconds"), dict(time=False)])
def test_every_tensor_belongs_to_a_part(toy_model, small, changes):
    names = toy_model(small.replace(**changes)).state_dict()
    assert all(ch05.part_of(name) for name in names)
    time = ch05.part_of("layers.0.tissd.1.enhance.norm.weight")
    assert "time" in time and ch05.part_of("layers.0.ticossd.core.step.bias") == time
    assert ch05.part_of("layers.0.tissd.0.core.norm.weight").startswith("TiSSD")


def test_zero_shot_has_the_pre_trained_weights_and_empty_item_tables(moved, begun):
    target, _, model, *_ = moved
    zero = begun[0]
    assert torch.equal(zero.adapter_text.weight, model.adapter_text.weight) and not zero.training
    assert not zero.bias_text.any() and len(zero.bias_text) == len(target.items) + 1


def test_negatives_are_as_many_as_the_losses_have(domains):
    rows = data.prefixes(domains[0])
    table, n = ch05.negatives(rows, batch_size=len(rows.train)), len(rows.train)
    assert table["popularity"].sum() == n
    expected = 1000 * table["popularity"] * (n - table["popularity"]) / n  # one batch with all rows in it
    assert table["in_batch"].tolist() == pytest.approx(expected.tolist())
    assert table["catalogue"].tolist() == pytest.approx((1000 * (1 - table["popularity"] / n)).tolist())
    small = ch05.negatives(rows, batch_size=16)
    assert small["in_batch"].sum() < 1000 * 15 + 1


def test_a_model_without_preferences_has_the_loss_of_who_knows_nothing(moved, domains, small, features):
    rows = data.prefixes(domains[0])
    blank = MMM4Rec.from_catalogue(small.replace(item_bias=False), features.catalogue(domains[0].items["item"]))
    with torch.no_grad():
        blank.adapter_text.weight.zero_(), blank.adapter_image.weight.zero_()  # all items alike
    table = ch05.candidate_losses({"blank": blank, "pre-trained": moved[2]}, rows, sizes=(4, 16), sample=64)
    whole = table[table["loss"] == "catalogue"].set_index("model")
    assert whole["nats"]["blank"] == pytest.approx(math.log(len(domains[0].items)), abs=1e-5)
    assert table["candidates"].tolist() == [4, 16, len(domains[0].items)] * 2
    known = table[table["model"] == "pre-trained"]
    assert (known["distinct"] <= known["candidates"]).all()
    assert known["known_nats"].tolist() == pytest.approx((known["candidates"].map(math.log) - known["nats"]).tolist())


def test_log_popularity_alone_ranks_as_popularity_does(moved, begun):
    target, model = moved[0], begun[0]
    rows = leave_one_out(target)
    one = batch(rows.sequences, rows.test, model.window)
    heavy = ch05.with_popularity(model, rows, 1e6)(one)[:, 1:]
    counts = popularity(rows.sequences, rows.train, len(target.items))(one)[:, 1:]
    best = counts == counts.max(dim=1, keepdim=True).values
    assert best.gather(1, heavy.argmax(1, keepdim=True)).all()
    assert torch.equal(ch05.with_popularity(model, rows, 0.0)(one), model_scorer(model)(one))


def test_places_are_shares_of_the_catalogue(moved):
    target, _, model, _, tuned, _ = moved
    table = ch05.popularity_pull({"fine-tuned": tuned}, leave_one_out(target))
    assert table["place_share"].between(0, 1).all() and (table["popularity"] > 0).all()


def test_zero_shot_table_has_each_model_with_and_without_popularity(moved, begun):
    table = ch05.zero_shot_table(moved[0], {"zero": begun[0]})
    assert table["system"].unique().tolist() == ["popularity", "Markov chain", "zero", "zero, + log popularity"]


def test_curves_begin_before_training_and_count_pre_training_once(moved, begun):
    (target, _, _, spent, _, history), (zero, fresh) = moved, begun
    table = ch05.curves(target, {"a": (fresh, history, False), "b": (zero, history, True)}, spent)
    b = table[table["curve"] == "b"]
    assert b["epoch"].tolist() == [0, 1, 2] and b["seconds"].iloc[0] == 0
    assert (b["seconds_with_pretraining"] - b["seconds"]).tolist() == pytest.approx([spent["train_seconds"].sum()] * 3)
    a = table[table["curve"] == "a"]
    assert (
        a["seconds_with_pretraining"].tolist() == a["seconds"].tolist() and a["ndcg@10"].iloc[0] != b["ndcg@10"].iloc[0]
    )
    soon = ch05.until(table, level=0.0)
    assert soon["epoch"].tolist() == [0, 0] and ch05.until(table, level=2.0)["epoch"].isna().all()


def test_parameter_drift_puts_each_part_back_and_leaves_the_model_as_it_was(moved, begun):
    (target, _, _, _, tuned, _), (zero, _) = moved, begun
    before = {name: tensor.clone() for name, tensor in tuned.state_dict().items()}
    table = ch05.parameter_drift(target, zero, tuned)
    assert all(torch.equal(before[name], tensor) for name, tensor in tuned.state_dict().items())
    table = table.set_index("part")
    moved_by = (tuned.adapter_text.weight - zero.adapter_text.weight).square().sum() + (
        tuned.adapter_text.bias - zero.adapter_text.bias
    ).square().sum()
    length = zero.adapter_text.weight.square().sum() + zero.adapter_text.bias.square().sum()
    assert table["relative_distance"]["adapter, text (eq. 2)"] == pytest.approx(
        (moved_by / length).sqrt().item(), rel=1e-4
    )
    assert math.isnan(table["relative_distance"]["item table E^t (section 3.2.3)"])
    assert "scale of the log-gaps (not trained)" not in table.index  # it does not move in fine-tuning
    assert ch05.parameter_drift(target, tuned, tuned).empty


def runs(variants, dataset, seeds=(0, 1, 2)):
    rows = [
        {
            "dataset": dataset,
            "system": "mmm4rec+id",
            "variant": variant,
            "stage": "finetune",
            "protocol": "matched",
            "scale": "quick",
            "seed": seed,
            "ndcg@10": value + 0.01 * seed,
            "run_id": f"{dataset}{variant}{seed}",
        }
        for variant, value in variants.items()
        for seed in seeds
    ]
    return annotate_runs("table5", pd.DataFrame(rows))


def test_without_pretraining_stands_beside_the_print_with_its_paired_error():
    pairs = pd.DataFrame(
        [
            {
                "experiment": "table5",
                "dataset": "films",
                "variant": "w/o PT",
                "difference": -0.021,
                "standard_error": 0.005,
            }
        ]
    )
    kept = pd.concat([runs({"": 0.1, "w/o PT": 0.08, "2L": 0.3}, "films"), runs({"": 0.1}, "shop")])
    table = ch05.without_pretraining(kept, pairs)
    line, without = table.iloc[0], "without_pretraining_ndcg@10"
    assert line[["ndcg@10", without, "n_seeds"]].tolist() == pytest.approx([0.11, 0.09, 3])
    assert line["difference"] == -0.021 and line["standard_error"] == 0.005 and "films" in line["data"]
    assert table["numbers"].tolist() == ["measured", "published", "published"]
    assert table.set_index("data")[without][["scientific", "office"]].tolist() == [0.0647, 0.0751]
    alone = ch05.without_pretraining(runs({"": 0.1, "w/o PT": 0.08}, "films", seeds=(0,)))
    assert alone["difference"].iloc[0] == pytest.approx(-0.02) and "one seed" in alone["note"].iloc[0]


def test_without_measured_runs_it_says_so():
    table = ch05.without_pretraining(runs({"": 0.1}, "shop"))
    assert table["numbers"].tolist() == ["measured", "published", "published"]
    assert "no such runs" in table["note"].iloc[0] and pd.isna(table["difference"].iloc[0])
