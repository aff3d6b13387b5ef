"""The one way to open a picture, for features, figures, pages and widgets: a stranger's file becomes RGB, or a line.

Formats go by content and are those whose decoders start no program (Pillow would hand PostScript to Ghostscript).
"""

import io
import os
import stat
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmm4rec_lite.utils.errors import InputError, first_line, refuse
from mmm4rec_lite.utils.optional import extra

# Pillow's name of a format -> suffixes, the usual first
FORMATS = {"JPEG": (".jpg", ".jpeg", ".jfif", ".jpe"), "PNG": (".png",), "WEBP": (".webp",), "GIF": (".gif",)}
FORMATS |= {"BMP": (".bmp",), "TIFF": (".tif", ".tiff"), "AVIF": (".avif",)}
PIXELS, LONGEST, LARGEST = 50_000_000, 100, 100 * 2**20  # a picture's pixels; its long side by its short one; bytes


class PictureError(InputError):
    """A picture that cannot be taken; ``fault`` says why without the picture's name."""

    def __init__(self, name: object, fault: str):
        super().__init__(f"picture {str(name)[:200]!r} {fault}")
        self.fault = fault


def open_picture(source: Path | str | bytes, folder: Path | str | None = None, size: int | None = None) -> Any:
    """A picture as a PIL image in RGB: upright by its EXIF, on white where it is transparent, of 16 bits scaled to 8.

    Parameters
    ----------
    source : a path, or the bytes of a file
    folder : what a path is relative to and must lie in, links followed; None: the path is taken as it is
    size : the edge of a square (pixels) that it is scaled to and padded with white; None: as it is

    Raises
    ------
    PictureError
        An InputError for what is no file below the folder, no picture of a format in `FORMATS`, cut off, larger than
        `PIXELS` or longer than `LONGEST` times its width. (Animations: the first frame.)
    """
    with extra("data"):
        from PIL import ImageOps
    picture = _decode(source if isinstance(source, bytes) else picture_path(source, folder))[0]
    return picture if size is None else ImageOps.pad(picture, (size, size), color="white")


def picture_format(content: bytes) -> str | None:
    """The format (of `FORMATS`) of the bytes of a picture that can be decoded from end to end; None for any other."""
    with suppress(InputError):
        return _decode(content)[1]
    return None


def head_fault(path: Path | str) -> str:
    """Why a file cannot be taken as a picture as far as its first bytes tell, "" where they tell nothing."""
    try:
        _decode(path, whole=False)
    except PictureError as error:
        return error.fault.removeprefix("cannot be read: ")
    return ""


def picture_path(path: Path | str, folder: Path | str | None = None) -> Path:
    """Where a picture file lies, links resolved; InputError unless it is a file, and one below ``folder``."""
    if fault := misplaced(folder)(path):
        raise PictureError(path, fault)
    return Path(folder or "", path).resolve()


def misplaced(folder: Path | str | None) -> Callable[[Path | str], str]:
    """A function from a path to what is wrong with it as a picture's below ``folder``, "" where nothing is."""
    root = None if folder is None else os.path.realpath(folder)
    inside = cache(lambda place: root is None or Path(os.path.realpath(place)).is_relative_to(root))

    def fault(path):
        try:
            place = Path(folder or "", path)
            if root is not None and (Path(path).is_absolute() or ".." in Path(path).parts):
                return f"must be a path below {folder}"
            if not stat.S_ISREG(os.stat(place).st_mode):
                return f"is not in {folder or 'any folder'} (no file)"
            # a folder's links are followed once for all of its pictures
            linked = not inside(place.parent) or (place.is_symlink() and not inside(place))
            return f"must be a path below {folder}, and is a link out of it" if linked else ""
        except (OSError, ValueError) as error:  # also names that are too long or hold a NUL
            told = getattr(error, "strerror", None) or first_line(error)
            return f"is not in {folder or 'any folder'} ({told})"

    return fault


def _decode(source, whole=True):
    """(the picture in RGB, or what is known before it is decoded; its format)."""
    with extra("data"):
        from PIL import Image, ImageOps, UnidentifiedImageError
    Image.init()
    known = [name for name in FORMATS if name in Image.OPEN]  # AVIF lacks in some builds
    try:
        size = len(source) if isinstance(source, bytes) else os.stat(source).st_size
        refuse(size > LARGEST, f"{size:,} bytes, the most are {LARGEST:,}")
        with warnings.catch_warnings(action="ignore"):  # of damaged EXIF, of sizes between the limits
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(file, formats=known) as picture:
                (short, long), name = sorted(picture.size), "JPEG" if picture.format == "MPO" else picture.format
                refuse(short * long > PIXELS, f"{picture.width} x {picture.height} pixels, the most are {PIXELS:,}")
                refuse(long > LONGEST * short, f"{picture.width} x {picture.height} pixels, too long for its width")
                if not whole:
                    return picture, name
                picture.load()
                with suppress(Exception):  # damaged EXIF turns nothing
                    ImageOps.exif_transpose(picture, in_place=True)
                return _rgb(picture, Image), name
    except UnidentifiedImageError:
        fault = f"no picture of a known format ({', '.join(known)})"
    except Exception as error:  # decoders of broken files raise anything
        fault = first_line(error)
    name = f"{len(source)} bytes" if isinstance(source, bytes) else source
    raise PictureError(name, f"cannot be read: {fault}") from None


def _rgb(picture, image):
    """On white and of 8 bits."""
    if picture.mode[0] in "IF":  # numbers beyond 8 bits, of which Pillow would cut off the upper ones
        values = np.nan_to_num(np.asarray(picture, dtype=np.float32), posinf=0, neginf=0)
        top = values.max(initial=0)
        most = 65535 if ";16" in picture.mode else next((m for m in (1, 255, 65535) if top <= m), top)
        most = 255 if picture.mode == "I" and top <= 1 else most
        grey = (values.clip(0) * (255 / most)).round().astype(np.uint8)
        if isinstance(clear := picture.info.get("transparency"), int):
            grey[values == clear] = 255
        return image.fromarray(grey).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = (picture.convert("LA") if picture.mode == "La" else picture).convert("RGBA")
    white = image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return white
