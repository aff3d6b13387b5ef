"""Pictures from strangers: upright, on white, of 8 bits, below their folder, and never a program or a bomb."""

import io
import os
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from PIL import Image, features

from mmm4rec_lite.data import Dataset, load_dataset
from mmm4rec_lite.data.pictures import PIXELS, PictureError, open_picture, picture_format
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.items import load_picture

ORIENTATION = 0x0112
HALF = np.zeros((40, 60, 3), np.uint8)  # a red half on the left of black
HALF[:, :30] = 255, 0, 0


def stored(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def pixels(content):
    return np.asarray(open_picture(content)).astype(int)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_comes_upright(kind, turn):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> how a picture is turned that asks for it
    lying = Image.fromarray(HALF).transpose(undo[turn]) if turn > 1 else Image.fromarray(HALF)
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    found = pixels(stored(lying, kind, exif=exif, **({} if kind in ("PNG", "TIFF") else {"quality": 100})))
    assert found.shape == HALF.shape and abs(found - HALF).mean() < 4


def test_damaged_exif_turns_nothing():
    assert (pixels(stored(Image.fromarray(HALF), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12")) == HALF).all()


def cut_out(mode):
    shape = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    shape.paste((0, 0, 255, 255), (5, 5, 15, 15))
    if mode == "P":
        return shape.convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    return shape.convert(mode)


@pytest.mark.parametrize(
    "mode, kind, blue",
    [("RGBA", "PNG", True), ("RGBA", "WEBP", True), ("P", "PNG", True), ("RGBA", "GIF", True), ("LA", "PNG", False)],
)
def test_what_is_transparent_is_white(mode, kind, blue):
    options = {"lossless": True} if kind == "WEBP" else {}
    found = pixels(stored(cut_out(mode), kind, **options))
    assert (found[0, 0] == 255).all()
    assert abs(found[10, 10] - ((0, 0, 255) if blue else (29, 29, 29))).max() < 8


@pytest.mark.parametrize("mode, clear", [("RGB", (9, 8, 7)), ("L", 9), ("1", 0)])
def test_a_colour_that_counts_as_transparent_is_white(mode, clear):
    found = pixels(stored(Image.new(mode, (4, 4), clear), transparency=clear))
    assert (found == 255).all()


def test_half_transparent_is_mixed_with_white():
    assert abs(pixels(stored(Image.new("RGBA", (2, 2), (0, 0, 0, 51)))) - 204).max() <= 1


@pytest.mark.parametrize("kind, dtype", [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32)])
def test_16_bits_are_scaled(kind, dtype):
    grey = np.linspace(0, 65535, 256).astype(dtype).reshape(16, 16)
    found = pixels(stored(Image.fromarray(grey), kind))
    assert abs(found[..., 0] - np.arange(256).reshape(16, 16)).max() <= 1


def test_numbers_with_a_point_are_scaled():
    grey = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    assert abs(pixels(stored(Image.fromarray(grey), "TIFF"))[..., 0] - np.arange(256).reshape(16, 16)).max() <= 1
    grey[0, 0] = np.nan
    assert pixels(stored(Image.fromarray(grey), "TIFF"))[-1, -1, 0] == 255


def test_cmyk_and_grey_and_animations():
    assert abs(pixels(stored(Image.new("CMYK", (4, 4), (255, 0, 0, 0)), "JPEG"))[0, 0] - (0, 255, 255)).max() < 40
    assert (pixels(stored(Image.new("L", (4, 4), 77))) == 77).all()
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        first = pixels(stored(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert abs(first[0, 0] - (255, 0, 0)).max() < 8


def test_a_size_pads_with_white_and_keeps_the_form():
    found = np.asarray(open_picture(stored(Image.fromarray(HALF)), size=30))
    assert found.shape == (30, 30, 3) and (found[0] == 255).all() and (found[15, 0] == (255, 0, 0)).all()
    assert open_picture(stored(Image.new("RGB", (99, 1))), size=8).size == (8, 8)


def test_phones_double_pictures_are_jpegs():
    first = Image.fromarray(HALF)
    content = stored(first, "MPO", save_all=True, append_images=[first.rotate(180)])
    assert picture_format(content) == "JPEG" and abs(pixels(content) - HALF).mean() < 4


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.eps", "a"])
def test_no_program_is_started(tmp_path, monkeypatch, name):
    started = []
    for starter in ("Popen", "run", "check_call", "call", "check_output"):
        monkeypatch.setattr(subprocess, starter, lambda *a, **k: started.append(a))
    monkeypatch.setattr(os, "system", started.append)
    (tmp_path / name).write_bytes(POSTSCRIPT)
    with pytest.raises(PictureError, match=f"{name}' cannot be read: no picture of a known format \\(JPEG, PNG"):
        open_picture(name, tmp_path)
    assert not started and picture_format(POSTSCRIPT) is None


@pytest.mark.parametrize("kind", ["PCX", "PPM", "TGA", "ICO", "PDF", "SGI"])
def test_other_formats_are_refused_by_their_content(kind):
    with pytest.raises(PictureError, match="bytes' cannot be read"):
        open_picture(stored(Image.fromarray(HALF[:32, :32]), kind))


def test_bombs_are_refused_before_they_unfold():
    for size, fault in (((PIXELS // 5000 + 1, 5000), "pixels, the most are 50,000,000"), ((101, 1), "too long")):
        with pytest.raises(PictureError, match=fault):
            open_picture(stored(Image.new("1", size)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_cut_files_give_one_line(tmp_path, kind):
    content = stored(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)), kind)
    for length in (0, 1, 10, len(content) // 2):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(PictureError, match="/cut' cannot be read: .+") as caught:
            open_picture("cut", tmp_path)
        assert "\n" not in str(caught.value) and "0x" not in str(caught.value)


@pytest.fixture
def shop(tmp_path):
    """(a folder of pictures, a file that it must not show)."""
    folder, secret = tmp_path / "shop", tmp_path / "secret.png"
    (folder / "images").mkdir(parents=True)
    Image.fromarray(HALF).save(folder / "images/x.png")
    Image.fromarray(HALF).save(secret)
    return folder, secret


OUT = "must be a path below .*shop"


@pytest.mark.parametrize(
    "path, fault",
    [
        ("../secret.png", OUT),
        ("images/../../secret.png", OUT),
        ("link.png", f"{OUT}, and is a link out of it"),
        ("linked/secret.png", f"{OUT}, and is a link out of it"),
        ("chain.png", f"{OUT}, and is a link out of it"),
        ("images", r"is not in .*shop \(no file\)"),
        ("pipe", r"is not in .*shop \(no file\)"),
        ("", r"is not in .*shop \(no file\)"),
        ("no.png", r"is not in .*shop \(No such file"),
        ("images/x.png/y", r"is not in .*shop \(Not a directory"),
        ("x" * 5000, r"is not in .*shop \(File name too long"),
        ("a\0b", "is not in .*null"),
        ("loop", r"is not in .*shop \(Too many levels"),
    ],
)
def test_only_files_below_the_folder(shop, path, fault, tmp_path):
    folder, secret = shop
    (folder / "link.png").symlink_to(secret)
    (folder / "linked").symlink_to(folder.parent)
    (folder / "chain.png").symlink_to(folder / "link.png")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    with pytest.raises(PictureError, match=fault) as caught:
        open_picture(path, folder)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))
    with pytest.raises(PictureError):
        open_picture(str(secret), folder)
    with pytest.warns(UserWarning, match=fault):
        assert load_picture(folder, path) is None


def test_links_inside_and_a_linked_folder_are_fine(shop, tmp_path):
    folder, _ = shop
    (folder / "also.png").symlink_to("images/x.png")
    (folder / "pictures").symlink_to("images")
    (tmp_path / "other").symlink_to(folder)
    for path in ("also.png", "pictures/x.png"):
        assert (np.asarray(open_picture(path, tmp_path / "other")) == HALF).all()


def test_a_data_set_with_a_link_out_is_neither_loaded_nor_saved(shop, tmp_path):
    folder, secret = shop
    goods = pd.DataFrame({"item": ["x"], "title": "T", "text": "", "image": "images/x.png", "domain": "d"})
    rows = pd.DataFrame({"user": ["a"], "item": ["x"], "timestamp": [1]})
    dataset = Dataset.from_frames("shop", rows, goods, folder)
    dataset.save(tmp_path / "own")
    for place in (folder, tmp_path / "own"):
        (place / "images/x.png").unlink()
        (place / "images/x.png").symlink_to(secret)
    with pytest.raises(InputError, match="image 'images/x.png' must be a path below .*own, and is a link out of it"):
        load_dataset(tmp_path / "own")
    with pytest.raises(InputError, match="is a link out of it"):
        dataset.save(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    shutil.rmtree(folder / "images")
    (folder / "images").symlink_to(tmp_path)
    with pytest.raises(InputError, match="is a link out of it|is not in"):
        Dataset.from_frames("shop", rows, goods, folder)
