"""Item features on disk: one safetensors file with the rows, the item ids and what they were made with."""

import json
from dataclasses import dataclass, field

import torch

from mmm4rec_lite.models.base import Catalogue
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.utils.tensorfile import load_tensors, save_tensors


@dataclass(frozen=True, eq=False)
class Features:
    """Text and picture features of items, row by row.

    Attributes:
        items: item ids (str), one per row.
        text: float32 ``[n, text_dim]``.
        image: float32 ``[n, image_dim]``; what rows without a picture hold, ``encoder["missing"]`` says.
        has_image: bool ``[n]``, whether the item has a picture of its own.
        encoder: the encoder as `Encoder.describe` gives it, with ``missing``, the policy for items
            without a picture.
        source: hash of everything the rows were made from (`extract` compares it).
        bad_images: item id -> why its picture could not be read; these items count as without a picture.
    """

    items: list[str]
    text: torch.Tensor
    image: torch.Tensor
    has_image: torch.Tensor
    encoder: dict
    source: str = ""
    bad_images: dict = field(default_factory=dict)

    def __repr__(self):
        bad = f"; {self.bad_images_line()}" if self.bad_images else ""
        return (
            f"Features of {len(self.items)} items by encoder {self.encoder['name']!r}: "
            f"text {self.text.shape[1]}, image {self.image.shape[1]}, {int(self.has_image.sum())} pictures{bad}"
        )

    def bad_images_line(self, most=5):
        """How many pictures could not be read, and the first items they belong to."""
        first = ", ".join(repr(item) for item in list(self.bad_images)[:most])
        more = ", ..." if len(self.bad_images) > most else ""
        return f"{len(self.bad_images)} pictures that cannot be read count as missing (items {first}{more})"

    def save(self, path):
        """Write the file ``path``: whole or not at all."""
        ids = torch.frombuffer(bytearray(json.dumps(self.items, ensure_ascii=False).encode()), dtype=torch.uint8)
        tensors = {"items": ids, "text": self.text, "image": self.image, "has_image": self.has_image}
        save_tensors(path, "feature", tensors, encoder=self.encoder, source=self.source, bad_images=self.bad_images)

    def align(self, item_ids):
        """The features in the order of ``item_ids``, behind a row 0 of zeros for padding.

        Returns:
            image ``[n + 1, image_dim]`` and text ``[n + 1, text_dim]``, float32.

        Raises:
            InputError: when items have no row here. (Rows of further items are left out.)
        """
        row = {item: index for index, item in enumerate(self.items)}
        item_ids = list(item_ids)
        lost = [item for item in item_ids if item not in row]
        if lost:
            raise InputError(
                f"features of other items: {len(lost)} of {len(item_ids)} items have no row, "
                f"e.g. {lost[0]!r}; extract the features of this dataset again"
            )
        rows = torch.tensor([row[item] for item in item_ids], dtype=torch.long)
        return tuple(torch.cat([table.new_zeros(1, table.shape[1]), table[rows]]) for table in (self.image, self.text))

    def catalogue(self, item_ids, augmented_text=None):
        """The features as a ``Catalogue`` in the order of ``item_ids``, row 0 for padding.

        ``augmented_text``: features of the same items by the same encoder, whose texts lost some words.
        """
        item_ids = list(item_ids)
        image, text = self.align(item_ids)
        has = dict(zip(self.items, self.has_image.tolist()))
        if augmented_text is not None:
            augmented_text.require_encoder(self.encoder["fingerprint"], self.encoder["name"])
            augmented_text = augmented_text.align(item_ids)[1]
        return Catalogue(text, image, torch.tensor([False, *(has[item] for item in item_ids)]), augmented_text)

    def same_encoder(self, other):
        """Whether ``other`` (Features) comes from the same encoder: only then may the two be mixed."""
        return self.encoder["fingerprint"] == other.encoder["fingerprint"]

    def require_encoder(self, fingerprint, name="another encoder"):
        """InputError unless these features come from the encoder with ``fingerprint``, called ``name``."""
        mine = self.encoder["fingerprint"]
        if mine != fingerprint:
            raise InputError(
                f"these features are of encoder {self.encoder['name']!r} ({mine[:8]}), wanted are those of "
                f"{name!r} ({fingerprint[:8]}), and the two cannot be mixed: extract again with one encoder"
            )


def load_features(path):
    """Read a feature file; InputError if it is not there, is none, or is damaged."""
    tensors, notes = load_tensors(path, "feature", "check the path, or make it anew with the command `features`")
    items = json.loads(tensors.pop("items").numpy().tobytes())
    return Features(
        items, encoder=notes["encoder"], source=notes["source"], bad_images=notes.get("bad_images", {}), **tensors
    )
