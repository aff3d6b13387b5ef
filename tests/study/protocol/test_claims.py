"""Verdicts on made-up runs whose right verdict is known, and the page made from them and from their csv files."""

import shutil

import pandas as pd
import pytest

from mmm4rec_lite.study.protocol.claims import (
    AGAINST,
    AS,
    NOT,
    PARTLY,
    REPRODUCED,
    UNSURE,
    UNTESTABLE,
    Case,
    about,
    verdicts,
    weighed,
)
from mmm4rec_lite.study.protocol.report import markdown, page, write_page
from mmm4rec_lite.study.protocol.results import compared, cut, lines, read, tidy
from mmm4rec_lite.study.protocol.runner import Protocol, Task
from mmm4rec_lite.utils.errors import InputError

MAMBA, BEST, TEXT = "Mamba-based", "MMM4Rec with ids ranks best", "Text in place"


def runs(means, dataset="scientific", seeds=(0, 1, 2), experiment="comparison", users=8000, **more):
    """Lines as ``trials.sweep`` gives them: ``means`` name -> NDCG@10, the seeds 0.0005 apart."""
    rows = [
        {
            "dataset": dataset,
            "label": label,
            "system": label,
            "stage": "scratch",
            "setting": "matched",
            "scale": "quick",
            "seed": seed,
            "ndcg@10": mean + 0.0005 * (seed - 1),
            "recall@10": 2 * mean,
            "best_epoch": 6,
            "epochs": 6,
            "seconds_per_epoch": 2.0,
            "seconds_per_step": 2.0 + 0.01 * seed,
            "seconds": 20.0,
            "parameters": 1000,
            "n_test_rows": users,
            "config": f"{dataset}{experiment}{label}{seed}",
            **more,
        }
        for label, mean in means.items()
        for seed in seeds
    ]
    return lines(experiment, pd.DataFrame(rows))


def pair(form, against, difference, error, dataset="scientific", seeds=3):
    return {
        "experiment": "comparison",
        "dataset": dataset,
        "setting": "matched",
        "scale": "quick",
        "form": form,
        "against": against,
        "difference": difference,
        "standard_error": error,
        "seeds": seeds,
    }


def told(frame, start, pairs=None):
    table = verdicts(frame, None if pairs is None else pd.DataFrame(pairs))
    return table[table["claim"].str.startswith(start)].iloc[0]


@pytest.mark.parametrize(
    "outcomes, complete, verdict",
    [
        ([AS, AS], True, REPRODUCED),
        ([AS, AS], False, PARTLY),
        ([AS, AGAINST], True, PARTLY),
        ([AS, UNSURE], True, PARTLY),
        ([AGAINST, UNSURE], True, NOT),
        ([AGAINST], False, NOT),
        ([UNSURE], True, UNTESTABLE),
        ([], True, UNTESTABLE),
    ],
)
def test_the_rule(outcomes, complete, verdict):
    assert weighed([Case("", outcome, "", 0, 3) for outcome in outcomes], complete) == verdict


@pytest.mark.parametrize(
    "first, second, verdict",
    [(0.09, 0.08, REPRODUCED), (0.09, 0.04, PARTLY), (0.04, 0.04, NOT), (0.06, 0.09, PARTLY), (0.06, 0.06, UNTESTABLE)],
)
def test_verdicts_follow_the_means_and_the_bound_on_their_error(first, second, verdict):
    """60,000 users: the bound is about 0.0018 then, so that 0.02 counts and a tie cannot."""
    means = {"sasrec": 0.06, "mamba4rec": first, "sasrec_t": 0.06, "mamba4rec_t": second}
    line = told(runs(means, users=60_000), MAMBA)
    assert line["verdict"] == verdict
    assert f"Mamba4Rec {first:.4f}, SASRec 0.0600" in line["numbers"] and "at most" in line["numbers"]
    assert "3 seed(s), from scratch" in line["numbers"] and "scientific, matched, quick" in line["numbers"]


