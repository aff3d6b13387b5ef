"""Encode the texts and pictures of a dataset's items, once, in parts that survive an interruption."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from tqdm.auto import tqdm

from mmm4rec_lite.errors import KitError
from mmm4rec_lite.features.store import Features, load_features

PART = 256  # items encoded between two writes
MISSING = ("zeros", "white")
BAD_IMAGES = ("error", "missing")


@dataclass(frozen=True)
class _Item:
    id: str
    text: str
    image: Path | None
    digest: str  # of the id, the text and the picture's bytes


def extract(dataset, encoder, path, missing="zeros", batch_size=32, progress=True, bad_images="error"):
    """Encode every item of ``dataset`` and keep the features in the file ``path``.

    A file that already holds the features of the same items, texts, pictures, encoder and policies is read
    and returned; features of anything else are replaced. While it works, finished parts lie in
    ``<path>.parts``: an interrupted call goes on from there. The result is the same, bit by bit on one
    machine with one ``batch_size``; another batch size changes it by rounding only.

    Args:
        dataset: has ``name``, ``folder`` and ``items``, a frame with item, text and image (a path below
            ``folder``, or None).
        encoder: an `Encoder`.
        path: the feature file, safetensors.
        missing: what items without a picture get: ``"zeros"``, a row of zeros, or ``"white"``, the features
            of a white 200 x 200 picture (as the paper's public code does). ``has_image`` marks them anyway.
        batch_size: texts or pictures encoded at once.
        progress: show a bar.
        bad_images: ``"error"``, or ``"missing"`` to treat pictures that cannot be read as missing.

    Returns:
        Features, rows in the order of ``dataset.items``.

    Raises:
        KitError: an unknown policy, no items, a picture that is not there or cannot be read (finished
            parts are kept), or a ``path`` that holds something else than features.
    """
    for value, known, name in ((missing, MISSING, "missing"), (bad_images, BAD_IMAGES, "bad_images")):
        if value not in known:
            raise KitError(f"{name}={value!r} is not known: choose {' or '.join(map(repr, known))}")
    path = Path(path)
    if path.is_dir():
        raise KitError(f"{path} is a folder: give the path of a file to keep the features in")
    about = {**encoder.describe(), "missing": missing}
    items = _items(dataset, bad_images)
    settings = [encoder.fingerprint, missing, bad_images]
    source = _digest(settings, items)
    if path.exists():
        features = load_features(path)
        if features.source == source:
            return features

    folder = path.with_name(f"{path.name}.parts")
    parts = []
    with tqdm(
        total=len(items), desc=f"{dataset.name}, {encoder.name}", unit="item", disable=not progress
    ) as bar:
        for start in range(0, len(items), PART):
            chunk = items[start : start + PART]
            key = _digest(settings, chunk)
            part = _finished(folder / f"{key}.safetensors", key)
            if part is None:
                part = _encode(chunk, encoder, about, key, batch_size, bad_images)
                part.save(folder / f"{key}.safetensors")
            parts.append(part)
            bar.update(len(chunk))
    tables = {
        name: torch.cat([getattr(part, name) for part in parts]) for name in ("text", "image", "has_image")
    }
    if missing == "white" and not tables["has_image"].all():
        white = Image.new("RGB", (200, 200), "white")
        tables["image"][~tables["has_image"]] = encoder.encode_images([white])
    features = Features([item.id for item in items], **tables, encoder=about, source=source)
    features.save(path)
    shutil.rmtree(folder, ignore_errors=True)
    return features


def _items(dataset, bad_images):
    """The dataset's items with their digests; every picture is read once here, so its absence shows early."""
    items = []
    for item, text, image in dataset.items[["item", "text", "image"]].itertuples(index=False):
        file = Path(dataset.folder, image) if isinstance(image, str) else None
        try:
            content = file.read_bytes() if file else None
        except OSError as error:
            if bad_images == "error":
                raise _unreadable(file, item, error) from error
            file = content = None
        picture = hashlib.sha256(content).hexdigest() if file else None
        digest = hashlib.sha256(json.dumps([item, text, picture]).encode()).hexdigest()
        items.append(_Item(item, text, file, digest))
    if not items:
        raise KitError(f"dataset {dataset.name!r} has no items: there is nothing to encode")
    return items


def _digest(settings, items):
    return hashlib.sha256(json.dumps([settings, [item.digest for item in items]]).encode()).hexdigest()


def _finished(path, key):
    """A part written by an earlier call, or None."""
    try:
        part = load_features(path)
    except KitError:  # absent, or damaged by whatever ended that call
        return None
    return part if part.source == key else None


def _encode(items, encoder, about, key, batch_size, bad_images):
    """The Features of some items; rows without a picture are zeros."""
    rows = []

    def pictures():
        for row, item in enumerate(items):
            picture = _open(item, bad_images) if item.image else None
            if picture is not None:
                rows.append(row)
                yield picture

    encoded = encoder.encode_images(pictures(), batch_size)
    image = torch.zeros(len(items), encoder.image_dim)
    image[rows] = encoded
    has_image = torch.zeros(len(items), dtype=torch.bool)
    has_image[rows] = True
    text = encoder.encode_texts([item.text for item in items], batch_size)
    return Features([item.id for item in items], text, image, has_image, about, key)


def _open(item, bad_images):
    try:
        with Image.open(item.image) as picture:
            return picture.convert("RGB")
    except Exception as error:  # decoders of broken files raise anything; Pillow's size limit raises here too
        if bad_images == "missing":
            return None
        raise _unreadable(item.image, item.id, error) from error


def _unreadable(file, item, error):
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return KitError(
        f"{file}: the picture of item {item!r} cannot be read ({reason}); replace it, set the item's image "
        "to null, or take bad images as missing (--bad-images missing)"
    )
