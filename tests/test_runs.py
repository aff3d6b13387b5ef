"""Runs on the toy, of several models: kept, the same again, going on after a kill, pre-trained, moved, refused."""

import json
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pandas as pd
import pytest
import torch

from mmm4rec_lite import runs, training
from mmm4rec_lite.data import batch, leave_one_out, prefixes
from mmm4rec_lite.data.tabular import ORDER_ONLY
from mmm4rec_lite.evaluation import metrics, popularity, rank_model, rank_rows, recommend
from mmm4rec_lite.kept import FILE
from mmm4rec_lite.models.config import ModelConfig, Quirks, TrainConfig
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.runs import Protocol, Run, Task, initial_model, kept_ranks, load_run, pretrain, run, save
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.files import lock
from mmm4rec_lite.utils.tensorfile import load_tensors, save_tensors

MODELS = ["mmm4rec+id", "sasrec", "unisrec+id", "missrec"]
PRETRAINED = ["mmm4rec+id", "unisrec+id", "missrec+id", "mmsrec", "s3rec", "zesrec"]
TINY = Protocol("small", width=16, window=8)
HOW = dict(protocol=TINY, progress=False, epochs=2, rows_per_epoch=128, batch_size=64, lr=5e-3)
PER_ITEM = ("bias_image", "bias_text")


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """Runs below this test's own folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def task(toy, random_features):
    """Mugs, with lamps to pre-train on."""
    lamps, mugs = (toy.select(domain) for domain in ("lamps", "mugs"))
    part = lambda dataset, **more: Task(dataset, random_features(toy.items["item"]), **more)
    return part(mugs, sources=part(lamps, augmented_text=random_features(toy.items["item"], seed=1)))


@pytest.fixture(scope="module")
def source(task, tmp_path_factory):
    """MMM4Rec pre-trained on the lamps. Only read."""
    return pretrain(task.sources, "mmm4rec+id", out=tmp_path_factory.mktemp("source") / "run", **HOW)


@pytest.fixture
def epochs(monkeypatch):
    """A list that grows by (stage, number) with every epoch trained."""
    done, original = [], training._one_epoch

    def one_epoch(*arguments):
        losses = original(*arguments)
        done.append((arguments[4].stage, arguments[5]))
        return losses

    monkeypatch.setattr(training, "_one_epoch", one_epoch)
    return done


@pytest.fixture
def killed(monkeypatch):
    """A function that calls another one and kills it in epoch 2 of a stage."""

    def kill(stage, call):
        original = training._one_epoch

        def one_epoch(*arguments):
            if (arguments[4].stage, arguments[5]) == (stage, 1):
                raise KeyboardInterrupt
            return original(*arguments)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training, "_one_epoch", one_epoch)
            call()

    return kill


@pytest.fixture
def untrained(monkeypatch):
    """``fit`` does nothing; the list holds what it was called with and the weights it found."""
    calls = []

    def fit(model, sequences, rows, config, valid, folder, progress):
        weights = {k: v.clone() for k, v in model.state_dict().items()}
        calls.append(dict(rows=rows, valid=valid, config=config, weights=weights))
        return pd.DataFrame({"epoch": [1], "best": [True], "train_seconds": [0.0]})

    monkeypatch.setattr(runs, "fit", fit)
    return calls


def files(folder):
    return sorted(file.name for file in folder.iterdir())


def same_weights(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def without_seconds(frame):
    return frame[[column for column in frame if "seconds" not in column]]


def timeless(task):
    return replace(task, dataset=replace(task.dataset, info={**task.dataset.info, "times": ORDER_ONLY}))


# --- kept, and the same again ---


@pytest.mark.parametrize("name", MODELS)
def test_a_second_call_reads_what_the_first_one_kept(task, epochs, tmp_path, name):
    first = run(task, name, **HOW)
    assert epochs == [("scratch", 0), ("scratch", 1)] and first.folder.parent == tmp_path / "runs"
    assert files(first.folder) == ["history.csv", "model.safetensors"]
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in first.folder.iterdir()}
    for again in (run(task, name, **HOW), load_run(first.folder, task)):
        assert again.record == first.record and same_weights(first.model, again.model) and not again.model.training
        pd.testing.assert_frame_equal(again.history, first.history)
        assert torch.equal(again.ranks, first.ranks) and torch.equal(again.ranks_filtered, first.ranks_filtered)
        one = batch(task.rows.sequences, task.rows.test, 8)
        with torch.no_grad():
            assert torch.equal(*(model.score(model.users(one)) for model in (first.model, again.model)))
    assert len(epochs) == 2 and torch.equal(kept_ranks(first.record), first.ranks)
    assert before == {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in first.folder.iterdir()}
    assert kept_ranks({**first.record, "run_id": "none"}) is None and len(list(tmp_path.glob("runs/*"))) == 1


@pytest.mark.slow
def test_what_differs_is_another_run_and_has_its_own_folder(task, epochs, random_features, toy, source):
    items = toy.items["item"]
    rounded = replace(task.features, text=task.features.text + 1e-6)  # by the encoder on another machine
    wanted = [
        (task, {}),
        (task, dict(seed=1)),
        (task, dict(n_layers=2)),
        (task, dict(lr=1e-4)),
        (task, dict(start=source)),
        (task, dict(protocol=replace(TINY, window=5))),
        (replace(task, features=random_features(items, seed=5)), {}),
        (replace(task, features=rounded), {}),
        (replace(task, split="global_time"), {}),
    ]
    records = [run(of, "mmm4rec+id", **{**HOW, **more}).record for of, more in wanted]
    assert len({record["run_id"] for record in records}) == len(wanted) and len(epochs) == 2 * len(wanted)
    assert json.loads(records[2]["changes"])["n_layers"] == 2 and records[5]["max_len"] == 5
    assert records[2]["n_parameters"] > records[0]["n_parameters"] and records[-1]["split"] == "global_time"


def test_a_record_says_where_its_numbers_come_from(task):
    done, rows = run(replace(task, subset="with_images"), "tim4rec", seed=3, **HOW), leave_one_out(task.dataset)
    known = dict(dataset="toy-mugs", subset="with_images", split="leave_one_out", n_items=29, system="tim4rec")
    known |= dict(variant="", max_len=8, missing_share=0.0, stage="scratch", protocol="small", scale="full", seed=3)
    known |= dict(epochs=2, d_model=16, device="cpu", threads=torch.get_num_threads(), torch=torch.__version__)
    record = done.record
    assert (known | dict(n_test_rows=len(rows.test), pretraining_seconds=0.0)).items() <= record.items()
    assert {"machine", "date", "run_id", "n_parameters", "seconds_per_epoch"} <= set(record)
    assert record["seconds"] == pytest.approx(done.history[["train_seconds", "valid_seconds"]].to_numpy().sum())
    assert metrics(done.ranks).items() <= record.items() and len(done.ranks) == len(rows.test)
    filtered = {f"{key}_filtered": value for key, value in metrics(done.ranks_filtered).items()}
    assert filtered.items() <= record.items() and json.loads(json.dumps(record)) == record
    assert (done.ranks_filtered <= done.ranks).all() and (done.ranks_filtered < done.ranks).any()
    assert record["best_epoch"] == done.history["ndcg@10"].idxmax() + 1


@pytest.mark.parametrize("name", ["sasrec", "missrec"])
def test_a_killed_run_goes_on_where_it_was(task, tmp_path, killed, epochs, name):
    whole, here = run(task, name, **HOW), tmp_path / "here"
    killed("scratch", lambda: run(task, name, out=here, **HOW))
    assert files(here) == ["training.safetensors"]
    epochs.clear()
    resumed = run(task, name, out=here, **HOW)
    assert epochs == [("scratch", 1)] and resumed.folder == here and same_weights(whole.model, resumed.model)
    pd.testing.assert_frame_equal(without_seconds(resumed.history), without_seconds(whole.history))
    assert torch.equal(resumed.ranks, whole.ranks) and files(here) == ["history.csv", "model.safetensors"]


@pytest.mark.parametrize("change", [dict(lr=1e-4), dict(seed=1), dict(d_ff=32), dict(n_heads=4)])
def test_the_folder_of_another_run_is_refused_finished_or_not(task, tmp_path, killed, epochs, change):
    run(task, "sasrec", out=tmp_path / "done", **HOW)
    killed("scratch", lambda: run(task, "sasrec", out=tmp_path / "killed", **HOW))
    epochs.clear()
    for folder, told in (("done", "holds another run"), ("killed", "belongs to another run")):
        with pytest.raises(InputError, match=rf"{folder}[^\n]*: {told} [^\n]*$"):
            run(task, "sasrec", out=tmp_path / folder, **{**HOW, **change})
    assert epochs == []


@pytest.mark.parametrize(
    "name, more",
    [
        ("tim4rec", dict(epochs=12)),
        ("fdsa", dict(epochs=12)),
        pytest.param("s3rec", dict(epochs=20, pretrained=True), marks=pytest.mark.slow),
        pytest.param("zesrec", dict(epochs=20, lr=1e-2), marks=pytest.mark.slow),
        pytest.param("m3rec", dict(epochs=12), marks=pytest.mark.slow),
        pytest.param("vqrec", dict(epochs=20, lr=1e-2, pretrained=True), marks=pytest.mark.slow),
    ],
)
def test_runs_learn(task, name, more):
    """With more epochs than the other tests allow, a model beats popularity on the test rows."""
    done = run(task, name, Protocol("matched", width=16, window=8), batch_size=64, progress=False, **more)
    rows = task.rows
    floor = rank_rows(popularity(rows.sequences, rows.train, rows.sequences.item_count), rows.sequences, rows.test, 8)
    assert done.record["ndcg@10"] > 1.2 * metrics(floor)["ndcg@10"]


# --- two stages ---


def test_pre_training_takes_every_prefix_and_fine_tuning_the_training_part(task, untrained):
    pretrain(task, **HOW), run(task, **HOW)
    first, second = untrained
    assert torch.equal(first["rows"], prefixes(task.dataset).train) and first["valid"] is None
    assert torch.equal(second["rows"], task.rows.train) and torch.equal(second["valid"], task.rows.valid)
    assert (first["config"].stage, second["config"].stage) == ("pretrain", "scratch")
    assert len(first["rows"]) == sum(map(len, (task.rows.train, task.rows.valid, task.rows.test)))


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_pre_trained_run_differs_from_scratch(name, task, epochs):
    scratch, tuned = run(task, name, **HOW), run(task, name, pretrained=True, **HOW)
    assert epochs == [(stage, epoch) for stage in ("scratch", "pretrain", "finetune") for epoch in (0, 1)]
    assert (scratch.record["stage"], tuned.record["stage"]) == ("scratch", "finetune")
    assert tuned.record["pretraining_seconds"] > 0.01 > scratch.record["pretraining_seconds"]
    assert tuned.history["loss"].iloc[0] != scratch.history["loss"].iloc[0]
    assert run(task, name, pretrained=True, **HOW).record == tuned.record and len(epochs) == 6


def test_a_pre_trained_run_that_was_killed_does_not_pre_train_again(task, epochs, tmp_path, killed):
    """MISSRec, whose transfer draws: interests are found anew with the maps that came."""
    whole = run(task, "missrec", pretrained=True, **HOW)
    epochs.clear()
    killed("finetune", lambda: run(task, "missrec", out=tmp_path / "here", pretrained=True, **HOW))
    assert epochs == [("pretrain", 0), ("pretrain", 1), ("finetune", 0)]
    resumed = run(task, "missrec", out=tmp_path / "here", pretrained=True, **HOW)
    assert epochs[3:] == [("finetune", 1)] and torch.equal(resumed.ranks, whole.ranks)
    pd.testing.assert_frame_equal(without_seconds(resumed.history), without_seconds(whole.history))


@pytest.mark.parametrize("name", ["mmm4rec+id", "mmm4rec"])
def test_fine_tuning_starts_from_the_pre_trained_weights(source, task, untrained, name):
    run(task, name, start=source, **HOW)
    before, pretrained = untrained[0]["weights"], source.model.state_dict()
    assert before.keys() - pretrained.keys() == (set(PER_ITEM) if name == "mmm4rec+id" else set())
    assert not set(PER_ITEM) & pretrained.keys() and all(torch.equal(before[k], v) for k, v in pretrained.items())
    assert all(before[k].shape == (30, 16) and not before[k].any() for k in PER_ITEM if k in before)
    begun = initial_model(task, name, TINY, start=source.folder)
    assert same_weights(begun, initial_model(task, name, TINY, start=source)) and not begun.training
    assert all(torch.equal(v, before[k]) for k, v in begun.state_dict().items())


def test_a_transfer_to_the_other_domain_gives_a_model_that_ranks_it(source, task):
    assert not set(task.sources.dataset.items["item"]) & set(task.dataset.items["item"])
    done = run(task, "mmm4rec+id", start=source.folder, **HOW)
    one = batch(task.rows.sequences, task.rows.test, 8)
    with torch.no_grad():
        scores = done.model.score(done.model.users(one))
    assert scores.shape == (40, 30) and scores[:, 1:].isfinite().all()
    assert done.history["loss"].iloc[1] < done.history["loss"].iloc[0] and done.model.bias_text.any()
    assert load_tensors(done.folder / "model.safetensors", "model", "")[1]["start"] == source.record["run_id"]
    assert not torch.equal(done.model.adapter_text.weight, source.model.adapter_text.weight)


def test_s3rec_pre_trains_on_its_own_training_part_and_keeps_every_weight(task, untrained):
    task = replace(task, sources=None)
    run(task, "s3rec", pretrained=True, **HOW)
    first, second = untrained
    assert torch.equal(first["rows"], task.rows.train) and first["valid"] is None
    assert torch.equal(second["rows"], task.rows.train) and torch.equal(second["valid"], task.rows.valid)
    assert (first["config"].stage, second["config"].stage) == ("pretrain", "finetune")
    start = pretrain(task, "s3rec", out="other", seed=1, **HOW)
    assert len(start.ranks) == 0 == start.record["n_test_rows"]
    run(task, "s3rec", start=start, **HOW)
    kept, fresh = untrained[-1]["weights"], first["weights"]
    assert all(torch.equal(kept[name], value) for name, value in start.model.state_dict().items())
    assert not torch.equal(kept["items.ids.weight"], fresh["items.ids.weight"])


@pytest.mark.parametrize("change", [dict(split="global_time"), dict(dataset="lamps")])
def test_s3rec_goes_on_nowhere_else(task, untrained, tmp_path, change):
    start = pretrain(task, "s3rec", out=tmp_path / "first", **HOW)
    other = task.sources if "dataset" in change else replace(task, **change)
    with pytest.raises(InputError, match="first: pre-trained on others; s3rec goes on on the same items"):
        run(other, "s3rec", out=tmp_path / "second", start=start, **HOW)
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("name", ["zesrec", "mmm4rec"])
def test_a_pre_trained_run_ranks_another_catalogue_as_it_is(name, task, tmp_path):
    """Zero-shot, the only use of ZESRec's paper."""
    first = pretrain(task.sources, name, out=tmp_path / "first", **HOW)
    there = load_run(first.folder, task)
    assert first.saw(task.sources) and not there.saw(task) and same_weights(first.model, there.model)
    ranks, found = rank_model(there.model, task.rows.sequences, task.rows.test), len(task.dataset.items)
    assert ranks.shape == (len(task.rows.test),) and ranks.min() >= 1 and ranks.max() <= found
    assert len(recommend(there.model, task.dataset, task.dataset.interactions["user"].iloc[0], 3)) == 3


