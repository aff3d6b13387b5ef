"""Sequences kept in a file: mapped, equal to those in memory, made anew when the tables change, checked as these."""

import os
import shutil

import pandas as pd
import pytest
import torch

from mmm4rec_lite.data import batch, global_time, leave_one_out, load_dataset, mapped, open_sequences, prefixes
from mmm4rec_lite.data import sequences as in_memory
from mmm4rec_lite.training import TrainConfig, fit
from mmm4rec_lite.utils import files
from mmm4rec_lite.utils.errors import InputError
from tests.support import toy as make_toy
from tests.support.mapping import is_mapped
from tests.support.models import drawn, made

SPLITS = [leave_one_out, global_time, prefixes]


@pytest.fixture
def folder(tmp_path):
    """The toy, its interactions in another order of the rows, with a column that nobody reads."""
    shutil.copytree(make_toy.FOLDER, tmp_path / "toy")
    rows = pd.read_parquet(tmp_path / "toy" / "interactions.parquet").sample(frac=1, random_state=0)
    rows.assign(rating=5).to_parquet(tmp_path / "toy" / "interactions.parquet", index=False)
    return tmp_path / "toy"


def same(one, other):
    a, b = vars(one), vars(other)
    return all(torch.equal(a[name], b[name]) if isinstance(a[name], torch.Tensor) else a[name] == b[name] for name in a)


@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_they_are_those_of_the_dataset_read_in_blocks_of_any_size(folder, monkeypatch, block):
    if block == 1:
        rows = pd.read_parquet(folder / "interactions.parquet")
        rows[:50].to_parquet(folder / "interactions.parquet")
    monkeypatch.setattr(mapped, "BLOCK", block)
    assert same(open_sequences(folder), in_memory(load_dataset(folder)))


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_and_batch_is_that_of_the_dataset(folder, split):
    kept, loaded = split(open_sequences(folder)), split(load_dataset(folder))
    assert all(torch.equal(getattr(kept, part), getattr(loaded, part)) for part in ("train", "valid", "test"))
    assert same(batch(kept.sequences, kept.train, 5), batch(loaded.sequences, loaded.train, 5))


def test_training_on_them_is_training_on_the_dataset(folder):
    losses = []
    for rows in (leave_one_out(open_sequences(folder)), leave_one_out(load_dataset(folder))):
        model, config = made("sasrec", drawn(61)), TrainConfig(epochs=1, batch_size=64)
        losses.append(fit(model, rows.sequences, rows.train, config, rows.valid, progress=False)["loss"].tolist())
    assert losses[0] == losses[1]


def test_their_tensors_are_mapped_and_splits_copy_none(folder):
    split = leave_one_out(open_sequences(folder))
    for name in ("items", "times", "first"):
        assert is_mapped(getattr(split.sequences, name), folder / "sequences.safetensors")
    assert not is_mapped(split.train, folder / "sequences.safetensors")


def test_a_change_in_memory_changes_no_file(folder):
    open_sequences(folder).items[:] = 0
    assert (open_sequences(folder).items > 0).all()


def test_they_are_made_once_and_again_when_a_table_changes(folder, monkeypatch):
    first = open_sequences(folder)
    monkeypatch.setattr(mapped, "read_blocks", lambda *_: pytest.fail("read again"))
    assert same(open_sequences(folder), first)
    monkeypatch.undo()
    rows = pd.read_parquet(folder / "interactions.parquet")
    rows[rows["user"] != rows["user"].iloc[0]].to_parquet(folder / "interactions.parquet")
    assert len(open_sequences(folder).users) == len(first.users) - 1
    assert same(open_sequences(folder), in_memory(load_dataset(folder)))
    items = folder / "items.parquet"
    os.utime(items, ns=(0, 0))
    with monkeypatch.context() as patch, pytest.raises(pytest.fail.Exception):
        patch.setattr(mapped, "read_blocks", lambda *_: pytest.fail("read again"))
        open_sequences(folder)


def test_they_may_be_kept_elsewhere(folder, tmp_path):
    found = open_sequences(folder, tmp_path / "kept" / "s")
    assert is_mapped(found.items, tmp_path / "kept" / "s") and not (folder / "sequences.safetensors").exists()


def test_a_saved_dataset_has_no_file_of_older_tables(folder):
    open_sequences(folder)
    load_dataset(folder).select("mugs").save(folder, kept=())
    assert not (folder / "sequences.safetensors").exists() and open_sequences(folder).item_count == 29


@pytest.mark.parametrize(
    "change, fault",
    [
        (lambda rows: rows.drop(columns="timestamp"), "rows from 0: column 'timestamp' is missing"),
        (lambda rows: rows.assign(user=rows["user"].where(rows.index != 103)), "from 100: .*'user' has 1 .* row 3"),
        (lambda rows: rows.assign(item=rows["item"].where(rows.index != 7, "?")), "1 interactions with unknown items"),
        (lambda rows: rows.assign(timestamp=10**12), "looks like milliseconds"),
        (lambda rows: rows[:0], "no rows"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(folder, monkeypatch, change, fault):
    monkeypatch.setattr(mapped, "BLOCK", 100)
    change(pd.read_parquet(folder / "interactions.parquet")).to_parquet(folder / "interactions.parquet")
    with pytest.raises(InputError, match=f"interactions.parquet.*{fault}"):
        open_sequences(folder)
    assert not (folder / "sequences.safetensors").exists()


def test_missing_and_damaged_files_are_told(folder, tmp_path):
    with pytest.raises(InputError, match="nowhere: interactions.parquet, items.parquet missing"):
        open_sequences(tmp_path / "nowhere")
    kept = folder / "sequences.safetensors"
    open_sequences(folder)
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(InputError, match="sequences.safetensors is no sequences file or is damaged.*delete it"):
        open_sequences(folder)
    (folder / "interactions.parquet").write_bytes(b"PAR1")
    kept.unlink()
    with pytest.raises(InputError, match="interactions.parquet: not a readable parquet file"):
        open_sequences(folder)


def test_sequences_without_targets_are_refused(folder):
    rows = pd.read_parquet(folder / "interactions.parquet")
    rows.groupby("user").head(2).to_parquet(folder / "interactions.parquet")
    with pytest.raises(InputError, match="sequences: no train targets in this split"):
        leave_one_out(open_sequences(folder))


def test_a_lock_that_a_kill_left_behind_a_finished_file_goes(tmp_path):
    file = tmp_path / "toy.safetensors"
    open_sequences(make_toy.FOLDER, file)
    (tmp_path / f".{file.name}{files.LOCK}").touch()
    files._sweeps.clear()
    open_sequences(make_toy.FOLDER, file)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
