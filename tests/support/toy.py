"""Makes data_samples/toy, a made-up dataset of lamps and mugs: ``python tests/support/toy.py`` writes it anew."""

import random
import tempfile
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw

from mmm4rec_lite.data import Dataset

FOLDER = Path(__file__).parents[2] / "data_samples" / "toy"
KINDS = {
    "lamps": ["desk", "floor", "wall", "bedside", "garden", "string"],
    "mugs": ["tea", "coffee", "cocoa", "travel", "soup", "beer"],
}
COLOURS = {"red": "#c03028", "green": "#3a9048", "blue": "#3060b8", "yellow": "#e0b828", "grey": "#808488"}
HOUR, DAY, START = 3600, 86400, 1_700_000_000


def make_toy(folder, seed=0):
    """The dataset with its pictures in ``folder``: 60 items, 80 users, a user's kinds follow one another in a circle.

    After a pause below an hour comes the next kind, after a longer one the next but one (in one case of ten
    any kind); within a kind, some colours are liked more.
    """
    draw = random.Random(seed)
    shelf, items = {}, []
    bare = draw.sample(range(60), 12)  # these have no picture
    for domain, kinds in KINDS.items():
        for kind in kinds:
            for colour in COLOURS:
                item = f"{domain[0]}{len(items):02}"
                shelf.setdefault((domain, kind), []).append(item)
                title = f"{colour.capitalize()} {kind} {domain[:-1]}"
                image = None if len(items) in bare else f"images/{item}.png"
                if image:
                    draw_item(Path(folder, image), domain, kinds.index(kind), COLOURS[colour])
                items.append((item, title, f"{title}. One of our {kind} {domain}, in {colour}.", image, domain, kind))
    rows = []
    for user in range(80):
        for domain in KINDS if user % 8 == 7 else [list(KINDS)[user % 2]]:  # every eighth user buys both
            kinds = KINDS[domain]
            kind, time = draw.randrange(6), START + int(draw.random() * 90 * DAY)
            for _ in range(draw.randrange(8, 17)):
                item = draw.choices(shelf[domain, kinds[kind]], weights=[4, 3, 3, 2, 2])[0]
                rows.append((f"user{user:02}", item, time))
                short = draw.random() < 0.5
                pause = 1 + int(draw.random() ** 3 * HOUR / 4) if short else int(DAY * draw.lognormvariate(1, 1)) + HOUR
                if draw.random() < 0.1:
                    pause = 0  # a tie
                kind = draw.randrange(6) if draw.random() < 0.1 else (kind + (1 if pause < HOUR else 2)) % 6
                time += pause
    columns = ["item", "title", "text", "image", "domain", "categories"]
    return Dataset.from_frames(
        "toy",
        pd.DataFrame(rows, columns=["user", "item", "timestamp"]),
        pd.DataFrame(items, columns=columns).astype({"image": object}),
        folder,
        info={"source": "made up by tests/support/toy.py, seed 0", "terms": "free for any use"},
    )


def draw_item(path, domain, kind, colour):
    """A lamp or a mug of 32 x 32 pixels, its proportions by kind."""
    picture = Image.new("RGB", (32, 32), "white")
    pen, height = ImageDraw.Draw(picture), 8 + 3 * kind
    if domain == "lamps":
        pen.rectangle((15, 4, 16, 30 - kind), fill="black")
        pen.polygon([(12, 2), (19, 2), (26 - kind, height), (5 + kind, height)], fill=colour)
    else:
        pen.ellipse((18, 30 - height // 2 - 5, 28, 30 - height // 2 + 5), outline=colour, width=2)
        pen.rectangle((6, 30 - height, 22, 30), fill=colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        make_toy(work).save(FOLDER)
