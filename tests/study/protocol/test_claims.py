"""Verdicts on made-up runs whose right verdict is known, and the page made from them and from their csv files."""

import shutil

import pandas as pd
import pytest

from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.runs import Protocol, Task
from mmm4rec_lite.study.protocol import claims
from mmm4rec_lite.study.protocol.claims import claims_about, claims_table
from mmm4rec_lite.study.protocol.evidence import CUT, NOT_PRETRAINED, ONE_SEED
from mmm4rec_lite.study.protocol.experiments import COLUMNS, FULL
from mmm4rec_lite.study.protocol.report import markdown, page, write_page
from mmm4rec_lite.study.protocol.results import (
    annotate_runs,
    display_name,
    paired_differences,
    read_results,
    stopped_early,
    stored_results,
    tidy,
)
from mmm4rec_lite.study.protocol.verdict import CONTRADICTED, INCONCLUSIVE, NOT_TESTED, PARTLY, SUPPORTED
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import workspace

MAMBA, BEST, TEXT = "Mamba-based", "MMM4Rec with ids ranks best", "Text in place"


def runs(means, dataset="scientific", seeds=(0, 1, 2), experiment="comparison", users=8000, **more):
    """Rows as ``sweep`` gives them: system or (system, variant) or (system, variant, max_len) -> NDCG@10.

    The seeds are 0.0005 apart; training was not cut, and every system was pre-trained.
    """
    rows = [
        {
            "dataset": dataset,
            "subset": "all",
            "system": form[0],
            "variant": form[1],
            "max_len": form[2],
            "stage": "finetune",
            "protocol": "matched",
            "scale": "quick",
            "seed": seed,
            "ndcg@10": mean + 0.0005 * (seed - 1),
            "recall@10": 2 * mean,
            "best_epoch": 3,
            "epochs": 6,
            "seconds_per_epoch": 2.0,
            "seconds_per_step": 2.0 + 0.01 * seed,
            "seconds": 20.0,
            "n_parameters": 1000,
            "n_test_rows": users,
            "run_id": f"{dataset}{experiment}{form}{seed}",
            **more,
        }
        for name, mean in means.items()
        for form in [(name, "", 20) if isinstance(name, str) else (*name, *("", 20)[len(name) - 1 :])]
        for seed in seeds
    ]
    return annotate_runs(experiment, pd.DataFrame(rows))


def pair(system, against, difference, error, dataset="scientific", seeds=3, experiment="comparison"):
    sides = dict(system=system, variant="", max_len=20, against_system=against, against_variant="", against_max_len=20)
    where = dict(experiment=experiment, dataset=dataset, subset="all", protocol="matched", scale="quick")
    return {**where, **sides, "difference": difference, "standard_error": error, "n_seeds": seeds}


def told(frame, start, pairs=None):
    table = claims_table(frame, None if pairs is None else pd.DataFrame(pairs))
    return table[table["claim"].str.startswith(start)].iloc[0]


@pytest.mark.parametrize(
    "first, second, verdict",
    [
        (0.09, 0.08, SUPPORTED),
        (0.09, 0.04, PARTLY),
        (0.04, 0.04, CONTRADICTED),
        (0.06, 0.09, PARTLY),
        (0.06, 0.06, INCONCLUSIVE),
    ],
)
def test_verdicts_follow_the_means_and_the_bound_on_their_error(first, second, verdict):
    """60,000 users: the bound is about 0.0018 then, so that 0.02 counts and a tie cannot."""
    means = {"sasrec": 0.06, "mamba4rec": first, "sasrec_t": 0.06, "mamba4rec_t": second}
    line = told(runs(means, users=60_000, stage="scratch"), MAMBA)
    assert line["verdict"] == verdict
    assert f"Mamba4Rec {first:.4f}, SASRec 0.0600" in line["numbers"] and "at most" in line["numbers"]
    assert "3 seed(s), from scratch" in line["numbers"] and "scientific, matched, quick" in line["numbers"]


