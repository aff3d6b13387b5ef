"""Extraction at size (killed, in several processes, with bad pictures) and feature tables from files."""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric
from torch.multiprocessing import ProcessExitedException
from typer.testing import CliRunner

from mmm4rec_lite.data import import_tables, load_dataset
from mmm4rec_lite.features import (
    FeatureTable,
    codes,
    codes_table,
    extract,
    load_encoder,
    load_features,
    load_table,
    read_table,
    with_table,
)
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.study.cli.commands import app
from mmm4rec_lite.utils.errors import InputError
from tests.support import toy as make_toy

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module", autouse=True)
def parts_of_four():
    """The toy's 60 items in 15 parts: a part is what a kill can cost."""
    module = sys.modules["mmm4rec_lite.features.extraction"]
    before, module.PART = module.PART, 4
    yield
    module.PART = before


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("random")


@pytest.fixture(scope="module")
def whole(toy, encoder, tmp_path_factory, parts_of_four):
    """The toy's features, made in one go."""
    return extract(toy, encoder, tmp_path_factory.mktemp("whole") / "f", progress=False)


class Doomed:
    """The encoder; it notes in a file how many texts it is given, and ends its process as the kernel would."""

    def __init__(self, encoder, log, allowed=10**9):
        self.encoder, self.log, self.left = encoder, log, allowed

    def __getattr__(self, name):
        return getattr(self.encoder, name)

    def encode_texts(self, texts, batch_size):
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= len(texts)
        with open(self.log, "a") as file:
            file.write(f"{len(texts)}\n")
        return self.encoder.encode_texts(texts, batch_size)


def encoded(log):
    """How many texts were encoded since the last call."""
    count = sum(map(int, log.read_text().split())) if log.exists() else 0
    log.unlink(missing_ok=True)
    return count


def finished(path):
    """Items in finished parts."""
    return sum(len(load_features(part).items) for part in Path(f"{path}.parts").glob("[!.]*"))


def equal(one, other):
    tables = ("text", "image", "has_image")
    return one.items == other.items and all(torch.equal(getattr(one, t), getattr(other, t)) for t in tables)


# --- at size ---


def test_a_killed_process_goes_on_without_loss_or_repetition(toy, encoder, tmp_path, whole):
    path, log = tmp_path / "f", tmp_path / "log"
    child = multiprocessing.get_context("fork").Process(
        target=extract, args=(toy, Doomed(encoder, log, allowed=20), path), kwargs={"progress": False}
    )
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL and not path.exists() and encoded(log) == finished(path) == 20
    half = next(Path(f"{path}.parts").iterdir())
    half.with_name(f".{half.name}.x.safetensors").write_bytes(half.read_bytes()[:100])  # a write that was cut short
    half.write_bytes(half.read_bytes()[:-10])  # and a damaged part
    assert equal(extract(toy, Doomed(encoder, log), path, progress=False), whole)
    assert encoded(log) == 44 and equal(load_features(path), whole)
    assert not Path(f"{path}.parts").exists()


@pytest.mark.slow
def test_two_processes_share_the_work_also_after_one_was_killed(toy, encoder, tmp_path, whole):
    path, log = tmp_path / "f", tmp_path / "log"

    def launch(allowed):
        def run(fabric):
            doomed = Doomed(encoder, log, allowed if fabric.global_rank == 1 else 10**9)
            features = extract(toy, doomed, path, progress=False, fabric=fabric)
            return fabric.world_size, len(features.items)

        return Fabric(accelerator="cpu", devices=2, strategy="ddp_fork").launch(run)

    with pytest.raises(ProcessExitedException, match="SIGKILL"):
        launch(allowed=8)
    assert not path.exists()
    done = finished(path)
    assert 8 <= done <= 40 and done <= encoded(log)  # rank 1's two parts, and what rank 0 came to
    assert launch(allowed=10**9) == (2, 60)
    assert encoded(log) == 60 - done
    assert equal(load_features(path), whole) and not Path(f"{path}.parts").exists()


class Rank:
    """One process of several, as far as `extract` asks."""

    def __init__(self, rank, size, at_barrier):
        self.global_rank, self.world_size, self.barrier = rank, size, at_barrier


