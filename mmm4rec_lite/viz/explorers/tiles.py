"""A row of items with their pictures that is cheap to draw again: one image, pictures and words in it."""

import html
import math
import textwrap
from dataclasses import dataclass
from functools import lru_cache

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from mmm4rec_lite.viz.style import COLOURS

GREY, FRAME, PAPER, INK = (184, 192, 204), tuple(int(255 * part) for part in COLOURS[3]), (238, 241, 245), (40, 48, 58)
LINE, LEAST = 12, 25  # pixels: height of a line of words, width of a tile


@dataclass
class Tile:
    """One item (None: no picture, only the title), a caption below, whether framed, how strong (0 to 1).

    ``number`` stands in the card of an item without a picture where its title has no room.
    """

    item: str | None
    title: str
    caption: str = ""
    framed: bool = False
    strength: float = 1.0
    number: int | None = None


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
            return None  # a card with the title, as for items without one

    return picture


class Tiles:
    """Draws tiles side by side into a matplotlib axis, in so many rows; one image, cheap to draw again."""

    def __init__(self, axis, picture, most=84, captions=1, rows=1):
        """picture: a function as ``pictures`` returns; most: largest edge in pixels; captions: lines below."""
        self.axis, self.picture, self.most, self.captions, self.rows = axis, picture, most, captions, rows
        self.width, self.height = (int(side) for side in axis.get_window_extent().size)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        self.image = axis.imshow(
            np.zeros((self.height, self.width, 3), np.uint8), aspect="auto", animated=True, interpolation="nearest"
        )

    def show(self, tiles):
        """Draw these tiles; where they would be narrower than ``LEAST``, only every second, third, ... of them."""
        sheet = Image.new("RGB", (self.width, self.height), "white")
        write = ImageDraw.Draw(sheet)
        across = max(math.ceil(len(tiles) / self.rows), 1)
        room, depth = self.width / across, self.height // self.rows
        every = math.ceil(LEAST / room)
        edge = int(min(every * room - 4, depth - LINE * self.captions - 3, self.most))
        for i, tile in enumerate(tiles):
            if i < every // 2 or (len(tiles) - 1 - every // 2 - i) % every:  # a tile is wider than its item's place
                continue
            middle, top = (i % across + 0.5) * room, i // across * depth
            border = 4 if tile.framed else 1
            card = Image.new("RGB", (edge - 2 * border,) * 2, PAPER)
            found = self.picture(tile.item, card.width)
            if found is None:
                words = _words(tile.title, tile.number, *card.size)
                ImageDraw.Draw(card).text(
                    (card.width / 2, card.height / 2), words, INK, _font(), "mm", spacing=1, align="center"
                )
            else:
                card.paste(found)
            if tile.strength < 1:
                least = 0.65 if found is None else 0.2  # words must stay legible
                card = Image.blend(Image.new("RGB", card.size, "white"), card, least + (1 - least) * tile.strength)
            sheet.paste(ImageOps.expand(card, border, FRAME if tile.framed else GREY), (int(middle - edge / 2), top))
            write.text((middle, top + edge + 3), tile.caption, INK, _font(), "ma", spacing=1, align="center")
        self.image.set_data(np.asarray(sheet))


def ranking(top):
    """A frame of ``moved_ranks`` as HTML: titles with what they were before."""
    return "; ".join(f"{row.rank}. {html.escape(row.title)} ({_movement(row)})" for row in top.itertuples())


def top_tiles(top, shown=None):
    """Tiles of a frame of ``moved_ranks``; framed: what was not among as many before. ``shown``: items with picture."""
    new = (top["before"] == 0) | (top["before"] > len(top))
    return [
        Tile(
            row.item if shown is None or row.item in shown else None, row.title, f"{row.rank}\n{_movement(row)}", framed
        )
        for row, framed in zip(top.itertuples(), new)
    ]


def _movement(row):
    if row.before == row.rank:
        return "same"
    return f"was {row.before}" if row.before else "new"


@lru_cache(maxsize=4000)
def _words(title, number, width, height):
    """What a card of so many pixels says: its title in lines of whole words, else its number, else a cut title."""
    lines = textwrap.wrap(title, max(width // 6, 1), break_long_words=False, break_on_hyphens=False)
    long = [line for line in lines if _font().getlength(line) > width]
    if not long and len(lines) * LINE <= height:
        return "\n".join(lines)
    if number is not None:
        return str(number)
    if width < 3 * LINE:
        return ""
    short = [line[: width // 6 - 1] + "…" if line in long else line for line in lines]
    return "\n".join(short[: height // LINE])


@lru_cache
def _font():
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 10)