def test_paired_errors_take_the_place_of_the_bound_in_either_direction():
    few = runs({"sasrec": 0.060, "mamba4rec": 0.064})
    assert told(few, MAMBA)["verdict"] == INCONCLUSIVE and "no difference is" in told(few, MAMBA)["why"]
    for one in (pair("mamba4rec", "sasrec", 0.004, 0.002), pair("sasrec", "mamba4rec", -0.004, 0.002)):
        line = told(few, MAMBA, [one])
        assert line["verdict"] == SUPPORTED and "+0.0040 +- 0.0020 (supported)" in line["numbers"]
    assert told(few, MAMBA, [pair("mamba4rec", "sasrec", 0.004, 0.0021)])["verdict"] == INCONCLUSIVE
    other = [pair("mamba4rec", "sasrec", 0.004, 0.002, dataset="office")]
    assert told(few, MAMBA, other)["verdict"] == INCONCLUSIVE  # of another dataset: not used


def test_runs_that_could_not_have_supported_a_claim_do_not_contradict_it():
    worse = runs({"sasrec": 0.09, "mamba4rec": 0.04}, users=60_000)
    assert told(worse, MAMBA)["verdict"] == CONTRADICTED
    cut = worse.assign(best_epoch=6)
    assert stopped_early(cut).all() and not stopped_early(worse).any()
    for frame in (cut, worse.assign(best_epoch=[6] + [3] * 5)):  # one of them is enough
        assert told(frame, MAMBA)["verdict"] == NOT_TESTED and told(frame, MAMBA)["why"] == CUT
    better = cut.assign(**{"ndcg@10": 0.13 - cut["ndcg@10"]})
    assert told(better, MAMBA)["verdict"] == NOT_TESTED  # nor do they support it
    mixed = pd.concat([cut, runs({"sasrec": 0.09, "mamba4rec": 0.04}, "office", users=60_000)])
    assert told(mixed, MAMBA)["verdict"] == CONTRADICTED and CUT in told(mixed, MAMBA)["why"]


def test_a_claim_about_pre_trained_models_is_not_tested_from_scratch():
    worse = runs({**dict.fromkeys(COLUMNS[2], 0.09), FULL: 0.03}, users=60_000)
    assert told(worse, BEST)["verdict"] == CONTRADICTED
    scratch = told(worse.assign(stage="scratch"), BEST)
    assert scratch["verdict"] == NOT_TESTED and scratch["why"].startswith(NOT_PRETRAINED)
    assert f"worse than {len(COLUMNS[2]) - 1} (not tested)" in scratch["numbers"]  # what was measured is still said
    some = worse.assign(stage=[get_model(name).stages[-1] for name in worse["system"]])
    assert told(some, BEST)["verdict"] == CONTRADICTED  # the others have no pre-training
    ablated = runs({("mmm4rec+id",): 0.05, ("mmm4rec+id", "w/o PT"): 0.09}, experiment="table5", users=60_000)
    ablated.loc[ablated["variant"] == "w/o PT", "stage"] = "scratch"
    assert told(ablated, "Ablation: w/o PT")["verdict"] == CONTRADICTED


def test_one_seed_never_counts_and_says_so():
    line = told(runs({"sasrec": 0.01, "mamba4rec": 0.9}, seeds=(0,)), MAMBA)
    assert line["verdict"] == NOT_TESTED and "+0.8900 (not tested)" in line["numbers"] and line["why"] == ONE_SEED


def not_built(monkeypatch, system, table):
    """The library without a system; new dictionaries, as one that gets an entry back has it last."""
    without = lambda known: {name: title for name, title in known.items() if name != system}
    monkeypatch.setitem(COLUMNS, table, without(COLUMNS[table]))
    monkeypatch.setattr(claims, "TITLES", without(claims.TITLES))


