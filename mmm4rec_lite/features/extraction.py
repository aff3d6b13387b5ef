"""Encode the texts and pictures of a dataset's items, once, in parts that survive an interruption."""

import shutil
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm.auto import tqdm

from mmm4rec_lite.data.pictures import PictureError, open_picture, picture_path
from mmm4rec_lite.features.store import Features, load_features
from mmm4rec_lite.utils.digest import digest
from mmm4rec_lite.utils.errors import InputError, first_line, refuse
from mmm4rec_lite.utils.files import lock, sweep
from mmm4rec_lite.utils.optional import extra

PART = 256  # items encoded between two writes
MISSING, BAD_IMAGES = ("zeros", "white"), ("error", "missing")


class _Item(NamedTuple):
    id: str
    text: str
    image: Path | None
    digest: str  # of the id, the text and the picture's bytes
    fault: str = ""  # why there is no picture although one is named


def extract(
    dataset: Any,
    encoder: Any,
    path: Path | str,
    missing: str = "zeros",
    batch_size: int = 32,
    progress: bool = True,
    bad_images: str = "missing",
    fabric: Any = None,
) -> Features:
    """Encode every item of ``dataset`` and keep the features in the file ``path``.

    A file that already holds the features of the same items, texts, pictures, encoder and policies is read and
    returned; features of anything else are replaced. Finished parts lie in ``<path>.parts`` until all are done: an
    interrupted call goes on from there, to the same result bit by bit (on one machine with one ``batch_size``).

    With a ``fabric`` of several processes, which must all see the disk of ``path``, every process calls this, encodes
    its share and returns the same. When a process dies, call again, with any number of processes.

    Parameters
    ----------
    dataset : has ``name``, ``folder`` and ``items``, a frame with item, text and image (a path below ``folder``, or
        None), as `mmm4rec_lite.data.Dataset`
    encoder : an `Encoder`
    path : the feature file, safetensors
    missing : what items without a picture get: "zeros", or "white", the features of a white 200 x 200 picture (as the
        paper's public code does); ``Features.has_image`` marks them anyway
    batch_size : texts or pictures encoded at once
    progress : show bars with the time left, and the pictures that could not be read
    bad_images : "missing" to treat pictures that cannot be read as missing, told in ``Features.bad_images``; or "error"
    fabric : a launched lightning_fabric.Fabric, on whose device the ``encoder`` should be; None: this process alone

    Examples
    --------
    >>> import mmm4rec_lite as m4r
    >>> toy, encoder = m4r.load_dataset("data_samples/toy"), m4r.load_encoder("random")
    >>> m4r.extract(toy, encoder, "toy.safetensors", progress=False).image.shape
    torch.Size([60, 32])
    """
    for value, known, name in ((missing, MISSING, "missing"), (bad_images, BAD_IMAGES, "bad_images")):
        refuse(value not in known, f"{name}={value!r} is not known: choose {' or '.join(map(repr, known))}")
    path = Path(path)
    refuse(path.is_dir(), f"{path} is a folder: give the path of a file to keep the features in")
    about = encoder.describe() | {"missing": missing}
    if fabric is None:
        from lightning_fabric import Fabric

        fabric = Fabric(accelerator="cpu", devices=1)
    first = fabric.global_rank == 0
    progress = progress and first
    _kept(path)
    items = _items(dataset, bad_images, progress)
    key_of = lambda chosen: digest([[encoder.fingerprint, missing, bad_images], [item.digest for item in chosen]])
    source, folder = key_of(items), path.with_name(f"{path.name}.parts")
    chunks = [items[start : start + PART] for start in range(0, len(items), PART)]
    parts = [(chunk, folder / f"{key_of(chunk)}.safetensors") for chunk in chunks]
    sweep(path.parent)
    if before := _kept(path, source):
        for _, file in parts if folder.is_dir() else ():  # of a call that was killed when all was done
            file.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()
        return before

    mine = parts[fabric.global_rank :: fabric.world_size]
    with lock(path, "extracting features") if fabric.world_size == 1 else nullcontext():
        if before := _kept(path, source):
            return before
        count, name = sum(len(chunk) for chunk, _ in mine), f"{dataset.name}, {encoder.name}"
        with tqdm(total=count, desc=name, unit="item", disable=not progress) as bar:
            for chunk, file in mine:
                finished = False
                with suppress(InputError):  # absent, or damaged by whatever ended an earlier call
                    finished = load_features(file).source == file.stem
                if not finished:
                    _encode(chunk, encoder, about, file.stem, batch_size, bad_images).save(file)
                bar.update(len(chunk))
        fabric.barrier()
        if first:
            _merge(items, [load_features(file) for _, file in parts], encoder, about, source).save(path)
            shutil.rmtree(folder, ignore_errors=True)
        fabric.barrier()
    features = load_features(path)
    if features.bad_images and progress:
        tqdm.write(f"{dataset.name}: {features.bad_images_line()}", file=sys.stderr)
    return features