def test_shares_of_any_number_of_processes_make_the_same(toy, encoder, tmp_path, whole):
    class Ready(Exception):
        pass

    def stop():
        raise Ready

    for rank in (2, 1):
        with pytest.raises(Ready):
            extract(toy, encoder, tmp_path / "f", progress=False, fabric=Rank(rank, 3, stop))
    assert len(list(Path(f"{tmp_path / 'f'}.parts").iterdir())) == 10  # of 15
    assert equal(extract(toy, encoder, tmp_path / "f", progress=False, fabric=Rank(0, 3, lambda: None)), whole)


def test_bad_pictures_are_told_and_count_as_missing(tmp_path, toy, encoder, capsys):
    toy.save(tmp_path / "toy")
    broken = load_dataset(tmp_path / "toy")
    has = toy.items[toy.items["image"].notna()]
    for name in has["image"][:6]:
        (tmp_path / "toy" / name).write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    (tmp_path / "toy" / has["image"].iloc[6]).unlink()
    features = extract(broken, encoder, tmp_path / "f")
    bad = has["item"][:7].tolist()
    assert set(features.bad_images) == set(bad) and "No such file" in features.bad_images[bad[6]]
    assert "no picture of a known format" in features.bad_images[bad[0]] and int(features.has_image.sum()) == 41
    line = f"7 pictures cannot be read and count as missing (6, such as item {bad[0]!r}: no picture of a known format ("
    assert line in repr(features) and line in capsys.readouterr().err
    again = load_features(tmp_path / "f")
    assert again.bad_images == features.bad_images and f"; 1, such as item {bad[6]!r}: is not in " in repr(again)
    assert features.image[[features.items.index(item) for item in bad]].count_nonzero() == 0


# --- tables ---


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


IDS = ["a", "b", "03", "d"]


def save_vectors(path, ids, vectors):
    if path.suffix == ".npz":
        np.savez(path, items=np.array(ids), vectors=vectors)
    elif path.name == "lists.parquet":
        pd.DataFrame({"item_id": ids, "v": list(vectors)}).to_parquet(path)
    else:
        frame = pd.DataFrame(vectors, columns=[f"v{n}" for n in range(vectors.shape[1])]).assign(item_id=ids)
        {
            ".parquet": lambda: frame.to_parquet(path),
            ".csv": lambda: frame.to_csv(path, index=False),
            ".gz": lambda: frame.to_csv(path, index=False),
            ".jsonl": lambda: frame.to_json(path, orient="records", lines=True, double_precision=15),
        }[path.suffix]()
    return path


@pytest.mark.parametrize("name", ["t.npz", "t.parquet", "lists.parquet", "t.csv", "t.csv.gz", "t.jsonl"])
def test_tables_of_every_kind(tmp_path, vectors, name):
    vectors[1, 2] = np.nan
    table = read_table(save_vectors(tmp_path / name, IDS, vectors), "audio", source="VGGish")
    assert table.items == ["a", "03", "d"] and table.dropped == 1 and table.vectors.dtype == torch.float32
    torch.testing.assert_close(table.vectors, torch.from_numpy(vectors[[0, 2, 3]]), atol=1e-6, rtol=0)
    table.save(tmp_path / "audio")
    again = load_table(tmp_path / "audio")
    assert torch.equal(again.vectors, table.vectors) and again.items == table.items
    assert (again.name, again.source, again.fingerprint) == ("audio", "VGGish", table.fingerprint)


def test_a_table_is_aligned_by_item_id(vectors):
    table = FeatureTable("audio", IDS, torch.from_numpy(vectors), "made up", dropped=2)
    rows, has = table.align(["d", "x", "a"])
    assert has.tolist() == [False, True, False, True]
    assert torch.equal(rows, torch.tensor(np.stack([0 * vectors[0], vectors[3], 0 * vectors[0], vectors[0]])))
    assert table.coverage(["d", "x", "a"]) == {
        "items": 3,
        "with a vector": 2,
        "without a vector": 1,
        "vectors of other items": 2,
        "vectors with NaN or infinity, left out": 2,
    }
    with pytest.raises(InputError, match="no vector for any of 2 items .*such as 'a', wanted are such as .'y'.*check"):
        table.align(["y", "z"])