def test_query_time_starts_with_fine_tuning(source, task):
    told = run(task, "mmm4rec+id", start=source, query_time=True, **HOW).model
    assert told.config.query_time and told.request_text.abs().max() > 0
    assert not any(name.startswith("request_") for name in source.model.state_dict())
    one = batch(task.rows.sequences, task.rows.test, 8)
    with torch.no_grad():
        later = told.users(replace(one, requests=one.requests + 10**8))
        assert not torch.allclose(told.users(one), later, atol=1e-4)


def test_the_seed_draws_the_start_weights(task, untrained):
    for seed in (0, 0, 1):
        run(task, out=f"{len(untrained)}", seed=seed, **HOW)
    first, again, other = (call["weights"]["adapter_text.weight"] for call in untrained)
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("split", ["leave_one_out", "global_time"])
@pytest.mark.parametrize("part, moves", [("test", False), ("valid", False), ("train", True)])
def test_the_scale_of_gaps_is_fitted_on_the_training_part_alone(task, untrained, split, part, moves):
    """Each user's first interaction of a part, and with it all later ones, comes a million seconds later."""
    task = replace(task, split=split)
    rows, later = task.rows, task.dataset.interactions.copy()
    latest = {"train": [rows.train, rows.valid, rows.test], "valid": [rows.valid, rows.test], "test": [rows.test]}
    later.loc[torch.cat(latest[part]).numpy(), "timestamp"] += 1_000_000
    for interactions in (task.dataset.interactions, later):
        run(replace(task, dataset=replace(task.dataset, interactions=interactions)), **HOW)
    (mean, std), (mean_later, std_later) = (
        [call["weights"][f"times.log_{k}"] for k in ("mean", "std")] for call in untrained
    )
    gaps = rows.sequences.times[rows.train] - rows.sequences.times[rows.train - 1]
    torch.testing.assert_close(mean, gaps.double().log1p().mean().float())
    assert (mean == mean_later and std == std_later) is not moves