def test_best_of_all_needs_every_rival_and_is_at_most_partly_while_some_are_not_built(monkeypatch):
    not_built(monkeypatch, "fdsa", table=2)
    rivals, n = dict.fromkeys(COLUMNS[2], 0.03), len(COLUMNS[2]) - 1
    line = told(runs({**rivals, FULL: 0.09}, users=60_000), BEST)
    assert line["verdict"] == PARTLY and f"better than {n} of {n} rivals" in line["numbers"]
    assert "not built here: FDSA" in line["why"]
    line = told(runs({**rivals, "bsarec": 0.12, FULL: 0.09}, users=60_000), BEST)
    assert (
        line["verdict"] == CONTRADICTED
        and "against the strongest, MMM4Rec + ID 0.0900, BSARec 0.1200" in line["numbers"]
    )
    line = told(runs({**rivals, "bsarec": 0.0901, FULL: 0.09}, users=60_000), BEST)
    few = f"better than {n - 1} of {n} rivals, worse than 0 (inconclusive)"
    assert line["verdict"] == INCONCLUSIVE and few in line["numbers"]


def test_a_lead_with_pictures_throughout_is_weighed_against_the_lead_on_the_whole():
    everywhere = {"unisrec": 0.03, "mmsrec": 0.02, "missrec": 0.04}
    whole = runs({**everywhere, "mmm4rec": 0.044})
    pictured = runs({**everywhere, "mmm4rec": 0.060}, experiment="table6", subset="with_images")
    line = told(pd.concat([whole, pictured]), "MMM4Rec's lead")
    assert line["verdict"] == PARTLY and "+10.0%, with pictures throughout +50.0%" in line["numbers"]
    assert told(whole, "MMM4Rec's lead")["verdict"] == NOT_TESTED
    assert (
        told(
            pd.concat([runs({**everywhere, "mmm4rec": 0.060}), pictured.assign(**{"ndcg@10": 0.04})]), "MMM4Rec's lead"
        )["verdict"]
        == CONTRADICTED
    )


def test_competing_allows_a_stated_loss_and_no_more():
    names = runs({"sasrec": 0.1, "sasrec_t": 0.096})
    assert told(names, TEXT, [pair("sasrec_t", "sasrec", -0.004, 0.002)])["verdict"] == SUPPORTED
    assert told(names, TEXT, [pair("sasrec_t", "sasrec", -0.004, 0.004)])["verdict"] == INCONCLUSIVE
    assert told(names, TEXT, [pair("sasrec_t", "sasrec", -0.02, 0.002)])["verdict"] == CONTRADICTED


def test_epochs_do_not_count_where_training_was_cut_and_seconds_do():
    systems = dict.fromkeys(("mmsrec", "missrec+id", "mmm4rec+id"), 0.05)
    frame = runs(systems, experiment="table4", best_epoch=6)
    slow = frame["system"] != "mmm4rec+id"
    frame.loc[slow, "seconds_per_step"] += [1 + 0.01 * seed for seed in frame.loc[slow, "seed"]]
    assert told(frame, "MMM4Rec needs the fewest seconds")["verdict"] == SUPPORTED
    line = told(frame, "MMM4Rec needs the fewest epochs")
    assert line["verdict"] == NOT_TESTED and line["why"] == CUT
    done = frame.assign(epochs=30, scale="full", best_epoch=slow * 10.0 + 5)
    assert told(done, "MMM4Rec needs the fewest epochs")["verdict"] == SUPPORTED
    assert stopped_early(frame).all() and not stopped_early(done).any()


def test_dearer_with_the_catalogue_needs_two_of_them():
    systems = dict.fromkeys(("mmsrec", "missrec+id", "mmm4rec+id"), 0.05)
    small, large = (
        runs(systems, name, experiment="table4", n_items=items)
        for name, items in (("scientific", 1000), ("instruments", 9000))
    )
    large.loc[large["system"] == "mmsrec", "seconds_per_step"] *= 3
    assert told(small, "MMSRec and MISSRec grow")["verdict"] == NOT_TESTED
    assert told(pd.concat([small, large]), "MMSRec and MISSRec grow")["verdict"] == PARTLY


