"""A row of items with their pictures that is cheap to draw again: one image, pictures and words in it."""

import html
import math
import textwrap
from dataclasses import dataclass
from functools import lru_cache

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from mmm4rec_lite.plots.style import COLOURS

GREY, FRAME, PAPER, INK = (184, 192, 204), tuple(int(255 * part) for part in COLOURS[3]), (238, 241, 245), (40, 48, 58)
LINE = 12        # pixels


@dataclass
class Tile:
    """One item (None: no picture, only the title), a caption below, whether framed, how strong (0 to 1)."""

    item: str | None
    title: str
    caption: str = ""
    framed: bool = False
    strength: float = 1.0


def pictures(dataset):
    """A function (item, edge in pixels) -> its picture, square, or None where there is none; each is read once."""
    paths = dict(zip(dataset.items["item"], dataset.items["image"]))

    @lru_cache(maxsize=4000)
    def picture(item, edge):
        if not isinstance(paths.get(item), str):
            return None
        try:
            with Image.open(dataset.folder / paths[item]) as file:
                return ImageOps.pad(file.convert("RGB"), (edge, edge), color="white")
        except OSError:
            return None                                          # a card with the title, as for items without one

    return picture


class Tiles:
    """Draws tiles side by side into a matplotlib axis, in so many rows; one image, cheap to draw again."""

    def __init__(self, axis, picture, most=84, captions=1, rows=1):
        """picture: a function as ``pictures`` returns; most: largest edge in pixels; captions: lines below."""
        self.axis, self.picture, self.most, self.captions, self.rows = axis, picture, most, captions, rows
        self.width, self.height = (int(side) for side in axis.get_window_extent().size)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        self.image = axis.imshow(np.zeros((self.height, self.width, 3), np.uint8), aspect="auto", animated=True,
                                 interpolation="nearest")

    def show(self, tiles):
        """Draw these tiles."""
        sheet = Image.new("RGB", (self.width, self.height), "white")
        write = ImageDraw.Draw(sheet)
        across = max(math.ceil(len(tiles) / self.rows), 1)
        room, depth = self.width / across, self.height // self.rows
        edge = int(min(room - 4, depth - LINE * self.captions - 3, self.most))
        for i, tile in enumerate(tiles):
            middle, top = (i % across + 0.5) * room, i // across * depth
            border = 4 if tile.framed else 1
            card = Image.new("RGB", (edge - 2 * border,) * 2, PAPER)
            found = self.picture(tile.item, card.width)
            if found is None and edge >= 3 * LINE:
                words = textwrap.wrap(tile.title, max(card.width // 6, 5))[: card.height // LINE]
                ImageDraw.Draw(card).text((card.width / 2, card.height / 2), "\n".join(words), INK, _font(), "mm",
                                          spacing=1, align="center")
            elif found is not None:
                card.paste(found)
            if tile.strength < 1:
                card = Image.blend(Image.new("RGB", card.size, "white"), card, 0.2 + 0.8 * tile.strength)
            sheet.paste(ImageOps.expand(card, border, FRAME if tile.framed else GREY), (int(middle - edge / 2), top))
            write.text((middle, top + edge + 3), tile.caption, INK, _font(), "ma", spacing=1, align="center")
        self.image.set_data(np.asarray(sheet))


def ranking(top):
    """A frame of ``moved_ranks`` as HTML: titles with what they were before."""
    return "; ".join(f"{row.rank}. {html.escape(row.title)} ({_movement(row)})" for row in top.itertuples())


def top_tiles(top, shown=None):
    """Tiles of a frame of ``moved_ranks``; framed: what was not among as many before. ``shown``: items with picture."""
    new = (top["before"] == 0) | (top["before"] > len(top))
    return [Tile(row.item if shown is None or row.item in shown else None, row.title,
                 f"{row.rank}\n{_movement(row)}", framed) for row, framed in zip(top.itertuples(), new)]


def _movement(row):
    if row.before == row.rank:
        return "same"
    return f"was {row.before}" if row.before else "new"


@lru_cache
def _font():
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 10)