def test_texts_that_lost_words_make_other_runs_of_those_models_alone_that_read_them(task):
    both = task.sources, replace(task.sources, augmented_text=None)
    ids = {name: {run(one, name, **HOW).record["run_id"] for one in both} for name in ("sasrec", "vqrec", "unisrec")}
    assert {name: len(found) for name, found in ids.items()} == {"sasrec": 1, "vqrec": 1, "unisrec": 2}


# --- protocols ---


def test_small_is_what_suits_two_cores_and_paper_what_the_papers_say():
    for name in ("mmm4rec", "mmm4rec+id"):
        spec = get_model(name)
        small, first = (Protocol().settings(spec, stage) for stage in ("scratch", "pretrain"))
        assert small == (ModelConfig(item_bias=name != "mmm4rec"), TrainConfig())
        assert first == (ModelConfig(item_bias=False), TrainConfig(stage="pretrain", epochs=2, lr=1e-3))
        paper, first = (Protocol("paper").settings(spec, stage) for stage in ("finetune", "pretrain"))
        assert paper == (ModelConfig.paper(item_bias=name != "mmm4rec"), TrainConfig.paper("finetune"))
        assert first == (ModelConfig.paper(item_bias=False), TrainConfig.paper("pretrain"))
    spec = get_model("missrec+id")
    config, training = Protocol("paper", window=7).settings(spec, "finetune")
    assert config == spec.config.replace(max_len=7) and training == spec.training.replace(stage="finetune")


