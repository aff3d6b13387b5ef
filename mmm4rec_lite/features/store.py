"""Item features on disk: one safetensors file with the rows, the item ids and what they were made with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mmm4rec_lite.models.base import Catalogue
from mmm4rec_lite.utils.errors import InputError, reasons, refuse
from mmm4rec_lite.utils.tensorfile import TEXTS, finite, load_tensors, pack, save_tensors
from mmm4rec_lite.utils.typing import Bool, Float, Tensor


@dataclass(frozen=True, eq=False)
class Features:
    """Text and picture features of I items, row by row.

    Attributes
    ----------
    items : their ids
    text, image : float32; ``encoder["missing"]`` says what the image rows of items without a picture hold
    has_image : whether the item has a picture of its own
    encoder : as `Encoder.describe` gives it, with "missing", the policy for items without a picture
    source : digest of everything that the rows were made from (`extract` compares it)
    bad_images : item id -> why its picture could not be read; these items count as without a picture

    Examples
    --------
    >>> rows = Features(["a", "b"], torch.ones(2, 4), torch.ones(2, 3), torch.tensor([True, False]), encoder={})
    >>> rows.catalogue(["b"]).text.shape  # row 0 is padding
    torch.Size([2, 4])
    """

    items: list[str]
    text: Float[Tensor, "I Dt"]
    image: Float[Tensor, "I Di"]
    has_image: Bool[Tensor, " I"]
    encoder: dict[str, Any]
    source: str = ""
    bad_images: dict[str, str] = field(default_factory=dict)

    def __repr__(self):
        bad = f"; {self.bad_images_line()}" if self.bad_images else ""
        sizes = f"text {self.text.shape[1]}, image {self.image.shape[1]}, {int(self.has_image.sum())} pictures"
        return f"Features of {len(self.items)} items by encoder {self.encoder['name']!r}: {sizes}{bad}"

    def bad_images_line(self) -> str:
        """How many pictures could not be read, and of each of the commonest reasons how many and the first item."""
        faults = {f"item {item!r}": reason.removeprefix("cannot be read: ") for item, reason in self.bad_images.items()}
        return f"{len(faults)} pictures cannot be read and count as missing ({reasons(faults)})"

    def save(self, path: Path | str) -> None:
        """Write the file ``path``: whole or not at all."""
        save_rows(path, "feature", vars(self))

    def catalogue(self, item_ids: Iterable[str], augmented_text: "Features | None" = None) -> Catalogue:
        """These items' rows, in order, behind a row 0 of zeros; ``augmented_text``: of their texts less some words."""
        item_ids = list(item_ids)
        rows = self._rows(item_ids)
        text, image, has = (_gather(table, rows) for table in (self.text, self.image, self.has_image))
        for name, table in (("text", text), ("image", image)):
            if not finite(table):
                lost = item_ids[int((~table.isfinite()).nonzero()[0, 0]) - 1]
                raise InputError(f"features: the {name} of item {lost!r} is not finite; extract the features again")
        if augmented_text is None:
            return Catalogue(text, image, has)
        augmented_text.require_encoder(self.encoder["fingerprint"], self.encoder["name"])
        return Catalogue(text, image, has, _gather(augmented_text.text, augmented_text._rows(item_ids)))

    def _rows(self, item_ids):
        rows = torch.from_numpy(pd.Index(self.items).get_indexer(item_ids))
        if lost := [item for item, row in zip(item_ids, rows.tolist()) if row < 0]:
            told = f"{len(lost)} of {len(item_ids)} items have no row, e.g. {lost[0]!r}"
            raise InputError(f"features of other items: {told}; extract the features of this dataset again")
        return rows

    def require_encoder(self, fingerprint: str, name: str = "another encoder") -> None:
        """InputError unless these features come from the encoder with ``fingerprint``, called ``name``."""
        mine = self.encoder["fingerprint"]
        told = f"these features are of encoder {self.encoder['name']!r} ({mine[:8]}), wanted are those of {name!r}"
        told += f" ({fingerprint[:8]}), and the two cannot be mixed: extract again with one encoder"
        refuse(fingerprint != mine, told)


def _gather(table, rows):
    """Some rows of a table behind a row of zeros, copied once, from where a file is mapped."""
    out = table.new_zeros(len(rows) + 1, *table.shape[1:])
    torch.index_select(table, 0, rows, out=out[1:])
    return out


def load_features(path: Path | str) -> Features:
    """Map a feature file into memory; InputError if it is not there, is none, or is damaged.

    Parameters
    ----------
    path : a file made by ``extract`` or ``Features.save``

    Examples
    --------
    >>> made_by = {"name": "mine", "fingerprint": "1"}
    >>> Features(["a"], torch.ones(1, 4), torch.ones(1, 3), torch.tensor([True]), made_by).save("one.safetensors")
    >>> load_features("one.safetensors").items
    ['a']
    """
    table: Any = (torch.float32, 2)
    known: dict[str, Any] = {"encoder": dict, "source": str, "bad_images": dict}
    known |= {"text": table, "image": table, "has_image": (torch.bool, 1)}
    found = load_rows(path, "feature", "check the path, or make it anew with the command `features`", known)
    named = all(isinstance(found["encoder"].get(name), str) for name in ("name", "fingerprint"))
    refuse(not named, f"{path}: its encoder has no name or fingerprint; make it anew with the command `features`")
    return Features(**found)


def save_rows(path: Path | str, kind: str, fields: Mapping[str, Any]) -> None:
    """Write ``fields`` (item ids in "items", tensors with a row each, and JSON values) as a file of a ``kind``."""
    tensors = {name: value for name, value in fields.items() if isinstance(value, Tensor)}
    tensors |= {"items": pack(fields["items"])}
    save_tensors(path, kind, tensors, **{name: value for name, value in fields.items() if name not in tensors})


def load_rows(path: Path | str, kind: str, again: str, needs: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that `save_rows` wrote, of the form ``needs``; ``again`` says in an InputError how to make it."""
    tensors, notes = load_tensors(path, kind, again, {"items": TEXTS, **needs})
    fields = {name: value for name, value in (notes | tensors).items() if name in needs or name == "items"}
    other = [name for name in tensors if name not in needs or len(tensors[name]) != len(fields["items"])]
    refuse(other, f"{path}: {other[:1]} does not belong to its {len(fields['items'])} items; {again}")
    return fields