def test_paired_errors_take_the_place_of_the_bound_in_either_direction():
    few = runs({"sasrec": 0.060, "mamba4rec": 0.064})
    assert told(few, MAMBA)["verdict"] == UNTESTABLE
    for one in (pair("Mamba4Rec", "SASRec", 0.004, 0.002), pair("sasrec", "mamba4rec", -0.004, 0.002)):
        line = told(few, MAMBA, [one])
        assert line["verdict"] == REPRODUCED and "+0.0040 +- 0.0020 (as claimed)" in line["numbers"]
    assert told(few, MAMBA, [pair("Mamba4Rec", "SASRec", 0.004, 0.0021)])["verdict"] == UNTESTABLE
    other = [pair("Mamba4Rec", "SASRec", 0.004, 0.002, dataset="office")]
    assert told(few, MAMBA, other)["verdict"] == UNTESTABLE  # of another dataset: not used


def test_one_seed_never_counts_and_says_so():
    line = told(runs({"sasrec": 0.01, "mamba4rec": 0.9}, seeds=(0,)), MAMBA)
    assert line["verdict"] == UNTESTABLE and "one seed (cannot be told)" in line["numbers"] and line["why"]


def test_best_of_all_needs_every_rival_and_is_at_most_partly_while_some_are_not_built():
    rivals = dict.fromkeys(("sasrec", "mamba4rec", "tim4rec", "bsarec", "unisrec+id", "missrec+id"), 0.03)
    line = told(runs({**rivals, "mmm4rec+id": 0.09}, users=60_000), BEST)
    assert line["verdict"] == PARTLY and "better than 6 of 6 rivals" in line["numbers"]
    assert "not built here: FDSA" in line["why"]
    line = told(runs({**rivals, "bsarec": 0.12, "mmm4rec+id": 0.09}, users=60_000), BEST)
    assert line["verdict"] == NOT and "against the strongest, MMM4Rec + ID 0.0900, BSARec 0.1200" in line["numbers"]
    line = told(runs({**rivals, "bsarec": 0.0901, "mmm4rec+id": 0.09}, users=60_000), BEST)
    assert line["verdict"] == UNTESTABLE and "not told apart from 1" in line["numbers"]


def test_a_lead_with_pictures_throughout_is_weighed_against_the_lead_on_the_whole():
    everywhere = {"unisrec": 0.03, "mmsrec": 0.02, "missrec": 0.04}
    whole = runs({**everywhere, "mmm4rec": 0.044})
    pictured = runs({**everywhere, "mmm4rec": 0.060}, dataset="scientific-pictured", experiment="table6")
    line = told(pd.concat([whole, pictured]), "MMM4Rec's lead")
    assert line["verdict"] == PARTLY and "+10.0%, with pictures throughout +50.0%" in line["numbers"]
    assert told(whole, "MMM4Rec's lead")["verdict"] == UNTESTABLE
    assert (
        told(
            pd.concat([runs({**everywhere, "mmm4rec": 0.060}), pictured.assign(**{"ndcg@10": 0.04})]), "MMM4Rec's lead"
        )["verdict"]
        == NOT
    )


def test_competing_allows_a_stated_loss_and_no_more():
    names = runs({"sasrec": 0.1, "sasrec_t": 0.096})
    assert told(names, TEXT, [pair("SASRec_T", "SASRec", -0.004, 0.002)])["verdict"] == REPRODUCED
    assert told(names, TEXT, [pair("SASRec_T", "SASRec", -0.004, 0.004)])["verdict"] == UNTESTABLE
    assert told(names, TEXT, [pair("SASRec_T", "SASRec", -0.02, 0.002)])["verdict"] == NOT