def test_matched_gives_all_models_one_size_and_a_scale_cuts_training():
    spec, matched = get_model("missrec+id"), Protocol("matched", "quick", width=16, window=8)
    config, training = matched.settings(spec, "scratch")
    assert (config.d_model, config.d_ff, config.max_len, config.dropout) == (16, 64, 8, 0.2) and config.item_ids
    assert (training.stage, training.epochs, training.rows_per_epoch) == ("scratch", 6, 7_680)
    config, training = matched.settings(spec, "pretrain", epochs=3, n_heads=2)
    assert (config.item_ids, config.clusters, config.n_heads) == (False, 0.02, 2)
    assert (training.stage, training.epochs) == ("pretrain", 3)


def test_what_is_not_known_is_refused_in_one_line(task, tmp_path):
    for call, told in {
        lambda: Protocol("other"): "protocol: 'other' is not known; one of small, matched, paper",
        lambda: Protocol(scale="huge"): "scale: 'huge' is not known; one of quick, converged, full",
        lambda: replace(task, split="random"): "split: 'random' is not known; one of leave_one_out, global_time",
        lambda: replace(timeless(task), split="global_time"): "toy-mugs has no times, only an order; split it by",
        lambda: run(task, "sasrec", colour=1): "sasrec: neither its config nor its training has 'colour'",
        lambda: run(task, "nosuch"): "model: 'nosuch' is not built here",
        lambda: run(task, "sasrec", pretrained=True): "sasrec: this model has no pre-training",
        lambda: run(
            replace(task, sources=None), "mmsrec", pretrained=True
        ): "mmsrec: these data have no source domains",
        lambda: run(timeless(task), "mmm4rec"): "toy-mugs: mmm4rec reads text, image, time; these data have no time",
        lambda: run(replace(task, sources=timeless(task.sources)), "mmm4rec", pretrained=True): "toy-lamps: mmm4rec",
        lambda: pretrain(replace(task.sources, augmented_text=None), "unisrec", **HOW): "pre-training this model",
    }.items():
        with pytest.raises(InputError, match=f"^{re.escape(told)}[^\n]*$"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_data_without_times_feed_a_model_that_reads_none(task):
    done = run(timeless(task), "mmm4rec", time=False, **HOW)
    assert not done.model.config.time and timeless(task).inputs == ("text", "image", "category")


# --- another start, another catalogue, another file ---


def test_a_start_that_does_not_fit_is_refused_before_anything_is_written(source, task, random_features, tmp_path, toy):
    others = random_features(toy.items["item"], fingerprint="e" * 16)
    for of, name, changes, told in (
        (task, "mmm4rec+id", dict(d_state=8), r"d_state\); take the same in both stages"),
        (task, "mmm4rec+id", dict(temperature=0.5), r"temperature\); take the same"),
        (task, "unisrec", {}, "pre-trained as another model"),
        (replace(task, features=random_features(["x0"])), "mmm4rec", {}, "features of other items"),
        (replace(task, features=others), "mmm4rec", {}, "cannot be mixed"),
    ):
        with pytest.raises(InputError, match=told):
            run(of, name, out=tmp_path / "run", start=source, **HOW, **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def kept(task, tmp_path):
    """A function model -> a run whose tensors are all off their start values, as kept."""

    def keep(name, **changes):
        model = initial_model(task, name, TINY, **changes)
        with torch.no_grad():
            for tensor in (t for t in model.state_dict().values() if t.is_floating_point()):
                tensor += 0.05 * torch.randn_like(tensor)
        ranks = torch.arange(1, 5)
        done = Run(
            dict(system=name, stage="scratch"), pd.DataFrame({"epoch": [1]}), ranks, ranks + 1, model, tmp_path / name
        )
        save(done, task)
        return done

    return keep


def refused(done, task, message):
    """load_run fails with one line that names the file and holds ``message``."""
    with pytest.raises(InputError, match=re.escape(message)) as error:
        load_run(done.folder, task)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    return str(error.value)


@pytest.mark.parametrize(
    "name", [*MODELS, "mmm4rec", "bsarec", "fdsa", "s3rec", "zesrec", "vqrec", "m3rec", "hm4sr", "athwe"]
)
def test_a_saved_model_is_the_same_when_loaded_and_holds_no_features(kept, task, name):
    done = kept(name, **(dict(quirks=Quirks(filter_bias_twice=True)) if name == "mmm4rec" else {}))
    again = load_run(done.folder, task)
    assert again.record == done.record and again.model.config == done.model.config
    assert same_weights(done.model, again.model)
    tensors, notes = load_tensors(done.folder / "model.safetensors", "model", "")
    assert tensors.keys() == done.model.state_dict().keys() | {"ranks", "ranks_filtered"}
    assert notes["model"] == name and notes["encoder"] == task.features.encoder


@pytest.mark.parametrize("name", ["sasrec", "hm4sr"])
def test_other_categories_make_another_run_where_they_are_read(task, name):
    items = task.dataset.items
    other = replace(task, dataset=replace(task.dataset, items=items.assign(categories="a|b")))
    assert other.digest == task.digest and other.catalogue.categories[1:].all()
    ids = {run(one, name, **HOW).record["run_id"] for one in (task, other)}
    assert len(ids) == (1 if name == "sasrec" else 2)


CATALOGUES = {
    "smaller": lambda items: items.iloc[:-1],
    "another order": lambda items: items.iloc[::-1].reset_index(drop=True),
    "two exchanged": lambda items: items.iloc[[1, 0, *range(2, len(items))]].reset_index(drop=True),
}


def other_catalogue(task, change):
    items = CATALOGUES[change](task.dataset.items)
    rows = task.dataset.interactions[task.dataset.interactions["item"].isin(items["item"])].reset_index(drop=True)
    return replace(task, dataset=replace(task.dataset, items=items, interactions=rows))


@pytest.mark.parametrize(
    "name, changes", [*((name, {}) for name in [*MODELS, "s3rec", "vqrec", "athwe"]), ("mmm4rec", dict(fusion="item"))]
)
@pytest.mark.parametrize("change", CATALOGUES)
def test_another_catalogue_or_order_is_refused_where_there_are_per_item_tables(kept, task, name, changes, change):
    done = kept(name, **changes)
    assert refused(done, other_catalogue(task, change), "per-item tables belong to other items").startswith(
        str(done.folder)
    )


@pytest.mark.parametrize("name", ["mmm4rec", "unisrec", "sasrec_t", "mmsrec", "zesrec"])
@pytest.mark.parametrize("change", CATALOGUES)
def test_a_model_without_per_item_tables_goes_with_any_catalogue(kept, task, name, change):
    done, other = kept(name), other_catalogue(task, change)
    model = load_run(done.folder, other).model
    assert same_weights(done.model, model)
    if change == "another order":
        one, n = batch(task.rows.sequences, task.rows.test, model.window), len(task.dataset.items)
        turned = replace(one, items=(n + 1 - one.items) * (one.items > 0))
        with torch.no_grad():
            there, back = (m.eval().score(m.users(b))[:, 1:] for m, b in ((done.model, one), (model, turned)))
        torch.testing.assert_close(there, back.flip(1))


def test_unsuitable_features_are_refused(kept, task, random_features, toy):
    done = kept("sasrec_t")
    refused(done, replace(task, features=random_features(["m40", "x"])), "features of other items")
    others = random_features(toy.items["item"], fingerprint="e" * 16)
    refused(done, replace(task, features=others), "cannot be mixed")


def test_a_file_of_another_version_is_refused(kept, task):
    done = kept("mmm4rec")
    file = done.folder / "model.safetensors"
    tensors, notes = load_tensors(file, "model", "")
    notes = {name: note for name, note in notes.items() if name != "kind"}
    for change in (dict(colour="red"), dict(quirks={"colour": True})):
        save_tensors(file, "model", tensors, **{**notes, "config": {**notes["config"], **change}})
        message = refused(done, task, "no config of this library")
        assert message.startswith(str(file)) and "'colour'" in message
    save_tensors(file, "model", tensors, **{**notes, "config": {**notes["config"], "max_len": 0}})
    refused(done, task, "config: max_len must be")
    for change in (dict(n_layers=2), dict(d_state=8), dict(time=False), dict(shared=False)):
        save_tensors(file, "model", tensors, **{**notes, "config": {**notes["config"], **change}})
        refused(done, task, "does not fit its own config: ")
    save_tensors(file, "model", tensors, **{name: note for name, note in notes.items() if name != "record"})
    refused(done, task, "made by another version")


def test_a_cut_or_foreign_or_missing_file_is_refused(kept, task):
    done = kept("sasrec")
    file = done.folder / "model.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:-100], whole[:50], b"", b"\xff" * 200):
        file.write_bytes(damaged)
        refused(done, task, f"{file} is no model file or is damaged")
    task.features.save(file)
    refused(done, task, f"{file} is no model file but feature; train one with")
    file.unlink()
    refused(done, task, f"{file}: there is no such model file; train one with")


class Trap:
    """Unpickling this is told by a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_pickle_by_another_name_is_refused_and_never_unpickled(write, kept, task, tmp_path):
    done = kept("sasrec")
    write({"model": Trap(tmp_path / "told")}, done.folder / "model.safetensors")
    refused(done, task, "is no model file or is damaged")
    assert not (tmp_path / "told").exists()


def test_a_run_records_what_it_is_of(task, tmp_path):
    run(task, "sasrec", out=tmp_path / "run", **HOW)
    _, notes = load_tensors(tmp_path / "run" / FILE, "model", "")
    assert notes["data"] == task.digest and "library" in notes and notes["record"]["threads"] == torch.get_num_threads()


def test_links_out_of_a_run_folder_and_what_is_no_history_are_refused(task, tmp_path):
    done = run(task, "sasrec", out=tmp_path / "run", **HOW)
    history = tmp_path / "run" / "history.csv"
    whole = history.read_bytes()
    (tmp_path / "secret").write_text("root:x:0:0\n")
    history.unlink()
    history.symlink_to(tmp_path / "secret")
    refused(done, task, "history.csv: a link out of its folder, which is not followed")
    history.unlink()
    for content in (b"root:x:0:0\n", b"epoch,note\n1,secret\n", b"", b"\xff\xfe" * 50):
        history.write_bytes(content)
        refused(done, task, "history.csv: no history of a run")
    history.write_bytes(whole)
    (tmp_path / "run" / FILE).rename(tmp_path / "elsewhere")
    (tmp_path / "run" / FILE).symlink_to(tmp_path / "elsewhere")
    refused(done, task, "a link out of its folder")


@pytest.mark.parametrize("model", ["sasrec", "mmm4rec", "vqrec", "missrec"])
def test_a_config_of_a_giant_is_refused_before_memory_is_taken(task, tmp_path, model):
    done = run(task, model, out=tmp_path / "run", **HOW)
    tensors, notes = load_tensors(tmp_path / "run" / FILE, "model", "")
    for name in ("d_model", "n_layers", "digits"):
        if name in notes["config"]:
            giant = notes | {"config": notes["config"] | {name: 2**24, "n_heads": 1}}
            save_tensors(tmp_path / "run" / FILE, **{**giant, "tensors": tensors})
            refused(done, task, "run")


@pytest.mark.parametrize("model", ["sasrec_t", "mmm4rec"])
@pytest.mark.parametrize("value", [0, 1])
def test_features_that_are_the_same_for_all_items_are_said(task, tmp_path, capsys, model, value):
    tables = dict(text=task.features.text * 0 + value, image=task.features.image * 0 + value)
    run(Task(task.dataset, replace(task.features, **tables)), model, out=tmp_path / "run", **HOW)
    told = f"all items have the same features, such as zeros; {model} learns nothing of them"
    assert told in capsys.readouterr().err
    run(task, model, out=tmp_path / "other", **HOW)
    assert "note" not in capsys.readouterr().err


def test_a_state_that_a_kill_left_beside_a_finished_run_goes(task, tmp_path):
    done = run(task, "sasrec", out=tmp_path / "run", **HOW)
    (tmp_path / "run" / "training.safetensors").touch()
    assert run(task, "sasrec", out=tmp_path / "run", **HOW).record == done.record
    assert not (tmp_path / "run" / "training.safetensors").exists()


def test_another_run_cannot_be_written_to_a_folder_in_use(task, tmp_path):
    with lock(tmp_path / "run", "training", "another"), ThreadPoolExecutor(1) as threads:
        with pytest.raises(InputError, match="run: process .* is training here; wait for it, or choose another"):
            threads.submit(run, task, "sasrec", out=tmp_path / "run", **HOW).result()
