"""What the demo store's customers see: pictures drawn with numpy alone, and words."""

from pathlib import Path

import numpy as np
import pandas as pd

from mmm4rec_lite.utils.optional import extra

SHAPES = (("round", "circular"), ("square", "boxy"), ("triangular", "three-cornered"), ("ring-shaped", "hooped"))
COLOURS = (("red", "scarlet"), ("green", "emerald"), ("blue", "navy"), ("yellow", "golden"))
INKS = np.array([(200, 48, 40), (52, 148, 72), (44, 92, 184), (228, 188, 36)])
BRANDS = np.array(["Alder", "Birk", "Corvo", "Dunne", "Ekko", "Fjord", "Grove", "Halden"])
DEPARTMENTS = "Lighting Kitchen Furniture Fashion Decoration Textiles Kitchen Decoration Textiles Fashion".split()


def words(shelf: pd.DataFrame, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """Title and text for text_shape and text_colour; synonyms and brands tell nothing; ``number``: the domain's."""
    domain, counts = shelf["domain"].iloc[0], (len(BRANDS), 2, 2)
    brand, noun, hue = ((count * rng.random(len(shelf))).astype(int) for count in counts)
    shape, colour = np.array(SHAPES)[shelf["text_shape"], noun], np.array(COLOURS)[shelf["text_colour"], hue]
    category, place = np.array(SHAPES)[shelf["text_shape"], 0], f"{DEPARTMENTS[number]}, {domain}"
    single = "scarf" if domain == "scarves" else domain.removesuffix("s")
    title = [f"{b} {c} {s} {single}" for b, c, s in zip(BRANDS[brand], colour, shape)]
    text = [f"{t}. {place}, {c} {domain}. Brand: {b}." for t, c, b in zip(title, category, BRANDS[brand])]
    return pd.DataFrame({"title": title, "text": text}, index=shelf.index)


def draw(shelf: pd.DataFrame, images: pd.Series, folder: Path, number: int, rng: np.random.Generator) -> None:
    """Write the pictures for picture_shape and picture_colour as ``images`` (paths below ``folder``, or None).

    Place, size, tilt, shade and pattern (plain, striped, dotted) are drawn by ``rng`` and tell nothing.
    """
    with extra("data"):
        from PIL import Image

    nuisance = rng.random((len(shelf), 7))
    for shape, colour, image, u in zip(shelf["picture_shape"], shelf["picture_colour"], images, nuisance):
        if image is not None:
            (folder / image).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(shape, colour, number, u)).save(folder / image)


def picture(shape: int, colour: int, number: int, u: np.ndarray) -> np.ndarray:
    """One picture, uint8 [64, 64, 3], on a pale ground whose tint tells the domain; ``u`` [7]: what tells nothing."""
    y, x = (np.mgrid[:64, :64] + 0.5) / 64 * 2 - 1  # -1 to 1, y downwards
    angle = (u[0] - 0.5) * 0.7
    x, y = x - 0.3 * (u[1] - 0.5), y - 0.3 * (u[2] - 0.5)
    x, y = (x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)) / (0.5 + 0.2 * u[3])
    ground = 232 + 10 * np.sin(number * np.array([1.0, 2.3, 4.1]))
    ink, pattern, wave = INKS[colour] * (0.8 + 0.3 * u[4]), int(3 * u[5]), 4 + 4 * u[6]
    stripes, dots = np.sin(wave * np.pi * x), np.sin(wave * np.pi * x) * np.sin(wave * np.pi * y)
    light = stripes > 0.5 if pattern == 1 else (dots > 0.5) & (pattern == 2)
    paint = np.where(light[..., None], 0.5 * ink + 120, ink)
    radius, square, triangle = np.hypot(x, y), np.maximum(abs(x), abs(y)) < 0.9, (y < 0.8) & (y > 2 * abs(x) - 1)
    inside = (radius < 1, square, triangle, (radius < 1) & (radius > 0.55))[shape]  # in the order of SHAPES
    return np.where(inside[..., None], paint, ground).clip(0, 255).astype(np.uint8)
