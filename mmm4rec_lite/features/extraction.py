"""Encode the texts and pictures of a dataset's items, once, in parts that survive an interruption."""

import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm

from mmm4rec_lite.features.store import Features, load_features
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.optional import extra

PART = 256  # items encoded between two writes
MISSING = ("zeros", "white")
BAD_IMAGES = ("error", "missing")


@dataclass(frozen=True)
class _Item:
    id: str
    text: str
    image: Path | None
    digest: str  # of the id, the text and the picture's bytes
    fault: str = ""  # why there is no picture although one is named


def extract(dataset, encoder, path, missing="zeros", batch_size=32, progress=True, bad_images="missing", fabric=None):
    """Encode every item of ``dataset`` and keep the features in the file ``path``.

    A file that already holds the features of the same items, texts, pictures, encoder and policies is read
    and returned; features of anything else are replaced. While it works, finished parts lie in
    ``<path>.parts``: an interrupted call goes on from there. The result is the same, bit by bit on one
    machine with one ``batch_size``; another batch size changes it by rounding only.

    With a ``fabric`` of several processes, on one machine or more, every process calls this: each encodes its
    share of the parts, the first one puts them together by item, and all return the same. ``path`` must then
    lie on a disk that all of them see. When a process dies, call again, with any number of processes.

    Args:
        dataset: has ``name``, ``folder`` and ``items``, a frame with item, text and image (a path below
            ``folder``, or None).
        encoder: an `Encoder`.
        path: the feature file, safetensors.
        missing: what items without a picture get: ``"zeros"``, a row of zeros, or ``"white"``, the features
            of a white 200 x 200 picture (as the paper's public code does). ``has_image`` marks them anyway.
        batch_size: texts or pictures encoded at once.
        progress: show bars with the time left, and the pictures that could not be read.
        bad_images: ``"missing"`` to treat pictures that cannot be read as missing, told in
            ``Features.bad_images``, or ``"error"``.
        fabric: a launched lightning_fabric.Fabric (its ``global_rank``, ``world_size`` and ``barrier`` are
            used); the ``encoder`` should be on its device. None: this process alone.

    Returns:
        Features, rows in the order of ``dataset.items``.

    Raises:
        InputError: an unknown policy, no items, a picture that is not there or cannot be read (finished
            parts are kept), or a ``path`` that holds something else than features.
    """
    for value, known, name in ((missing, MISSING, "missing"), (bad_images, BAD_IMAGES, "bad_images")):
        if value not in known:
            raise InputError(f"{name}={value!r} is not known: choose {' or '.join(map(repr, known))}")
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the path of a file to keep the features in")
    about = {**encoder.describe(), "missing": missing}
    rank, ranks = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
    progress = progress and rank == 0
    before = load_features(path) if path.exists() else None
    items = _items(dataset, bad_images, progress)
    settings = [encoder.fingerprint, missing, bad_images]
    source = _digest(settings, items)
    if before is not None and before.source == source:
        return before

    folder = path.with_name(f"{path.name}.parts")
    chunks = [items[start : start + PART] for start in range(0, len(items), PART)]
    files = {folder / f"{key}.safetensors": key for key in (_digest(settings, chunk) for chunk in chunks)}
    mine = list(zip(chunks, files.items()))[rank::ranks]
    with tqdm(
        total=sum(len(chunk) for chunk, _ in mine),
        desc=f"{dataset.name}, {encoder.name}",
        unit="item",
        disable=not progress,
    ) as bar:
        for chunk, (file, key) in mine:
            if _finished(file, key) is None:
                _encode(chunk, encoder, about, key, batch_size, bad_images).save(file)
            bar.update(len(chunk))
    if ranks > 1:
        fabric.barrier()
    if rank == 0:
        _merge(items, [load_features(file) for file in files], encoder, about, source).save(path)
        shutil.rmtree(folder, ignore_errors=True)
    if ranks > 1:
        fabric.barrier()
    features = load_features(path)
    if features.bad_images and progress:
        tqdm.write(f"{dataset.name}: {features.bad_images_line()}", file=sys.stderr)
    return features


def _merge(items, parts, encoder, about, source):
    """One Features of all parts, its rows in the order of ``items`` by their ids."""
    tables = {name: torch.cat([getattr(part, name) for part in parts]) for name in ("text", "image", "has_image")}
    row = {item: index for index, item in enumerate(item for part in parts for item in part.items)}
    rows = torch.tensor([row[item.id] for item in items])
    tables = {name: table[rows] for name, table in tables.items()}
    if about["missing"] == "white" and not tables["has_image"].all():
        with extra("encoders"):
            from PIL import Image
        white = Image.new("RGB", (200, 200), "white")
        tables["image"][~tables["has_image"]] = encoder.encode_images([white])
    bad = {item: reason for part in parts for item, reason in part.bad_images.items()}
    return Features([item.id for item in items], **tables, encoder=about, source=source, bad_images=bad)


def _items(dataset, bad_images, progress):
    """The dataset's items with their digests; every picture is read once here, so its absence shows early."""
    items, table = [], dataset.items[["item", "text", "image"]]
    for item, text, image in tqdm(
        table.itertuples(index=False),
        desc=f"{dataset.name}, reading",
        unit="item",
        total=len(table),
        leave=False,
        delay=2,
        disable=not progress,
    ):
        file, fault = Path(dataset.folder, image) if isinstance(image, str) else None, ""
        try:
            content = file.read_bytes() if file else None
        except OSError as error:
            if bad_images == "error":
                raise _unreadable(file, item, error) from error
            file, content, fault = None, None, _reason(error)
        picture = hashlib.sha256(content).hexdigest() if file else None
        digest = hashlib.sha256(json.dumps([item, text, picture]).encode()).hexdigest()
        items.append(_Item(item, text, file, digest, fault))
    if not items:
        raise InputError(f"dataset {dataset.name!r} has no items: there is nothing to encode")
    return items


def _digest(settings, items):
    return hashlib.sha256(json.dumps([settings, [item.digest for item in items]]).encode()).hexdigest()


def _finished(path, key):
    """A part written by an earlier call, or None."""
    try:
        part = load_features(path)
    except InputError:  # absent, or damaged by whatever ended that call
        return None
    return part if part.source == key else None


def _encode(items, encoder, about, key, batch_size, bad_images):
    """The Features of some items; rows without a picture are zeros."""
    rows, bad = [], {item.id: item.fault for item in items if item.fault}

    def pictures():
        for row, item in enumerate(items):
            try:
                picture = _open(item.image) if item.image else None
            except Exception as error:  # decoders of broken files raise anything; Pillow's size limit raises here too
                if bad_images == "error":
                    raise _unreadable(item.image, item.id, error) from error
                picture, bad[item.id] = None, _reason(error)
            if picture is not None:
                rows.append(row)
                yield picture

    encoded = encoder.encode_images(pictures(), batch_size)
    image = torch.zeros(len(items), encoder.image_dim)
    image[rows] = encoded
    has_image = torch.zeros(len(items), dtype=torch.bool)
    has_image[rows] = True
    text = encoder.encode_texts([item.text for item in items], batch_size)
    return Features([item.id for item in items], text, image, has_image, about, key, bad)


def _open(file):
    with extra("encoders"):
        from PIL import Image
    with Image.open(file) as picture:
        return picture.convert("RGB")


def _reason(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


def _unreadable(file, item, error):
    return InputError(
        f"{file}: the picture of item {item!r} cannot be read ({_reason(error)}); replace it, set the item's image "
        "to null, or take bad images as missing (--bad-images missing)"
    )