def test_a_bare_array_takes_the_ids_given_with_it(tmp_path, vectors):
    np.save(tmp_path / "t.npy", vectors)
    assert read_table(tmp_path / "t.npy", "audio", items=IDS).align(IDS)[1].all() == False  # noqa: E712  (padding)
    with pytest.raises(InputError, match="a bare array names no items"):
        read_table(tmp_path / "t.npy", "audio")
    with pytest.raises(InputError, match="4 vectors for 3 items; .*in the order of the dataset's items.parquet"):
        read_table(tmp_path / "t.npy", "audio", items=IDS[:3])
    told = CliRunner().invoke(app, ["features-table", "--help"], env={"COLUMNS": "300"}).stdout
    assert "npy, its rows in the order of the dataset's items.parquet" in told


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_an_npz_of_several_modalities_gives_the_one_that_is_named(tmp_path):
    both = dict(image=np.ones((2, 3), np.float32), text=np.zeros((2, 4), np.float32))
    np.savez(tmp_path / "t.npz", item_id=["a", "b"], **both)
    table = read_table(tmp_path / "t.npz", "image")
    assert list(table.items) == ["a", "b"] and table.vectors.tolist() == both["image"].tolist()
    assert read_table(tmp_path / "t.npz", "text").vectors.shape == (2, 4)


@pytest.mark.parametrize("kind", [".npy", ".npz"])
def test_pickles_are_not_opened(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, content = tmp_path / f"t{kind}", np.array([Evil(), None], dtype=object)
    np.savez(path, items=content, vectors=content) if kind == ".npz" else np.save(path, content)
    with pytest.raises(InputError, match="cannot be read as arrays .*pickled objects are not read"):
        read_table(path, "audio", items=["a", "b"])
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "write, fault",
    [
        (lambda path: None, "there is no such file"),
        (lambda path: path.write_bytes(b"\x93NUMPY and so on"), "cannot be read as arrays"),
        (
            lambda path: np.savez(path, ids=[1], vectors=[[1.0]]),
            "expected the arrays items and vectors \\(or audio\\), it has: ids",
        ),
        (lambda path: np.savez(path, items=["a"], vectors=["x"]), "vectors are of type <U1; expected numbers"),
        (lambda path: np.savez(path, items=["a", "b"], vectors=[1.0, 2.0]), "vector for each of 2 items.*shape .2."),
        (lambda path: np.savez(path, items=["a"], vectors=[[1.0], [2.0]]), "2 vectors for 1 items"),
        (lambda path: np.savez(path, items=["a", "a"], vectors=[[1.0], [2.0]]), "'a' has several vectors; keep one"),
        (lambda path: np.savez(path, items=["a"], vectors=[[np.inf]]), "no row of finite numbers"),
    ],
)
def test_unusable_arrays(tmp_path, write, fault):
    write(tmp_path / "t.npz")
    with pytest.raises(InputError, match=fault) as error:
        read_table(tmp_path / "t.npz", "audio")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "frame, fault",
    [
        (pd.DataFrame({"who": ["a"], "v": [1.0]}), "no item column was recognised among: who, v; say --item COLUMN"),
        (pd.DataFrame({"item": ["a"]}), "no column beside 'item'; expected numbers"),
        (pd.DataFrame({"item": ["a"], "v": ["loud"]}), "the columns beside 'item' are not numbers"),
        (pd.DataFrame({"item": ["a", "b"], "v": [[1.0], [1.0, 2.0]]}), "not numbers, or lists of one length"),
    ],
)
def test_unusable_tables(tmp_path, frame, fault):
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=fault):
        read_table(tmp_path / "t.parquet", "audio")


# --- in the place of image or text features ---


def test_codes_become_multi_hot_vectors():
    found, names = codes(["<A_2> <B_1>", None, "<A_1> <B_1> <A_1>", "", "x y"])
    assert names == ["<A_1>", "<A_2>", "<B_1>", "x", "y"] and found.dtype == torch.float32
    assert found.tolist() == [[0, 1, 1, 0, 0], [0] * 5, [1, 0, 1, 0, 0], [0] * 5, [0, 0, 0, 1, 1]]
    with pytest.raises(InputError, match="codes: none found"):
        codes(["", None])
    one, same, other = (
        codes_table(["i", "j"], column, "image", "s") for column in (["<A>", None], ["<A>", "<A>"], ["<B>", None])
    )
    assert one.items == ["i"] and one.fingerprint == same.fingerprint != other.fingerprint