def test_ablation_truncation_and_missing_images_are_read_by_their_columns():
    full = "mmm4rec+id"
    forms = {(full,): 0.09, (full, "w/o Time"): 0.05, (full, "2L"): 0.05}
    table5 = runs(forms, experiment="table5", users=60_000)
    kept = {("sasrec", "", 5): 0.08, ("sasrec", "", 20): 0.05}
    figure2 = runs(kept, experiment="figure2", users=60_000)
    without = [
        runs({"mmm4rec": a, "mmsrec": b}, experiment="missing-modality", missing_share=share)
        for share, a, b in ((0.0, 0.05, 0.05), (1.0, 0.05, 0.02))
    ]
    table = claims_table(pd.concat([table5, figure2, *without])).set_index("claim")["verdict"]
    assert table["Ablation: w/o Time loses"] == SUPPORTED and table["Ablation: w/o PT loses"] == NOT_TESTED
    assert table["A second layer loses on small data"] == SUPPORTED
    assert table.filter(like="SASRec with the latest 5").tolist() == [SUPPORTED]
    assert table.filter(like="Without pictures").tolist() == [SUPPORTED]
    big = claims_table(table5.assign(n_test_rows=500_000)).set_index("claim")["verdict"]
    assert big["A second layer loses on small data"] == NOT_TESTED


def test_claims_without_systems_or_data_say_what_lacks(monkeypatch):
    not_built(monkeypatch, "vqrec", table=3)
    table = claims_table(runs({"sasrec": 0.05}, stage="scratch")).set_index("claim")
    why = table.loc[table.index.str.startswith("UniSRec and VQRec"), "why"].iloc[0]
    assert "not built here: VQRec" in why and "no runs of UniSRec" in why and "no run was pre-trained" in why
    assert (table["verdict"] == NOT_TESTED).all() and (table["why"] != "").all()


def test_an_empty_frame_has_no_testable_claim_and_a_wrong_one_is_refused():
    empty = runs({"sasrec": 0.05}).iloc[:0]
    assert set(claims_table(empty)["verdict"]) == {NOT_TESTED}
    with pytest.raises(InputError, match="no column 'experiment'"):
        tidy(empty.drop(columns="experiment"))


def test_what_is_shown_is_made_of_the_columns():
    assert display_name("mmm4rec+id", "w/o Time") == "MMM4Rec + ID, w/o Time"
    assert display_name("sasrec", max_len=5.0) == "SASRec, 5 kept" and display_name("markov_chain") == "Markov chain"
    frame = tidy(runs({("sasrec", "", 5): 0.1, ("sasrec", "", 20): 0.1, ("mmm4rec", "", 19): 0.1}))
    assert frame["name"].unique().tolist() == ["SASRec, 5 kept", "SASRec, 20 kept", "MMM4Rec"]


@pytest.mark.slow
def test_the_stored_results_have_one_meaning_a_column_and_give_the_stored_page(tmp_path):
    frame, pairs = stored_results()
    assert "label" not in frame and all(name == name.lower() and " " not in name for name in [*frame, *pairs])
    assert set(frame["subset"]) == {"all"} and set(frame["variant"]) >= {"", "w/o Time", "2L"}
    assert page(frame, pairs) == (workspace("benchmarks", "results") / "comparison.md").read_text(encoding="utf-8")