def test_epochs_do_not_count_where_training_was_cut_and_seconds_do():
    systems = dict.fromkeys(("mmsrec", "missrec+id", "mmm4rec+id"), 0.05)
    frame = runs(systems, experiment="table4")
    slow = frame["system"] != "mmm4rec+id"
    frame.loc[slow, "seconds_per_step"] += [1 + 0.01 * seed for seed in frame.loc[slow, "seed"]]
    assert told(frame, "MMM4Rec needs the fewest seconds")["verdict"] == REPRODUCED
    line = told(frame, "MMM4Rec needs the fewest epochs")
    assert line["verdict"] == UNTESTABLE and "training was cut" in line["numbers"]
    done = frame.assign(epochs=30, scale="full", **{"best_epoch": slow * 10.0 + 5})
    assert told(done, "MMM4Rec needs the fewest epochs")["verdict"] == REPRODUCED
    assert cut(frame).all() and not cut(done).any()


def test_dearer_with_the_catalogue_needs_two_of_them():
    systems = dict.fromkeys(("mmsrec", "missrec+id", "mmm4rec+id"), 0.05)
    small, large = (
        runs(systems, name, experiment="table4", items=items)
        for name, items in (("scientific", 1000), ("instruments", 9000))
    )
    large.loc[large["system"] == "mmsrec", "seconds_per_step"] *= 3
    assert told(small, "MMSRec and MISSRec grow")["verdict"] == UNTESTABLE
    assert told(pd.concat([small, large]), "MMSRec and MISSRec grow")["verdict"] == PARTLY


def test_ablation_truncation_and_missing_pictures_are_read_by_their_own_labels():
    table5 = runs({"MMM4Rec": 0.09, "w/o Time": 0.05, "2L": 0.05}, experiment="table5", users=60_000)
    figure2 = runs({"SASRec, 5 kept": 0.08, "SASRec, 20 kept": 0.05}, experiment="figure2", users=60_000)
    for frame in (table5, figure2):
        frame["system"] = "mmm4rec+id"
    without = [
        runs({"mmm4rec": a, "mmsrec": b}, experiment="missing-modality").assign(missing=rate)
        for rate, a, b in ((0.0, 0.05, 0.05), (1.0, 0.05, 0.02))
    ]
    table = verdicts(pd.concat([table5, figure2, *without])).set_index("claim")["verdict"]
    assert table["Ablation: w/o Time loses"] == REPRODUCED and table["Ablation: w/o PT loses"] == UNTESTABLE
    assert table["A second layer loses on small data"] == REPRODUCED
    assert table.filter(like="SASRec with the latest 5").tolist() == [REPRODUCED]
    assert table.filter(like="Without pictures").tolist() == [REPRODUCED]
    big = verdicts(table5.assign(**{"n_test_rows": 500_000})).set_index("claim")["verdict"]
    assert big["A second layer loses on small data"] == UNTESTABLE


def test_claims_without_systems_or_data_say_what_lacks():
    table = verdicts(runs({"sasrec": 0.05})).set_index("claim")
    why = table.loc[table.index.str.startswith("UniSRec and VQRec"), "why"].iloc[0]
    assert "not built here: VQRec" in why and "no runs of UniSRec" in why and "no run was pre-trained" in why
    assert (table["verdict"] == UNTESTABLE).all() and (table["why"] != "").all()


def test_an_empty_frame_has_no_testable_claim_and_a_wrong_one_is_refused():
    empty = runs({"sasrec": 0.05}).iloc[:0]
    assert set(verdicts(empty)["verdict"]) == {UNTESTABLE}
    with pytest.raises(InputError, match="no column 'experiment'"):
        tidy(empty.drop(columns="experiment"))


