"""The command line on the toy: the whole chain for people and for machines, and every error in one line."""

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from mmm4rec_lite.data import Dataset
from mmm4rec_lite.data.tabular import ORDER_ONLY
from mmm4rec_lite.models.registry import MODELS
from mmm4rec_lite.study import cli
from mmm4rec_lite.study.cli.commands import app
from mmm4rec_lite.study.protocol import presets
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.tensorfile import load_tensors
from tests.support import toy as make_toy

ROOT, TOY = Path(__file__).parents[2], str(make_toy.FOLDER)
LOADED = """
import sys
from mmm4rec_lite.study.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def run(*arguments):
    """What a command prints on stdout."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def on(domain, features):
    """The options that name a domain of the toy and its features."""
    return ["--data", TOY, "--domain", domain, "--features", features[0]]


def both(*arguments):
    """A command's (text, parsed JSON); the second call finds what the first has made."""
    return run(*arguments), json.loads(run(*arguments, "--json"))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def features(work):
    out = work / "features.safetensors"
    return out, both("features", "--data", TOY, "--out", out, "--encoder", "random")


@pytest.fixture(scope="module")
def source(work, features):
    out = work / "source"
    return out, both("pretrain", *on("lamps", features), "--out", out, "--epochs", 1)


@pytest.fixture(scope="module")
def target(work, features, source):
    out = work / "target"
    return out, both("finetune", *on("mugs", features), "--out", out, "--epochs", 2, "--start", source[0])