def test_the_page_comes_from_frames_and_again_from_csv(tmp_path):
    frame = runs({"sasrec": 0.0553, "mmsrec": 0.02})
    floor = pd.DataFrame(
        [
            {
                "dataset": "scientific",
                "system": "popularity",
                "variant": "",
                "ndcg@10": 0.03,
                "recall@10": 0.05,
                "n_test_rows": 8000,
            }
        ]
    )
    swept = pd.concat([floor, frame], ignore_index=True)
    swept.attrs["left_out"] = {("tim4rec", ""): "tim4rec reads time; these data have no time"}
    pairs = pd.DataFrame([pair("mmsrec", "sasrec", -0.03, 0.001)])
    write_page(tmp_path / "comparison.md", annotate_runs("table2", swept), pairs)
    text = (tmp_path / "comparison.md").read_text()
    assert "| SASRec | 0.0553 +- 0.0005 |" in text and "| 0.0553 |" in text.split("published |")[1]
    assert "**Do not beat popularity (0.0300)**: MMSRec (0.0200)" in text
    assert "scientific: TiM4Rec: tim4rec reads time" in text and "All 6 runs ended by their patience" in text
    assert "120 seconds" in text and "seeds: 0, 1, 2" in text
    assert page(*read_results([tmp_path / "comparison.csv", tmp_path / "comparison-pairs.csv"])) == text
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="other.csv: no column experiment"):
        read_results([tmp_path / "other.csv"])
    with pytest.raises(InputError, match="no csv of runs"):
        read_results([tmp_path / "comparison-pairs.csv"])


def test_markdown_keeps_bars_out_of_the_way():
    assert markdown(pd.DataFrame({"a": ["x|y"], "b": [1]})) == "| a | b |\n| --- | --- |\n| x\\|y | 1 |"


def test_paired_differences_take_kept_runs_of_the_seeds_that_both_have(toy, random_features, monkeypatch, tmp_path):
    from mmm4rec_lite.models.protocol import SCALES
    from mmm4rec_lite.study.protocol import experiments

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(SCALES, "quick", dict(epochs=1, rows_per_epoch=64))
    task = Task(toy, random_features(toy.items["item"]))
    tiny = Protocol("matched", "quick", width=16, window=8)
    frame = experiments.comparison(
        task, ["sasrec", "sasrec_t"], seeds=(0, 1, 2), protocol=tiny, backend="threading", jobs=1
    )
    frame = frame[(frame["system"] != "sasrec_t") | (frame["seed"] < 2)]
    table = paired_differences("table2", frame).query("against_system == 'sasrec'")
    assert table[["system", "max_len", "n_seeds"]].to_numpy().tolist() == [["sasrec_t", 8, 2]]
    assert table["standard_error"].iloc[0] > 0 and table["scale"].iloc[0] == "quick"
    assert table["dataset"].iloc[0] == toy.name and paired_differences("table4", frame).empty
    shutil.rmtree(tmp_path / "runs")
    assert paired_differences("table2", frame).empty


def test_claims_about_a_place_are_a_table_to_read():
    full = "mmm4rec+id"
    frame = runs({(full,): 0.07, (full, "w/o Time"): 0.05, (full, "2L"): 0.06}, experiment="table5")
    shown = claims_about(frame, None, "Table 5")
    table = claims_table(frame)
    assert shown.data["claim"].tolist() == table[table["place"].str.contains("Table 5")]["claim"].tolist()
    assert list(shown.data) == ["claim", "verdict", "numbers", "why"] and "w/o Time loses" in shown.to_html()
    (number,) = shown.data[shown.data["claim"].str.contains("w/o Time")]["numbers"]
    assert "MMM4Rec + ID 0.0700, MMM4Rec + ID, w/o Time 0.0500" in number.splitlines()[0] and "; " not in number
    assert len(claims_about(frame, None, "Figure 2", "appendix B").data) == 2
    with pytest.raises(InputError, match="Table 9.*appendix B"):
        claims_about(frame, None, "Table 9")


def test_only_the_stages_of_the_datasets_concerned_are_told():
    first, second = (
        runs({"sasrec": 0.05, "mamba4rec": 0.06, "unisrec": 0.05}, name, stage=stage)
        for name, stage in (("scientific", "scratch"), ("films", "finetune"))
    )
    own = second[second["system"] == "unisrec"]
    line = told(pd.concat([first, own], ignore_index=True), MAMBA)
    assert line["numbers"].endswith("3 seed(s), from scratch")
