"""Makes data_samples/own_shop, a made-up stationer: ``python tests/support/own_shop.py`` writes it anew."""

import csv
import random
from datetime import datetime, timedelta
from pathlib import Path

from PIL import Image, ImageDraw

FOLDER = Path(__file__).parents[2] / "data_samples" / "own_shop"
PROJECTS = {  # what is bought together, in this order
    "letters": ["fountain pen", "ink bottle", "letter paper", "envelopes"],
    "journal": ["dotted journal", "washi tape", "stickers", "fineliner"],
    "study": ["lined notebook", "pencil case", "highlighter", "desk pad"],
}
COLOURS = {"poppy": "#c8372d", "fjord": "#2f62b0", "moss": "#4b8b3b", "lilac": "#8d63b8", "saffron": "#e0a526"}
COLOURS["slate"] = "#6d757d"
KINDS = [kind for project in PROJECTS.values() for kind in project]


def make_shop(folder, customers=240, seed=0):
    """``orders.csv`` and ``articles.csv`` in ``folder``, and ``pictures``: 72 articles, 62 of them with a picture.

    A customer has a favourite colour and buys project by project, the next thing of it within the same visit; the next
    visit, days or weeks later, mostly begins another project. As in real tables, some lines cannot be used.
    """
    draw, shelf = random.Random(seed), {}
    articles = []
    bare = draw.sample(range(72), 10)
    for project, kinds in PROJECTS.items():
        for kind in kinds:
            for colour, ink in COLOURS.items():
                article, name = f"S{len(articles) + 101}", f"{colour.capitalize()} {kind}"
                picture = None if len(articles) in bare else f"pictures/{article}.png"
                if picture:
                    draw_article(Path(folder, picture), kind, ink)
                articles.append((article, name, f"{kind.capitalize()} of our {colour} series.", project, picture))
                shelf[kind, colour] = article
    orders = []
    for customer in range(1, customers + 1):
        liked, time = draw.choice(list(COLOURS)), datetime(2025, 1, 2) + timedelta(hours=draw.randrange(4000))
        project, place = draw.choice(list(PROJECTS)), draw.randrange(2)
        for _ in range(draw.randrange(6, 17)):
            kind = PROJECTS[project][place] if draw.random() < 0.9 else draw.choice(KINDS)
            colour = liked if draw.random() < 0.8 else draw.choice(list(COLOURS))
            orders.append((f"C{customer:03}", shelf[kind, colour], f"{time:%Y-%m-%d %H:%M}"))
            place += 1
            if place == 4 or draw.random() < 0.2:  # the visit ends here
                time += timedelta(days=draw.randrange(2, 60), minutes=draw.randrange(600))
                project, place = draw.choice(list(PROJECTS)), 0
            else:
                time += timedelta(minutes=draw.randrange(1, 40))
    orders += [(f"C{draw.randrange(1, customers):03}", "GIFT-CARD", "2025-12-01 12:00") for _ in range(6)]
    orders += [(f"C{draw.randrange(1, customers):03}", "S101", "") for _ in range(3)]
    save(Path(folder, "articles.csv"), ["article", "name", "description", "category", "picture"], articles)
    save(Path(folder, "orders.csv"), ["customer", "article", "ordered_at"], orders)


def save(path, columns, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def draw_article(path, kind, colour):
    """A thing of 48 x 48 pixels: long ones, bottles, sheets and boxes."""
    picture = Image.new("RGB", (48, 48), "white")
    pen, at = ImageDraw.Draw(picture), KINDS.index(kind)
    if kind in ("fountain pen", "fineliner", "highlighter"):
        width = {"fountain pen": 3, "fineliner": 2, "highlighter": 5}[kind]
        pen.rectangle((24 - width, 6, 24 + width, 34), fill=colour)
        pen.polygon([(24 - width, 35), (24 + width, 35), (24, 44)], fill="#30343a")
    elif kind in ("ink bottle", "washi tape"):
        pen.ellipse((8, 12, 40, 44), fill=colour)
        pen.ellipse((17, 21, 31, 35), fill="white") if kind == "washi tape" else pen.rectangle(
            (18, 4, 30, 12), fill=colour
        )
    elif kind in ("letter paper", "dotted journal", "lined notebook", "desk pad"):
        wide = 20 if kind == "desk pad" else 14
        pen.rectangle((24 - wide, 6, 24 + wide, 42), outline=colour, width=4)
        for y in range(14, 40, 6 if kind == "lined notebook" else 9):
            pen.line((28 - wide, y, 20 + wide, y), fill=colour, width=1 + (kind == "desk pad"))
    else:
        pen.rectangle((4, 14, 44, 36), fill=colour)
        pen.line((4, 14, 24, 14 + 3 * (at % 4) + 4, 44, 14), fill="white", width=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(16).save(path, optimize=True)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    make_shop(FOLDER)