@pytest.fixture
def failed(monkeypatch, capsys, tmp_path):
    """A function that runs a command expected to fail and returns its line, once it has found that there is one."""

    def fail(*arguments):
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.setattr(sys, "argv", ["mmm4rec-lite", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        err = re.sub(r"(\r[^\r\n]*\d+%\|[^\r\n]*)+\n", "", err)  # a progress bar that stood still
        assert end.value.code == 2 and out == ""
        assert re.fullmatch(r"error: [^\r\n]+\n", err)
        assert sorted(tmp_path.rglob("*")) == before
        return err

    return fail


# --- the chain ---


def test_data_check_describes_the_dataset_and_its_domains():
    text, found = both("data", "check", TOY)
    assert [row["dataset"] for row in found["rows"]] == ["toy", "toy-lamps", "toy-mugs"]
    assert found["rows"][0] | {"users": 80, "items": 60, "images": 48, "coverage_percent": 80.0} == found["rows"][0]
    assert "toy-mugs" in text and "tie_share" in text and len(text.splitlines()) == 4
    assert json.loads(run("data", "table", TOY, TOY, "--json"))["rows"] == 2 * found["rows"]


def test_features_are_extracted_and_described(features):
    path, (text, found) = features
    assert path.is_file() and text == "Features of 60 items by encoder 'random': text 32, image 32, 48 pictures\n"
    assert found["path"] == str(path) and found["items"] == 60 and found["name"] == "random"
    assert {"fingerprint", "image_dim", "text_dim", "missing"} <= found.keys()


def test_pretrain_prints_its_history_and_writes_a_run_folder(source):
    folder, (text, found) = source
    assert text.split()[:2] == ["epoch", "loss"] and found["model"] == str(folder / "model.safetensors")
    assert len(found["rows"]) == 1 and {"epoch", "loss", "best"} <= found["rows"][0].keys()
    assert Path(found["model"]).is_file() and (folder / "history.csv").is_file()


def test_finetune_prints_its_history_with_the_metrics(target):
    folder, (text, found) = target
    assert "ndcg@10" in text and [row["epoch"] for row in found["rows"]] == [1, 2]
    assert {"loss", "recall@10", "ndcg@10", "recall@50", "ndcg@50", "best"} <= found["rows"][0].keys()
    assert pd.read_csv(folder / "history.csv")["loss"].tolist() == pytest.approx([r["loss"] for r in found["rows"]])


def test_evaluate_prints_three_systems_under_both_policies(features, target):
    text, found = both("evaluate", target[0], *on("mugs", features))
    assert {row["system"] for row in found["rows"]} == {"MMM4Rec + ID", "popularity", "Markov chain"}
    assert [row["filter_seen"] for row in found["rows"]] == [False, True] * 3
    assert all(0 <= row["ndcg@10"] <= row["recall@10"] <= 1 and row["rows"] == 40 for row in found["rows"])
    assert (found["run"], found["dataset"], found["split"]) == (str(target[0]), "toy-mugs", "leave_one_out")
    assert "Markov chain" in text and "recall@50" in text


def test_a_model_told_the_time_of_the_request_is_named_so_and_needs_it(features, tmp_path, failed):
    given = on("mugs", features)
    out = tmp_path / "told"
    run("finetune", *given, "--out", out, "--epochs", "1", "--query-time")
    _, found = both("evaluate", out, *given)
    assert found["rows"][0]["system"] == "MMM4Rec + ID, told the time of the request"
    early, late = (
        json.loads(run("recommend", out, "--user", "user01", *given, "--at", at, "--json"))["rows"]
        for at in ("2024-06-01", "2035-01-01")
    )
    assert [row["score"] for row in early] != [row["score"] for row in late]
    assert "give the time (--at)" in failed("recommend", out, "--user", "user01", *given)


def test_why_tells_the_parts_of_a_score_and_what_each_past_item_did(features, target):
    given = [target[0], "--user", "user01", *on("mugs", features)]
    best = json.loads(run("recommend", *given, "--json"))["rows"][0]
    text, found = both("why", *given)
    assert (found["item"], found["rank"]) == (best["item"], 1)
    assert sum(found["parts"].values()) == pytest.approx(found["score"], rel=1e-5) == pytest.approx(best["score"])
    assert sum(abs(row["share"]) for row in found["rows"]) == pytest.approx(1, abs=1e-5)
    assert "score = text " in text and "Most alike by text: " in text and "leave-one-out" in text
    other = json.loads(run("why", *given, "--item", found["rows"][0]["item"], "--json"))
    assert "in the user's history" in other["notes"][0]


def test_compare_tells_differences_with_their_errors(target):
    text, found = both("compare", target[0], target[0])
    assert [row["metric"] for row in found["rows"]] == ["recall@10", "ndcg@10", "recall@50", "ndcg@50"]
    assert {row["difference"] for row in found["rows"]} == {0} and "two standard errors" in text


@pytest.mark.slow
def test_the_audit_prints_claims_and_verdicts_and_keeps_them(tmp_path, failed, monkeypatch):
    text = run("audit", "--only", "arithmetic,dual-channel", "--out", tmp_path / "a.json")
    assert "arithmetic: PARTLY SUPPORTED" in text and "Again:       mmm4rec-lite audit --only dual-channel" in text
    found = json.loads(run("audit", "--only", "dual-channel", "--json"))["findings"]
    assert [(f["name"], f["verdict"]) for f in found] == [("dual-channel", "contradicted")]
    assert len(json.loads((tmp_path / "a.json").read_text())["findings"]) == 2
    assert "--data and --features go together" in failed("audit", "--data", TOY)
    monkeypatch.setattr(presets, "film_task", None)  # a wrong name is told before data are fetched
    assert "no finding is called nonsense" in failed("audit", "--only", "nonsense,time-leak")


def test_a_terminal_without_unicode_gets_escapes(tmp_path, monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "argv", ["mmm4rec-lite", "drawings", "--out", str(tmp_path / "lämp")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    screen.flush()
    assert end.value.code == 0 and rb"l\xe4mp" in screen.buffer.getvalue()


def test_names_that_are_no_text_are_told_in_one_line(failed):
    assert r"'o\udcf6' is no text in this system's encoding" in failed("data", "store", "--out", "o\udcf6")


def test_titles_from_strangers_do_not_move_the_cursor(features, target, toy, tmp_path):
    evil = toy.items.assign(title="\x1b]0;owned\x07" + toy.items["title"] + "\u202e")
    Dataset.from_frames("evil", toy.interactions, evil, toy.folder, {}).save(tmp_path / "evil")
    about = "--user", "user01", "--data", tmp_path / "evil", "--domain", "mugs", "--features", features[0]
    for command in ("recommend", "why"):
        told = run(command, target[0], *about)
        assert "mug" in told.lower() and not set(told) & {"\x1b", "\x07", "\u202e"}


def test_recommend_names_the_latest_and_the_next_items(features, target, toy):
    text, found = both("recommend", target[0], "--user", "user01", *on("mugs", features), "-k", 3)
    assert found["user"] == "user01" and [row["rank"] for row in found["rows"]] == [1, 2, 3]
    assert all(row.keys() == {"rank", "item", "title", "score"} for row in found["rows"])
    titles = toy.items.set_index("item")["title"]
    assert all(row["title"] == titles[row["item"]] and row["title"] in text for row in found["rows"])
    latest = toy.interactions[toy.interactions["user"] == "user01"].iloc[-1]
    assert text.startswith("Latest of user user01: ") and text.splitlines()[0].endswith(titles[latest["item"]])


def test_a_pretraining_run_is_evaluated_on_other_domains_alone(failed, source, features):
    for domains in ("lamps", "lamps,mugs"):
        assert "holds no rows out to test on" in failed("evaluate", source[0], *on(domains, features))
    found = json.loads(run("evaluate", source[0], *on("mugs", features), "--json"))
    assert found["rows"][0]["system"] == "MMM4Rec + ID, zero-shot" and found["rows"][0]["rows"] == 40


def test_s3rec_is_pretrained_and_finetuned_on_one_domain(features, tmp_path, failed):
    how = ["--model", "s3rec", "--epochs", 1]
    run("pretrain", *on("mugs", features), *how, "--out", tmp_path / "a")
    start = [*how, "--start", tmp_path / "a", "--out", tmp_path / "b"]
    assert "pre-trained on others" in failed("finetune", *on("lamps", features), *start)
    assert "pre-trained on others" in failed("finetune", *on("mugs", features), *start, "--split", "global_time")
    run("finetune", *on("mugs", features), *start)
    found = json.loads(run("evaluate", tmp_path / "b", *on("mugs", features), "--json"))["rows"]
    assert found[0]["system"] == "S3-Rec"
    late = [*on("mugs", features), *how, "--split", "global_time"]
    run("pretrain", *late, "--out", tmp_path / "c")
    run("finetune", *late, "--start", tmp_path / "c", "--out", tmp_path / "d")


@pytest.mark.slow
def test_several_domains_are_joined(features, work):
    given = [*on("lamps, mugs", features), "--json"]
    assert len(json.loads(run("pretrain", *given, "--out", work / "both", "--epochs", 1))["rows"]) == 1
    joined = [*on("lamps,mugs", features), "--json"]
    run("finetune", *joined, "--out", work / "joined", "--epochs", 1)
    found = json.loads(run("evaluate", work / "joined", *joined))
    assert found["dataset"] == "toy-lamps+toy-mugs" and found["rows"][0]["rows"] == 90


def test_variants_and_seeds_reach_the_model(features, tmp_path):
    arguments = ["finetune", *on("mugs", features), "--epochs", 1, "--out"]
    run(*arguments, tmp_path / "a", "--no-item-bias", "--split", "global_time", "--seed", 3)
    tensors, notes = load_tensors(tmp_path / "a" / "model.safetensors", "model", "")
    assert notes["config"]["item_bias"] is False and "bias_text" not in tensors
    assert notes["record"]["split"] == "global_time" and notes["training"]["seed"] == 3


@pytest.mark.parametrize("model, title", [("unisrec+id", "UniSRec + ID"), ("missrec", "MISSRec")])
def test_any_model_is_pretrained_finetuned_evaluated_and_recommends(features, tmp_path, model, title, failed):
    mugs = on("mugs", features)
    first = ["pretrain", *on("lamps", features), "--model", model, "--epochs", 1]
    assert "give their features" in failed(*first, "--out", tmp_path / "a", "--json")
    texts = tmp_path / "texts.safetensors"
    run("features", "--data", TOY, "--out", texts, "--encoder", "random", "--augmented-text")
    run(*first, "--out", tmp_path / "a", "--augmented-text", texts)
    run("finetune", *mugs, "--model", model, "--epochs", 1, "--start", tmp_path / "a", "--out", tmp_path / "b")
    found = json.loads(run("evaluate", tmp_path / "b", *mugs, "--json"))["rows"]
    assert [row["system"] for row in found[::2]] == [title, "popularity", "Markov chain"]
    found = json.loads(run("recommend", tmp_path / "b", *mugs, "--user", "user01", "-k", 2, "--json"))["rows"]
    assert [row["rank"] for row in found] == [1, 2]


def test_data_without_times_turn_time_awareness_off(features, tmp_path, failed, capsys):
    data = copy(tmp_path / "data")
    about = json.loads((data / "dataset.json").read_text())
    about["info"]["times"] = ORDER_ONLY
    (data / "dataset.json").write_text(json.dumps(about))
    use = ["--data", data, "--domain", "mugs", "--features", features[0], "--epochs", 1]
    run("finetune", *use, "--out", tmp_path / "a", "--model", "mmm4rec")
    notes = load_tensors(tmp_path / "a" / "model.safetensors", "model", "")[1]
    assert notes["config"]["time"] is False and notes["record"]["changes"] == '{"time": false, "epochs": 1}'
    for more in (["--query-time"], ["--split", "global_time"]):
        with pytest.raises(InputError, match="query_time needs time|has no times, only an order"):
            run("finetune", *use, "--out", tmp_path / "b", *more)


# --- errors ---


def copy(folder, **changes):
    """The toy's folder copied to ``folder``, its tables changed by functions of a frame."""
    shutil.copytree(TOY, folder)
    for table, change in changes.items():
        change(pd.read_parquet(folder / f"{table}.parquet")).to_parquet(folder / f"{table}.parquet", index=False)
    return folder


def test_faulty_datasets_are_told_in_one_line(failed, tmp_path):
    assert "no such dataset folder" in failed("data", "check", tmp_path / "nowhere")
    data = copy(tmp_path / "data", items=lambda items: items.drop(columns="title"))
    assert "items.parquet: column 'title' is missing" in failed("data", "check", data)
    assert "'title' is missing" in failed("features", "--data", data, "--out", tmp_path / "f", "--encoder", "random")
    (data / "items.parquet").write_bytes(b"PAR1 and nothing")
    assert "not a readable parquet file" in failed("data", "check", data, "--json")


def test_an_unknown_encoder_is_told_in_one_line(failed, tmp_path):
    arguments = ["features", "--data", TOY, "--out", tmp_path / "f.safetensors", "--encoder"]
    assert "encoder 'clip' is not known: choose one of packaged" in failed(*arguments, "clip")
    assert "missing='black' is not known" in failed(*arguments, "random", "--missing", "black")


def test_a_corrupt_picture_is_told_in_one_line(failed, tmp_path):
    data = copy(tmp_path / "data")
    (data / "images" / "l05.png").write_bytes(b"no picture")
    given = ["--data", data, "--out", tmp_path / "f.safetensors", "--encoder", "random"]
    line = failed("features", *given, "--bad-images", "error")
    assert "l05.png: the picture of item 'l05' cannot be read" in line


def test_unsuitable_features_are_told_in_one_line(failed, tmp_path, source, target, toy, random_features):
    file, out = tmp_path / "features.safetensors", tmp_path / "run"
    use = ["--data", TOY, "--domain", "mugs", "--features", file]
    assert "there is no such feature file" in failed("pretrain", *use, "--out", out)
    random_features(["x0", "x1"]).save(file)
    assert "features of other items" in failed("pretrain", *use, "--out", out)
    assert "features of other items" in failed("finetune", *use, "--out", out)
    random_features(toy.items["item"]).save(file)
    for command in (
        ["finetune", *use, "--out", out, "--start", source[0]],
        ["evaluate", target[0], *use],
        ["recommend", target[0], "--user", "user01", *use],
    ):
        assert "cannot be mixed" in failed(*command)
    file.write_bytes(file.read_bytes()[:-9])
    assert "is no feature file or is damaged" in failed("pretrain", *use, "--out", out)


def test_unsuitable_domains_users_and_names_are_told_in_one_line(failed, tmp_path, features, source, target):
    use, out = ["--data", TOY, "--features", features[0]], ["--out", tmp_path / "run"]
    for domain in ("spoons", "lamps,spoons"):
        assert "has no domain '" in failed("pretrain", *use, *out, "--domain", domain)
    assert "',' names nothing" in failed("pretrain", *use, *out, "--domain", ",")
    rare = copy(tmp_path / "rare", items=lambda items: items.assign(domain=["rare", *items["domain"][1:]]))
    line = failed("pretrain", "--data", rare, "--features", features[0], *out, "--domain", "rare")
    assert "toy-rare: nothing is left of its 5-core" in line
    mugs = [*use, "--domain", "mugs"]
    line = failed("recommend", target[0], *mugs, "--user", "nobody")
    assert "toy-mugs has no user 'nobody'; one that it has: 'user01'" in line
    for command in ("pretrain", "finetune"):
        line = failed(command, *mugs, *out, "--preset", "large")
        assert "protocol: 'large' is not known; one of small, matched, paper" in line
    assert "split: 'random' is not known" in failed("finetune", *mugs, *out, "--split", "random")
    assert "there is no such model file" in failed("finetune", *mugs, *out, "--start", tmp_path)
    assert "there is no such model file" in failed("evaluate", tmp_path, *mugs)
    assert "per-item tables belong to other items" in failed("evaluate", target[0], *use, "--domain", "lamps")


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_places_that_cannot_hold_a_result_are_told_in_one_line(failed, tmp_path, features, command):
    use = ["--data", TOY, "--domain", "mugs", "--epochs", 1, "--features", features[0], "--out"]
    (tmp_path / "notes").write_text("mine")
    assert "notes: a file, where a run folder should go" in failed(command, *use, tmp_path / "notes")
    assert "notes" in failed(command, *use, tmp_path / "notes" / "run")
    assert (tmp_path / "notes").read_text() == "mine"


def test_places_that_cannot_hold_features_are_told_in_one_line(failed, tmp_path):
    (tmp_path / "notes").write_text("mine")
    use = ["features", "--data", TOY, "--encoder", "random", "--out"]
    assert "is a folder" in failed(*use, tmp_path)
    assert "notes is no feature file or is damaged" in failed(*use, tmp_path / "notes")
    assert "notes" in failed(*use, tmp_path / "notes" / "f.safetensors")
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_negative_seed_is_told_in_one_line(failed, tmp_path, features):
    use = ["--data", TOY, "--domain", "mugs", "--epochs", 1, "--features", features[0], "--out", tmp_path / "run"]
    assert "seed" in failed("finetune", *use, "--seed", -1)


@pytest.mark.slow
def test_the_installed_command_exits_with_2_and_one_line(tmp_path):
    command = Path(sys.executable).with_name("mmm4rec-lite")
    done = subprocess.run([command, "data", "check", tmp_path / "nowhere"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"error: {tmp_path / 'nowhere'}: no such dataset folder\n"


def loaded(*arguments):
    """The modules that a process has loaded when the command is done."""
    command = [sys.executable, "-c", LOADED, *map(str, arguments)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stderr.split())


@pytest.mark.parametrize("command", ["", "data import", "recommend", "audit"])
def test_help_starts_nothing_heavy(command):
    assert not {"torch", "numpy", "pandas", "pyarrow", "matplotlib"} & loaded(*command.split(), "--help")


@pytest.mark.slow
def test_recommend_starts_no_more_than_it_needs(features, target):
    modules = loaded("recommend", target[0], "--user", "user01", *on("mugs", features))
    assert {"torch", "pandas"} <= modules
    assert not {"lightning_fabric", "torch._dynamo", "matplotlib", "PIL", "open_clip", "transformers"} & modules


@pytest.mark.slow
@pytest.mark.parametrize("command", ["models", "systems"])
def test_models_lists_every_model_with_its_parameter_counts(command):
    text, found = both(command)
    by_name = {system["name"]: system for system in found}
    assert by_name["sasrec"]["parameters"] == {"64": 103_296, "256": 1_592_832}
    assert by_name["mmm4rec"]["modalities"] == ["text", "image", "time"]
    assert all(name in text for name in by_name) and list(by_name) == list(MODELS)
    assert by_name["zesrec"]["losses"]["pretrain"] == ["in_batch"] and by_name["zesrec"]["exact"] == "no public class"
    told = {word for system in found for word in (*system["quirks"], *sum(system["losses"].values(), []))}
    assert all(word in text for word in told) and max(map(len, text.splitlines())) <= 160


@pytest.mark.slow
def test_reproduce_measures_a_table_and_keeps_its_runs(features, tmp_path, monkeypatch):
    from mmm4rec_lite.models import protocol

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(protocol, "MATCHED", protocol.MATCHED.replace(batch_size=64))
    monkeypatch.setitem(protocol.SCALES, "quick", dict(epochs=1, rows_per_epoch=64))
    given = ["--data", TOY, "--features", features[0], "--seeds", 1, "--out", tmp_path / "runs.csv"]
    table = json.loads(run("reproduce", "table6", *given, "--backend", "threading", "--jobs", 1, "--json"))["rows"]
    names = [line["name"] for line in table]
    assert names == ["popularity", "Markov chain", "UniSRec", "MMSRec", "MISSRec", "ATHWE", "MMM4Rec"]
    assert {"seed", "device", "run_id", "seconds"} <= set(pd.read_csv(tmp_path / "runs.csv"))
    run("report", tmp_path / "runs.csv", "--out", tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "MISSRec" in page and "not tested" in page and "popularity" in page


def test_reproduce_refuses_what_is_not_known_in_one_line(failed, features):
    line = failed("reproduce", "table9", "--data", TOY, "--features", features[0])
    assert "'table9' is not known; one of table1" in line
    assert "'fast'" in failed("reproduce", "table2", "--data", TOY, "--features", features[0], "--scale", "fast")
