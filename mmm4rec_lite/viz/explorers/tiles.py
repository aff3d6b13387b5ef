"""A row of items with their pictures that is cheap to draw again: one image, pictures and words in it."""

import html
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from textwrap import wrap

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont, ImageOps

from mmm4rec_lite.data import Dataset
from mmm4rec_lite.viz.items import load_picture
from mmm4rec_lite.viz.style import COLOURS, gridless

Picture = Callable[[str | None, int], Image.Image | None]

GREY, FRAME, PAPER, INK = (184, 192, 204), tuple(int(255 * part) for part in COLOURS[3]), (238, 241, 245), (40, 48, 58)
LINE, LEAST = 12, 25  # pixels: height of a line of words, width of a tile
FONT = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 10)


@dataclass
class Tile:
    """One item in a row of them."""

    item: str | None  # None: no picture, only the title
    title: str
    caption: str = ""  # below
    framed: bool = False
    strength: float = 1.0  # 0: faded
    number: int | None = None  # what a card says where its title has no room


def pictures(dataset: Dataset) -> Picture:
    """A function (item, edge in pixels) -> its picture, square, or None where there is none; each is read once."""
    paths = dict(zip(dataset.items["item"], dataset.items["image"]))

    @lru_cache(maxsize=4000)
    def picture(item, edge):
        return load_picture(dataset.folder, paths.get(item), edge)

    return picture


class Tiles:
    """Tiles side by side in a matplotlib axis, in so many rows: ``most`` pixels wide, ``captions`` lines below."""

    def __init__(self, axis: Axes, picture: Picture, most: int = 84, captions: int = 1, rows: int = 1):
        self.picture, self.most, self.captions, self.rows = picture, most, captions, rows
        self.width, self.height = (int(side) for side in axis.get_window_extent().size)
        axis.set(xticks=[], yticks=[], frame_on=False)
        blank = np.zeros((self.height, self.width, 3), np.uint8)
        self.image = axis.imshow(blank, aspect="auto", animated=True, interpolation="nearest")

    def show(self, tiles: Sequence[Tile]) -> None:
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
            card = self._card(tile, edge - (8 if tile.framed else 2))
            card = ImageOps.expand(card, (edge - card.width) // 2, FRAME if tile.framed else GREY)
            sheet.paste(card, (int(middle - edge / 2), top))
            write.text((middle, top + edge + 3), tile.caption, INK, FONT, "ma", spacing=1, align="center")
        self.image.set_data(np.asarray(sheet))

    def _card(self, tile, edge):
        """The item's picture, or a card with words, blended with white where it is weak."""
        card, least = self.picture(tile.item, edge), 0.2
        if card is None:
            card, least = Image.new("RGB", (edge, edge), PAPER), 0.65  # words must stay legible
            words = _words(tile.title, tile.number, edge, edge)
            ImageDraw.Draw(card).text((edge / 2, edge / 2), words, INK, FONT, "mm", spacing=1, align="center")
        return Image.blend(Image.new("RGB", card.size, "white"), card, least + (1 - least) * tile.strength)


@gridless
def shelf(figure: Figure, picture: Picture, title: str, bottom: float, height: float, **options: int) -> Tiles:
    """`Tiles` across a figure, under a title; ``bottom`` and ``height``: shares of the figure's."""
    axis = figure.add_axes((0.01, bottom, 0.98, height))
    axis.set_title(title, fontsize=9, loc="left")
    return Tiles(axis, picture, **options)


def ranking(top: pd.DataFrame) -> str:
    """A frame of ``moved_ranks`` as HTML: titles with what they were before."""
    return "; ".join(f"{row.rank}. {html.escape(row.title)} ({_movement(row)})" for row in top.itertuples())


def top_tiles(top: pd.DataFrame, shown: Collection[str] | None = None) -> list[Tile]:
    """Tiles of a frame of ``moved_ranks``; framed: what was not among as many before. ``shown``: items with picture."""
    before = lambda row: (f"{row.rank}\n{_movement(row)}", not 0 < row.before <= len(top))
    there = lambda item: item if shown is None or item in shown else None
    return [Tile(there(row.item), row.title, *before(row)) for row in top.itertuples()]


def _movement(row):
    return "same" if row.before == row.rank else f"was {row.before}" if row.before else "new"


@lru_cache(maxsize=4000)
def _words(title, number, width, height):
    """What a card of so many pixels says: its title in lines of whole words, else its number, else a cut title."""
    lines = wrap(title, max(width // 6, 1), break_long_words=False, break_on_hyphens=False)
    long = [line for line in lines if FONT.getlength(line) > width]
    if not long and len(lines) * LINE <= height:
        return "\n".join(lines)
    if number is not None:
        return str(number)
    short = [line[: width // 6 - 1] + "…" if line in long else line for line in lines]
    return "\n".join(short[: height // LINE]) if width >= 3 * LINE else ""
