"""Every figure and table of the paper, as a frame, on the toy dataset with tiny models; the numbers mean nothing."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from mmm4rec_lite.data import batch, order_only
from mmm4rec_lite.data.tabular import ORDER_ONLY
from mmm4rec_lite.models import protocol
from mmm4rec_lite.models.registry import build_model
from mmm4rec_lite.runs import Protocol, Task, run
from mmm4rec_lite.study.protocol import experiments, modality
from mmm4rec_lite.study.protocol.results import annotate_runs, paired_differences, summary, tidy
from mmm4rec_lite.utils.errors import InputError

TINY = Protocol("matched", "quick", width=16, window=8)
HOW = dict(seeds=(0,), protocol=TINY, backend="threading", jobs=1)
PROVENANCE = {"dataset", "subset", "system", "variant", "max_len", "protocol", "scale", "seed", "device", "run_id"}


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    """Runs of a moment, kept in a folder of their own."""
    monkeypatch.setattr(protocol, "MATCHED", protocol.MATCHED.replace(epochs=2, batch_size=64))
    monkeypatch.setitem(protocol.SCALES, "quick", dict(epochs=2, rows_per_epoch=128))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def task(toy, random_features):
    return Task(toy, random_features(toy.items["item"]))


def test_table_1_has_measured_counts_above_published_ones(task):
    frame = experiments.reproduce("table1", task)
    assert frame["numbers"].iloc[0] == "measured" and frame["numbers"].iloc[-1] == "published"


@pytest.mark.slow
def test_a_comparison_has_the_floor_and_every_system_of_its_table(task):
    frame = experiments.reproduce("table3", task, **HOW)
    assert frame["system"].tolist() == ["popularity", "markov_chain", *experiments.COLUMNS[3]]
    assert PROVENANCE <= set(frame) and frame["ndcg@10"].between(0, 1).all()
    table = summary(frame)
    assert len(table) == len(frame) and (table["recall@50"] >= table["recall@10"]).all()


def test_data_without_times_compare_systems_without_their_time_branch_or_leave_them_out(toy, random_features):
    plain = replace(toy, info={**toy.info, "times": ORDER_ONLY})
    assert order_only(plain)
    wanted = ["sasrec", "tim4rec", "hm4sr"]
    frame = experiments.comparison(Task(plain, random_features(plain.items["item"])), wanted, **HOW)
    assert [*zip(frame["system"], frame["variant"])][2:] == [("sasrec", ""), ("tim4rec", "w/o Time")]
    assert list(frame.attrs["left_out"]) == [("hm4sr", "")]
    assert frame.attrs["left_out"]["hm4sr", ""].endswith("these data have no time")


def test_data_without_pictures_feed_zeros_where_that_is_asked(toy, random_features):
    rows = random_features(toy.items["item"])
    bare = Task(toy, modality.without(rows, "image"))
    asked = lambda **how: experiments.comparison(bare, ["mmm4rec", "missrec"], **HOW, **how)
    none, some = asked(), asked(zeros=True)
    assert {name for name, _ in none.attrs["left_out"]} == {"mmm4rec", "missrec"}
    assert some["system"].iloc[-1] == "mmm4rec" and [*some.attrs["left_out"]] == [("missrec", "")]


def test_a_transfer_has_each_system_pre_trained_and_from_scratch(toy, random_features):
    rows = random_features(toy.items["item"])
    with pytest.raises(InputError, match="transfer: zesrec needs source domains"):
        experiments.transfer(Task(toy, rows), ["zesrec"], **HOW)
    task = Task(toy.select("mugs"), rows, Task(toy.select("lamps"), rows))
    frame = experiments.reproduce("transfer", task, only=["sasrec", "zesrec"], **HOW)
    ids = experiments.reproduce("transfer", task, only=["mmm4rec+id"], **HOW)
    assert paired_differences("transfer", ids)["against_system"].tolist() == ["mmm4rec+id"]
    forms = frame[["system", "variant", "stage"]].to_numpy().tolist()
    assert forms == [
        ["sasrec", "", "scratch"],
        ["zesrec", "pre-trained on toy-lamps", "finetune"],
        ["zesrec", "w/o PT", "scratch"],
    ]
    assert frame["sources"].tolist() == ["", "toy-lamps", ""]
    assert set(paired_differences("transfer", frame)["against_variant"]) == {"w/o PT"}


def test_a_model_that_pre_trains_on_its_own_domain_does_so_in_a_comparison(task):
    frame = experiments.comparison(task, ["s3rec"], **HOW).iloc[-1]
    assert frame["stage"] == "finetune" and frame["pretraining_seconds"] > 0


def test_a_comparison_with_sources_pre_trains_what_transfers(toy, random_features):
    rows = random_features(toy.items["item"])
    task = Task(toy.select("mugs"), rows, Task(toy.select("lamps"), rows))
    frame = experiments.comparison(task, ["sasrec", "s3rec", "zesrec"], pretrained=True, **HOW).set_index("system")
    assert frame["stage"].dropna().to_dict() == dict(sasrec="scratch", s3rec="finetune", zesrec="finetune")
    assert frame["sources"].dropna()["zesrec"] == "toy-lamps" and frame["sources"].dropna()["s3rec"] != "toy-lamps"


def test_sources_are_used_or_refused(toy, random_features):
    """Pictures are taken away from a pre-trained model; what only trains from scratch says so."""
    rows = random_features(toy.items["item"])
    task = Task(toy.select("mugs"), rows, Task(toy.select("lamps"), rows))
    frame = experiments.reproduce("missing-modality", task, only=["mmm4rec"], **HOW)
    assert set(frame["stage"]) == {"finetune"} and set(frame["sources"]) == {"toy-lamps"}
    for what in experiments.FROM_SCRATCH:
        with pytest.raises(InputError, match=f"^reproduce: {what} is from scratch; leave --sources out$"):
            experiments.reproduce(what, task, **HOW)


def test_data_split_by_time_are_kept_as_other_data(task):
    late = experiments.comparison(replace(task, split="global_time"), ["sasrec", "mamba4rec"], **HOW)
    both = [experiments.comparison(task, ["sasrec"], **HOW), late]
    name = task.dataset.name
    kept = pd.concat([annotate_runs("comparison", frame) for frame in both])
    assert kept["dataset"].unique().tolist() == [name, f"{name}, split by time"]
    assert paired_differences("comparison", late)["dataset"].unique().tolist() == [f"{name}, split by time"]
    assert tidy(kept)["where"].str.count("split by time").max() == 1


def test_truncation_trains_at_every_window(task):
    frame = experiments.truncation(task, systems=("sasrec",), windows=(2, 4), **HOW)
    assert frame["max_len"].tolist() == [2, 4]


@pytest.mark.slow
def test_ablation_has_table_5s_variants_and_differences_against_the_whole(task):
    frame = experiments.reproduce("table5", task, **HOW)
    assert frame["variant"].tolist() == list(experiments.VARIANTS)
    of = frame.set_index("variant")
    assert of["n_parameters"]["2L"] > of["n_parameters"][""]
    table = paired_differences("table5", frame)
    assert table["variant"].tolist() == list(experiments.VARIANTS)[1:] and set(table["against_variant"]) == {""}
    assert table.set_index("variant")["ndcg@10"]["2L"] == pytest.approx(of["ndcg@10"]["2L"])


def test_without_pre_training_stands_beside_it_where_there_are_sources(toy, random_features):
    features = random_features(toy.items["item"])
    first, second = (toy.select(domain, k=1) for domain in toy.domains[:2])
    task = Task(first, features, Task(second, features))
    frame = experiments.sweep(task, [("mmm4rec", "", dict(pretrained=True)), ("mmm4rec", "w/o PT", {})], **HOW)
    assert frame["stage"].tolist() == ["finetune", "scratch"] and frame["pretraining_seconds"].iloc[0] > 0


@pytest.mark.slow
def test_variants_of_a_pre_trained_model_are_pre_trained_as_variants(toy, random_features):
    features = random_features(toy.items["item"])
    first, second = (toy.select(domain, k=1) for domain in toy.domains[:2])
    frame = experiments.ablation(Task(first, features, Task(second, features)), **HOW)
    assert frame["variant"].tolist() == [*experiments.VARIANTS, "w/o PT"]
    assert frame["stage"].tolist() == ["finetune"] * len(experiments.VARIANTS) + ["scratch"]


@pytest.mark.slow
def test_some_rows_alone_where_there_is_a_choice(task):
    assert experiments.reproduce("table5", task, ["2L", "MMM4Rec"], **HOW)["variant"].tolist() == ["2L", ""]
    assert experiments.reproduce("table2", task, ["sasrec"], **HOW)["system"].tolist()[2:] == ["sasrec"]
    for what, name, line in (("table5", "3L", "3L. is not among .*: MMM4Rec, "), ("table1", "a", "no choice")):
        with pytest.raises(InputError, match=line):
            experiments.reproduce(what, task, [name], **HOW)


@pytest.mark.slow
def test_convergence_has_a_line_per_epoch_and_efficiency_the_best_one(task):
    curves = experiments.convergence(task, systems=("mmm4rec",), **HOW)
    assert curves["epoch"].tolist() == [1, 2] and curves["training_seconds"].is_monotonic_increasing
    table = experiments.efficiency(task, systems=("mmm4rec",), **HOW)
    assert table["best_epoch"].iloc[0] == curves.loc[curves["best"], "epoch"].iloc[0]
    assert table["seconds_per_step"].gt(0).all()


def test_costs_of_data_that_feed_some_systems_or_none_say_who_is_left_out(task):
    bare = replace(task.features, has_image=torch.zeros(len(task.features.items), dtype=torch.bool))
    bare = Task(task.dataset, bare)
    some = experiments.efficiency(bare, systems=("sasrec", "mmm4rec"), **HOW)
    assert some["system"].tolist() == ["sasrec"] and list(some.attrs["left_out"]) == [("mmm4rec", "")]
    none = experiments.reproduce("table4", bare, **HOW)
    assert none.empty and len(none.attrs["left_out"]) == len(experiments.TRANSFERABLE)


@pytest.mark.slow
def test_taking_no_pictures_away_changes_nothing_and_all_of_them_something(task):
    names = ("mmsrec", "missrec", "mmm4rec")
    frame = experiments.missing_modality(task, systems=names, shares=(1.0, 0.0), **HOW)
    assert frame["missing_share"].tolist() == [0, 1] * 3
    for name, (some, none) in zip(names, frame["ndcg@10"].to_numpy().reshape(3, 2)):
        assert some == pytest.approx(run(task, name, TINY).record["ndcg@10"]) and none != some


@pytest.mark.parametrize("name", ["mmsrec", "missrec", "hm4sr", "athwe", "mmm4rec"])
def test_a_system_without_pictures_equals_one_that_never_had_them(task, name):
    model = run(task, name, TINY).model
    catalogue = task.catalogue
    lost = torch.arange(len(catalogue)) % 2 == 0
    poorer = replace(catalogue, image=catalogue.image * ~lost.unsqueeze(1), has_image=catalogue.has_image & ~lost)
    other = build_model(name, poorer, model.config).eval()
    kept = {k: v for k, v in model.state_dict().items() if k not in ("centroids", "interests")}
    other.load_state_dict(kept, strict=False)
    if name == "missrec":  # interests are found in training: those found with pictures
        other.centroids, other.interests = model.centroids, model.interests.clone()
        other.interests[lost, 1] = 0
    model.drop_images(lost)
    rows = task.rows
    one = batch(rows.sequences, rows.test[:8], model.window)
    torch.testing.assert_close(model.score(model.users(one)), other.score(other.users(one)))


def test_full_modality_keeps_items_with_pictures_alone(task):
    some = torch.arange(len(task.features.items)) % 4 > 0
    fewer = Task(task.dataset, replace(task.features, has_image=some))
    frame = experiments.full_modality(fewer, **HOW)
    assert (
        set(frame["dataset"]) == {"toy"}
        and set(frame["subset"]) == {"with_images"}
        and "mmm4rec" in set(frame["system"])
    )
    bare = replace(task.features, has_image=some & False)
    with pytest.raises(InputError, match="no item has a picture"):
        experiments.full_modality(Task(task.dataset, bare), **HOW)


def test_time_benefit_stands_beside_the_gaps_of_the_data(task):
    frame = experiments.time_benefit(task, systems=("tim4rec",), **HOW)
    assert frame["variant"].tolist() == ["", "w/o Time"] and frame["n_gaps"].gt(0).all()


def test_unknown_names_are_refused_in_one_line(task):
    with pytest.raises(InputError, match="^reproduce: 'table9' is not known; one of table1, [^\n]*$"):
        experiments.reproduce("table9", task)
    with pytest.raises(InputError, match="^model: 'gru4rec' is not built here; one of sasrec, [^\n]*$"):
        experiments.comparison(task, ["gru4rec"], **HOW)


def test_a_summary_keeps_shares_of_missing_images_apart():
    rows = [("mmm4rec", seed, share, 0.5 - share / 10 + seed / 100) for seed in (0, 1) for share in (0.0, 0.5)]
    frame = pd.DataFrame(rows, columns=["system", "seed", "missing_share", "ndcg@10"])
    frame = frame.assign(variant="", **{name: 0.5 for name in ("recall@10", "recall@50", "ndcg@50")})
    table = summary(frame)
    assert table["missing_share"].tolist() == [0.0, 0.5] and table["n_seeds"].tolist() == [2, 2]
    assert table["ndcg@10"].tolist() == pytest.approx([0.505, 0.455])
    assert table["seed_spread"].tolist() == pytest.approx([0.01 / 2**0.5] * 2)
    assert "missing_share" not in summary(frame[frame["missing_share"] == 0])