def test_the_page_comes_from_frames_and_again_from_csv(tmp_path):
    frame = runs({"sasrec": 0.0553, "mmsrec": 0.02})
    floor = pd.DataFrame(
        [
            {
                "label": "popularity",
                "dataset": "scientific",
                "system": "popularity",
                "ndcg@10": 0.03,
                "recall@10": 0.05,
                "n_test_rows": 8000,
            }
        ]
    )
    swept = pd.concat([floor, frame], ignore_index=True)
    swept.attrs["left_out"] = {"TiM4Rec": "tim4rec reads time; these data have no time"}
    pairs = pd.DataFrame([pair("MMSRec", "SASRec", -0.03, 0.001)])
    write_page(tmp_path / "comparison.md", lines("table2", swept), pairs)
    text = (tmp_path / "comparison.md").read_text()
    assert "| SASRec | 0.0553 +- 0.0005 |" in text and "| 0.0553 |" in text.split("published |")[1]
    assert "**Do not beat popularity (0.0300)**: MMSRec (0.0200)" in text
    assert "scientific: TiM4Rec: tim4rec reads time" in text and "6 of 6 runs ended before" in text
    assert "120 seconds" in text and "seeds: 0, 1, 2" in text
    assert page(*read([tmp_path / "comparison.csv", tmp_path / "comparison-pairs.csv"])) == text
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="other.csv: no columns experiment"):
        read([tmp_path / "other.csv"])
    with pytest.raises(InputError, match="no csv of runs"):
        read([tmp_path / "comparison-pairs.csv"])


def test_markdown_keeps_bars_out_of_the_way():
    assert markdown(pd.DataFrame({"a": ["x|y"], "b": [1]})) == "| a | b |\n| --- | --- |\n| x\\|y | 1 |"


def test_compared_pairs_kept_runs_of_the_seeds_that_all_have(toy, random_features, monkeypatch, tmp_path):
    from mmm4rec_lite.study.protocol import experiments, runner

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(runner.SCALES, "quick", dict(epochs=1, rows_per_epoch=64))
    task = Task(toy, random_features(toy.items["item"]))
    frame = experiments.comparison(
        task, ["sasrec", "sasrec_t"], seeds=(0, 1, 2), setting=Protocol(width=16, window=8), backend="threading", jobs=1
    )
    frame = frame[(frame["system"] != "sasrec_t") | (frame["seed"] < 2)]
    table = compared("table2", frame).query("against == 'SASRec'")
    assert table[["form", "against", "seeds"]].to_numpy().tolist() == [["SASRec_T", "SASRec", 2]]
    assert table["standard_error"].iloc[0] > 0 and table["scale"].iloc[0] == "quick"
    assert table["dataset"].iloc[0] == toy.name and compared("table4", frame).empty
    shutil.rmtree(tmp_path / "runs")
    assert compared("table2", frame).empty


def test_lines_about_a_place_are_a_table_to_read():
    frame = runs({"MMM4Rec": 0.07, "w/o Time": 0.05, "2L": 0.06}, experiment="table5")
    page = about(frame, None, "Table 5")
    table = verdicts(frame)
    assert page.data["claim"].tolist() == table[table["place"].str.contains("Table 5")]["claim"].tolist()
    assert list(page.data) == ["claim", "verdict", "numbers", "why"] and "w/o Time loses" in page.to_html()
    (number,) = page.data[page.data["claim"].str.contains("w/o Time")]["numbers"]
    assert "MMM4Rec 0.0700, w/o Time 0.0500" in number.splitlines()[0] and "; " not in number
    assert len(about(frame, None, "Figure 2", "appendix B").data) == 2
    with pytest.raises(InputError, match="Table 9.*appendix B"):
        about(frame, None, "Table 9")


def test_only_the_stages_of_the_datasets_concerned_are_told():
    first, second = (
        runs({"sasrec": 0.05, "mamba4rec": 0.06, "unisrec": 0.05}, name, stage=stage)
        for name, stage in (("scientific", "scratch"), ("films", "finetune"))
    )
    own = second[second["system"] == "unisrec"]
    line = told(pd.concat([first, own], ignore_index=True), MAMBA)
    assert line["numbers"].endswith("3 seed(s), from scratch")
