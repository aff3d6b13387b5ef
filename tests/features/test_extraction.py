"""Feature files and extraction, with the tiny random encoder."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mmm4rec_lite.features import Features, extract, load_encoder, load_features
from mmm4rec_lite.utils import tensorfile
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.tensorfile import save_tensors
from tests.support.mapping import is_mapped

module = sys.modules["mmm4rec_lite.features.extraction"]


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("random")


@pytest.fixture
def dataset(tmp_path):
    """Ten items of two lengths of text; those with an even number have a picture."""
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(10):
        image = f"images/{number}.png" if number % 2 == 0 else None
        if image:
            Image.new("RGB", (40, 30), (25 * number, 200, 90)).save(folder / image)
        rows.append((f"é{number}", f"title {number}", f"text number {number} " * (1 + number % 3), image, "films"))
    items = pd.DataFrame(rows, columns=["item", "title", "text", "image", "domain"]).astype({"image": object})
    return SimpleNamespace(name="ten", items=items, folder=folder)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "features.safetensors"


def run(dataset, encoder, path, **options):
    return extract(dataset, encoder, path, progress=False, **options)


def equal(one, other):
    tables = ("text", "image", "has_image")
    return one.items == other.items and all(torch.equal(getattr(one, t), getattr(other, t)) for t in tables)


class Counting:
    """The encoder, with a count of the texts and pictures it was given, that may die after some texts."""

    def __init__(self, encoder, texts_allowed=10**9):
        self.encoder, self.allowed, self.texts, self.pictures = encoder, texts_allowed, 0, 0

    def __getattr__(self, name):
        return getattr(self.encoder, name)

    def encode_texts(self, texts, batch_size=32):
        self.texts += len(texts)
        if self.texts > self.allowed:
            raise KeyboardInterrupt
        return self.encoder.encode_texts(texts, batch_size)

    def encode_images(self, images, batch_size=32):
        out = self.encoder.encode_images(images, batch_size)
        self.pictures += len(out)
        return out


# What is extracted


def test_rows_are_the_encoders_own(dataset, encoder, path):
    features = run(dataset, encoder, path)
    assert features.items == dataset.items["item"].tolist()
    assert features.text.shape == (10, 32) and features.image.shape == (10, 32)
    assert features.text.dtype == features.image.dtype == torch.float32
    for row in (0, 4, 7):
        text = encoder.encode_texts([dataset.items["text"][row]])[0]
        torch.testing.assert_close(features.text[row], text, atol=1e-6, rtol=0)
    picture = encoder.encode_images([Image.open(dataset.folder / "images/4.png")])[0]
    torch.testing.assert_close(features.image[4], picture, atol=1e-6, rtol=0)
    assert not torch.allclose(features.image[4], features.image[6], atol=1e-4)
    about = features.encoder
    assert (about["name"], about["fingerprint"]) == ("random", encoder.fingerprint)
    assert (about["image_dim"], about["text_dim"], about["text_context"]) == (32, 32, 16)
    assert about["normalised"] is True and about["preprocessing"]["size"] == 32


def test_missing_pictures_are_zeros(dataset, encoder, path):
    features = run(dataset, encoder, path)
    assert features.has_image.tolist() == [True, False] * 5
    assert features.image[~features.has_image].count_nonzero() == 0
    torch.testing.assert_close(features.image[features.has_image].norm(dim=1), torch.ones(5))
    assert features.encoder["missing"] == "zeros"


def test_missing_pictures_are_white(dataset, encoder, path):
    features = run(dataset, encoder, path, missing="white")
    white = encoder.encode_images([Image.new("RGB", (200, 200), "white")])
    assert features.has_image.tolist() == [True, False] * 5
    assert torch.equal(features.image[1::2], white.expand(5, -1))
    assert not torch.allclose(features.image[0], white[0], atol=1e-4)
    assert features.encoder["missing"] == "white"


def test_without_pictures_the_image_tower_rests(dataset, encoder, path):
    dataset.items["image"], dataset.folder = None, None
    counting = Counting(encoder)
    features = run(dataset, counting, path)
    assert (counting.texts, counting.pictures) == (10, 0)
    assert features.image.shape == (10, 32) and not features.has_image.any()


def test_batch_size_changes_rounding_only(dataset, encoder, tmp_path):
    one, many = (run(dataset, encoder, tmp_path / f"{size}", batch_size=size) for size in (1, 64))
    torch.testing.assert_close(one.text, many.text, atol=1e-5, rtol=0)
    torch.testing.assert_close(one.image, many.image, atol=1e-5, rtol=0)


# Once, resumed, renewed


def test_second_call_encodes_nothing(dataset, encoder, path):
    first, counting = run(dataset, encoder, path), Counting(encoder)
    assert equal(run(dataset, counting, path), first)
    assert (counting.texts, counting.pictures) == (0, 0)


@pytest.mark.parametrize("missing", ["zeros", "white"])
def test_resumes_bit_equal_after_a_kill(dataset, encoder, path, tmp_path, monkeypatch, missing):
    monkeypatch.setattr(module, "PART", 3)
    whole = run(dataset, encoder, tmp_path / "whole", missing=missing)
    with pytest.raises(KeyboardInterrupt):
        run(dataset, Counting(encoder, texts_allowed=6), path, missing=missing)
    assert not path.exists()
    assert len(list(Path(f"{path}.parts").iterdir())) == 2
    counting = Counting(encoder)
    assert equal(run(dataset, counting, path, missing=missing), whole)
    assert counting.texts == 4
    assert equal(load_features(path), whole)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_parts_that_a_kill_left_behind_a_finished_file_go(dataset, encoder, path, monkeypatch):
    monkeypatch.setattr(module.shutil, "rmtree", lambda *_, **__: None)
    whole = run(dataset, encoder, path)
    assert Path(f"{path}.parts").is_dir()
    assert equal(run(dataset, encoder, path), whole) and not Path(f"{path}.parts").exists()


def test_stale_or_damaged_parts_are_not_used(dataset, encoder, path, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART", 3)
    with pytest.raises(KeyboardInterrupt):
        run(dataset, Counting(encoder, texts_allowed=9), path)
    dataset.items.loc[1, "text"] = "another text"
    damaged = next(f for f in Path(f"{path}.parts").iterdir() if load_features(f).items[0] == "é6")
    damaged.write_bytes(damaged.read_bytes()[:-40])
    counting = Counting(encoder)
    resumed = run(dataset, counting, path)
    assert counting.texts == 3 + 3 + 1  # changed, damaged, never written; the part from é3 on is used
    assert equal(resumed, run(dataset, encoder, tmp_path / "fresh"))


@pytest.mark.parametrize("change", ["text", "picture", "gone", "id", "order", "missing", "encoder"])
def test_changed_sources_are_extracted_again(dataset, encoder, path, change):
    run(dataset, encoder, path)
    counting, options = Counting(encoder), {}
    if change == "text":
        dataset.items.loc[3, "text"] = "new words"
    elif change == "picture":
        Image.new("RGB", (40, 30), "red").save(dataset.folder / "images/2.png")
    elif change == "gone":
        dataset.items.loc[2, "image"] = None
    elif change == "id":
        dataset.items.loc[3, "item"] = "new"
    elif change == "order":
        dataset.items = dataset.items.iloc[::-1].reset_index(drop=True)
    elif change == "missing":
        options["missing"] = "white"
    else:
        counting.fingerprint = "0" * 64
        counting.describe = lambda: {**encoder.describe(), "fingerprint": "0" * 64}
    features = run(dataset, counting, path, **options)
    assert counting.texts == 10
    assert load_features(path).source == features.source


# What extraction refuses


def test_broken_picture_is_named_and_finished_parts_stay(dataset, encoder, path, monkeypatch):
    monkeypatch.setattr(module, "PART", 3)
    (dataset.folder / "images/8.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    with pytest.raises(InputError, match=r"8\.png: the picture of item 'é8' cannot be read .*--bad-images missing"):
        run(dataset, encoder, path, bad_images="error")
    assert not path.exists() and len(list(Path(f"{path}.parts").iterdir())) == 2
    features = run(dataset, encoder, path, bad_images="missing")
    assert features.has_image.tolist() == [True, False] * 4 + [False, False]
    assert features.image[8].count_nonzero() == 0 and features.image[6].count_nonzero() > 0


def test_cut_and_absent_pictures(dataset, encoder, path):
    cut = dataset.folder / "images/2.png"
    Image.effect_noise((64, 64), 90).save(cut)
    cut.write_bytes(cut.read_bytes()[:1000])
    with pytest.raises(InputError, match="picture of item 'é2' cannot be read"):
        run(dataset, encoder, path, bad_images="error")
    (dataset.folder / "images/6.png").unlink()
    counting = Counting(encoder)
    with pytest.raises(InputError, match="picture of item 'é6' cannot be read .*No such file"):
        run(dataset, counting, path, bad_images="error")
    assert counting.texts == 0  # told before anything is encoded
    assert run(dataset, encoder, path, bad_images="missing").has_image.nonzero().flatten().tolist() == [0, 4, 8]


def test_decompression_bomb_is_refused(dataset, encoder, path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # the limit is on: 40 x 30 is over twice of this
    with pytest.raises(InputError, match="item 'é0' cannot be read .*decompression bomb"):
        run(dataset, encoder, path, bad_images="error")


@pytest.mark.parametrize("option", ["missing", "bad_images"])
def test_unknown_policies(dataset, encoder, path, option):
    with pytest.raises(InputError, match=f"{option}='black' is not known: choose '"):
        run(dataset, encoder, path, **{option: "black"})


def test_no_items(dataset, encoder, path):
    dataset.items = dataset.items[:0]
    with pytest.raises(InputError, match="'ten' has no items"):
        run(dataset, encoder, path)


def test_other_files_and_folders_are_not_overwritten(dataset, encoder, path):
    path.parent.mkdir()
    path.write_text("my notes")
    with pytest.raises(InputError, match="no feature file or is damaged"):
        run(dataset, encoder, path)
    assert path.read_text() == "my notes"
    with pytest.raises(InputError, match="is a folder"):
        run(dataset, encoder, path.parent)


# The feature file


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(1)
    text, image = torch.randn(3, 4, generator=generator), torch.randn(3, 5, generator=generator)
    return Features(
        ["a", "ü\n", "c"], text, image, torch.tensor([True, False, True]), {"name": "one", "fingerprint": "1" * 64}
    )


def test_saved_and_loaded(features, path):
    features.save(path)
    loaded = load_features(path)
    assert equal(loaded, features) and loaded.encoder == features.encoder
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_unusable_files(features, tmp_path):
    file, again = tmp_path / "f", "; check the path, or make it anew with the command `features`$"
    with pytest.raises(InputError, match="f: there is no such feature file" + again):
        load_features(file)
    save_file({"x": torch.zeros(2)}, file)
    with pytest.raises(InputError, match="f is no feature file but something else" + again):
        load_features(file)
    save_tensors(file, "model", {"x": torch.zeros(2)})
    with pytest.raises(InputError, match="f is no feature file but model" + again):
        load_features(file)
    features.save(file)
    whole = file.read_bytes()
    for size in (0, 5, 60, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(InputError, match="no feature file or is damaged .*" + again):
            load_features(file)
    file.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
    with pytest.raises(InputError, match="checksum differs.*" + again):
        load_features(file)


def test_failed_save_leaves_the_old_file(features, path, monkeypatch):
    features.save(path)

    def half(tensors, file, metadata):
        Path(file).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(tensorfile, "save_file", half)
    with pytest.raises(OSError, match="disk full"):
        features.save(path)
    assert equal(load_features(path), features)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_catalogue_is_in_the_order_asked_for(features):
    catalogue = features.catalogue(["c", "a"])
    assert torch.equal(catalogue.image, torch.stack([torch.zeros(5), features.image[2], features.image[0]]))
    assert torch.equal(catalogue.text, torch.stack([torch.zeros(4), features.text[2], features.text[0]]))
    with pytest.raises(InputError, match="features of other items: 2 of 3 items have no row, e.g. 'x'"):
        features.catalogue(["x", "a", "y"])


def test_tables_are_mapped_and_a_catalogue_is_gathered_from_them(features, path):
    features.save(path)
    loaded = load_features(path)
    assert all(is_mapped(table, path) for table in (loaded.text, loaded.image, loaded.has_image))
    catalogue = loaded.catalogue(features.items[::-1])
    for name in ("text", "image", "has_image"):
        table = getattr(features, name)
        assert torch.equal(getattr(catalogue, name), torch.cat([torch.zeros_like(table[:1]), table.flip(0)]))
        assert not is_mapped(getattr(catalogue, name), path)


def test_encoders_are_not_mixed(features):
    other = Features(
        features.items, features.text, features.image, features.has_image, {"name": "two", "fingerprint": "2" * 64}
    )
    features.require_encoder("1" * 64)
    with pytest.raises(InputError, match=r"encoder 'one' \(11111111\).*'two' \(22222222\).*cannot be mixed"):
        features.require_encoder(other.encoder["fingerprint"], other.encoder["name"])


@pytest.mark.slow
def test_importing_the_room_is_light():
    heavy = "{'open_clip', 'transformers', 'torchvision', 'PIL'}"
    code = f"import mmm4rec_lite.features, sys; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