def _kept(path, source=None):
    """The features of ``source`` that are there already."""
    before = load_features(path) if path.exists() else None
    return before if before is not None and before.source == source else None


def _merge(items, parts, encoder, about, source):
    """One Features of all parts, its rows in the order of ``items`` by their ids."""
    row = {item: index for index, item in enumerate(item for part in parts for item in part.items)}
    rows = torch.tensor([row[item.id] for item in items])
    tables = {name: torch.cat([getattr(part, name) for part in parts])[rows] for name in ("text", "image", "has_image")}
    if about["missing"] == "white" and not tables["has_image"].all():
        with extra("encoders"):
            from PIL import Image
        tables["image"][~tables["has_image"]] = encoder.encode_images([Image.new("RGB", (200, 200), "white")])
    bad = {item: reason for part in parts for item, reason in part.bad_images.items()}
    return Features([item.id for item in items], **tables, encoder=about, source=source, bad_images=bad)


def _items(dataset, bad_images, progress):
    """The dataset's items with their digests; every picture is read once here, so its absence shows early."""
    items, table = [], dataset.items[["item", "text", "image"]]
    look = dict(desc=f"{dataset.name}, reading", unit="item", leave=False, delay=2, disable=not progress)
    for item, text, image in tqdm(table.itertuples(index=False), total=len(table), **look):
        file, seen, fault = None, None, ""
        try:
            if isinstance(image, str):
                file = picture_path(image, dataset.folder)
                seen = digest(file.read_bytes())
        except (OSError, PictureError) as error:
            if bad_images == "error":
                raise _unreadable(image, item, error) from error
            file, fault = None, _fault(error)
        items.append(_Item(item, text, file, digest([item, text, seen]), fault))
    refuse(not items, f"dataset {dataset.name!r} has no items: there is nothing to encode")
    return items


def _encode(items, encoder, about, key, batch_size, bad_images):
    """The Features of some items; rows without a picture are zeros."""
    rows, bad = [], {item.id: item.fault for item in items if item.fault}

    def pictures():
        for row, item in enumerate(items):
            if item.image is None:
                continue
            try:
                picture = open_picture(item.image)
            except PictureError as error:
                if bad_images == "error":
                    raise _unreadable(item.image, item.id, error) from error
                bad[item.id] = _fault(error)
            else:
                rows.append(row)
                yield picture

    encoded = encoder.encode_images(pictures(), batch_size)  # fills rows and bad
    image, has_image = torch.zeros(len(items), encoder.image_dim), torch.zeros(len(items), dtype=torch.bool)
    image[rows], has_image[rows] = encoded, True
    text = encoder.encode_texts([item.text for item in items], batch_size)
    return Features([item.id for item in items], text, image, has_image, about, key, bad)


def _unreadable(file, item, error):
    advice = "replace it, set the item's image to null, or take bad images as missing (--bad-images missing)"
    return InputError(f"{file}: the picture of item {item!r} cannot be read ({_fault(error)}); {advice}")


def _fault(error):
    return error.fault if isinstance(error, PictureError) else first_line(error)