def test_a_table_takes_the_place_of_image_or_text(whole, tmp_path):
    table = FeatureTable("image", whole.items[1:], torch.rand(59, 5) + 1, "codes")
    changed = with_table(whole, "image", table)
    assert changed.image.shape == (60, 5) and changed.text is whole.text
    assert changed.has_image.tolist() == [False] + [True] * 59 and changed.image[0].count_nonzero() == 0
    torch.testing.assert_close(changed.image[1:].norm(dim=1), torch.ones(59))
    about = changed.encoder
    assert (about["name"], about["image_dim"], about["text_dim"]) == ("random, image: codes", 5, 32)
    assert changed.source != whole.source and whole.encoder["image_dim"] == 32
    with pytest.raises(InputError, match="cannot be mixed"):
        changed.require_encoder(whole.encoder["fingerprint"])
    with_table(whole, "image", table).require_encoder(about["fingerprint"])
    spoken = with_table(whole, "text", table)
    assert spoken.image is whole.image and spoken.text.shape == (60, 5)
    assert spoken.encoder["fingerprint"] not in (about["fingerprint"], whole.encoder["fingerprint"])
    changed.save(tmp_path / "f")
    assert equal(load_features(tmp_path / "f"), changed)
    with pytest.raises(InputError, match="modality 'audio' cannot be replaced; choose 'image' or 'text'"):
        with_table(whole, "audio", table)


def test_the_command_line_makes_tables(tmp_path, toy, whole):
    def run(*arguments):
        result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    ids = toy.items["item"].tolist()
    common = ("--data", make_toy.FOLDER, "--json")
    sounds = save_vectors(tmp_path / "sounds.npz", [*ids[:50], "other"], np.ones((51, 3)))
    found = run("features-table", sounds, *common, "--name", "audio", "--out", tmp_path / "audio")
    assert found["rows"][0] | {"items": 60, "with a vector": 50, "vectors of other items": 1} == found["rows"][0]
    assert load_table(tmp_path / "audio").vectors.shape == (51, 3)
    whole.save(tmp_path / "f")
    pd.DataFrame({"item": ids, "marks": [f"<{one[0]}> <{one[1:]}>" for one in ids]}).to_csv(tmp_path / "m.csv")
    given = ("--name", "image", "--codes", "marks", "--replace", tmp_path / "f", "--out", tmp_path / "g")
    run("features-table", tmp_path / "m.csv", *common, *given)
    changed = load_features(tmp_path / "g")
    assert changed.encoder["name"].startswith("random, image: m.csv, marks, ") and changed.has_image.all()
    assert changed.image.count_nonzero(dim=1).tolist() == [2] * 60


@pytest.mark.slow
def test_image_codes_of_instruments_reach_a_model(small, random_features):
    folder = SHARED / "amazon-2018-instruments"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    dataset = import_tables(folder / "interactions.csv.gz", folder / "items.csv.gz", k=1)
    goods = pd.read_csv(folder / "items.csv.gz", dtype=str)
    table = codes_table(goods["item_id"], goods["image_codes"], "image", "image codes")
    features = with_table(random_features(dataset.items["item"]), "image", table)
    catalogue = features.catalogue(dataset.items["item"])
    assert catalogue.image.shape == (4925, table.vectors.shape[1]) and catalogue.text.shape == (4925, 10)
    given = goods.set_index("item_id")["image_codes"].str.count("<")[dataset.items["item"]]
    assert (catalogue.image[1:].count_nonzero(dim=1).tolist() == given.fillna(0).astype(int)).all()
    assert MMM4Rec.from_catalogue(small, catalogue).score(torch.zeros(1, small.d_model)).shape == (1, 4925)


def test_columns_of_vectors_may_be_called_by_numbers(tmp_path):
    pd.DataFrame({"item": ["x", "y"], "0": [1.5, 2], "1": [3, 4]}).to_csv(tmp_path / "a.csv", index=False)
    table = read_table(tmp_path / "a.csv", "audio")
    assert table.items == ["x", "y"] and table.vectors.tolist() == [[1.5, 3], [2, 4]]
