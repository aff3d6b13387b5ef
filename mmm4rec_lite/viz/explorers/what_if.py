"""What if the history were another one: edit it and see what the model would recommend."""

import math

import ipywidgets
import matplotlib.pyplot as plt
import pandas as pd

from mmm4rec_lite.evaluation import moved_ranks, recommend_after, user_history
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.explorers.explorer import Explorer, choice, fixed_figure, set_within, slider, some_users
from mmm4rec_lite.viz.explorers.tiles import Tile, Tiles, pictures, ranking, top_tiles
from mmm4rec_lite.viz.style import STYLE, span

FOUND = 50  # items that a search lists
ACROSS = 10  # items of the history side by side


def what_if(model, dataset, user=None):
    """An explorer that edits a user's history: add, drop, reorder, move in time; the top 10 and what moved.

    Moving an item up or down exchanges it with its neighbour, the times stay; the gap before an item moves it and all
    later ones. "Was" compares with the top 10 for the user's true history. Items of the history are left out, as in
    ``recommend``. Shown, and seen by the model, are the latest ``max_len`` items.
    """
    if len(model.image_features) != len(dataset.items) + 1:
        raise InputError(
            f"what_if: model and dataset {dataset.name} are not of the same items; load the model with this "
            "dataset's features"
        )
    users, window = some_users(dataset, user), model.config.max_len
    button = lambda text: ipywidgets.Button(description=text, layout={"width": "auto"})
    controls = {
        "user": choice("user", users, user or users[0]),
        "item": choice("history item", [("", 0)], 0),
        "gap": slider("gap before (hours)", 1.0, 1 / 60, 24 * 1000, log=True, readout=".3g"),
        "earlier": button("earlier"),
        "later": button("later"),
        "drop": button("drop"),
        "reset": button("reset"),
        "search": ipywidgets.Text(
            description="search",
            placeholder="part of a title",
            continuous_update=False,
            style={"description_width": "10em"},
            layout={"width": "29em"},
        ),
        "found": choice("found", [("", None)]),
        "add": button("add at the end"),
    }
    figure, draw = _view(pictures(dataset), math.ceil(window / ACROSS))
    now = {}  # user, rows: the edited history, before: the ranks of the true one

    def ranks(rows):
        return recommend_after(model, dataset, rows, k=len(dataset.items))

    def load(explorer):
        """The true history of the chosen user."""
        rows = user_history(dataset, explorer.user.value)
        now.update(rows=rows, before=ranks(rows), after=None)
        choose(explorer, len(rows) - 1)

    def choose(explorer, place):
        rows = now["rows"]
        places = range(max(len(rows) - window, 0), len(rows))
        place = min(max(place, places[0]), places[-1])
        explorer.item.options = [(f"{i + 1}. {rows['title'][i]}", i) for i in places]
        explorer.item.value = place
        seconds = rows["timestamp"].diff().fillna(0)[place]
        set_within(explorer.gap, max(seconds / 3600, 1 / 60))
        explorer.gap.disabled = place == 0

    def edit(explorer, rows, place):
        now.update(rows=rows.reset_index(drop=True), after=None)
        choose(explorer, place)

    def move(by):
        def run(explorer):
            rows, place = now["rows"], explorer.item.value
            other = place + by
            if not 0 <= other < len(rows):
                raise InputError("this item is the first or the last already; choose another")
            order = list(range(len(rows)))
            order[place], order[other] = other, place
            edit(explorer, rows.iloc[order].assign(timestamp=rows["timestamp"].to_numpy()), other)

        return run

    def drop(explorer):
        if len(now["rows"]) == 1:
            raise InputError("a history needs one item at least; add another before this one is dropped")
        edit(explorer, now["rows"].drop(index=explorer.item.value), explorer.item.value - 1)

    def regap(explorer):
        rows, place = now["rows"].copy(), explorer.item.value
        change = round(3600 * explorer.gap.value) - (rows["timestamp"][place] - rows["timestamp"][max(place - 1, 0)])
        if place:
            rows.loc[place:, "timestamp"] += change
        now.update(rows=rows, after=None)

    def find(explorer):
        words = explorer.search.value.lower().split()
        titles = dataset.items["title"].str.lower()
        hits = dataset.items[[all(word in title for word in words) for title in titles]].head(FOUND) if words else []
        if words and not len(hits):
            raise InputError(f"no title has {explorer.search.value!r}; search for a part of one")
        explorer.found.options = list(zip(hits["title"], hits["item"])) if words else [("", None)]
        explorer.found.index = 0

    def add(explorer):
        if explorer.found.value is None:
            raise InputError("nothing to add; search for an item first")
        rows = now["rows"]
        item = dataset.items.set_index("item", drop=False).loc[explorer.found.value]
        later = rows["timestamp"].diff().median() if len(rows) > 1 else 86400
        new = {
            "item": item["item"],
            "title": item["title"],
            "image": item["image"],
            "timestamp": rows["timestamp"].iloc[-1] + int(later),
        }
        edit(explorer, pd.concat([rows, pd.DataFrame([new])]), len(rows))

    def redraw(explorer):
        if not now:
            with explorer.held():
                load(explorer)
        if now["after"] is None:
            now["after"] = ranks(now["rows"])
        top = moved_ranks(now["before"], now["after"])
        gaps = now["rows"]["timestamp"].diff()
        draw(now["rows"].assign(gap=gaps).tail(window), explorer.item.value, top)
        return "<b>top 10:</b> " + ranking(top)

    actions = {
        "user": load,
        "reset": load,
        "item": lambda explorer: choose(explorer, explorer.item.value),
        "gap": regap,
        "earlier": move(-1),
        "later": move(1),
        "drop": drop,
        "search": find,
        "add": add,
    }
    rows = [["user"], ["item", "gap"], ["earlier", "later", "drop", "reset"], ["search", "found", "add"]]
    return Explorer("what if the history were another one", figure, controls, redraw, rows, actions)


def _view(picture, rows):
    """The figure, a history of so many rows above a ranking of one, and a function that draws both into it."""
    with plt.rc_context(STYLE):
        height = 1.25 * (rows + 1) + 0.6
        figure = fixed_figure(9.6, height)
        past = Tiles(figure.add_axes([0.01, 1.6 / height, 0.98, 1.25 * rows / height]), picture, rows=rows)
        best = Tiles(figure.add_axes([0.01, 0.05 / height, 0.98, 1.25 / height]), picture, captions=2)
        for tiles, title in (
            (past, "history, oldest first; under it: the gap before the item; framed: chosen"),
            (best, "top 10: rank now and before; framed: not in the top 10 before"),
        ):
            tiles.axis.set_title(title, fontsize=9, loc="left")

    def draw(rows, chosen, top):
        past.show(
            [
                Tile(row.item, row.title, "+" + span(row.gap) if row.Index else "first", row.Index == chosen)
                for row in rows.itertuples()
            ]
        )
        best.show(top_tiles(top))

    return figure, draw
