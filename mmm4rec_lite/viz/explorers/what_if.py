"""What if the history were another one: edit it and see what the model would recommend."""

import math
from typing import Any

import ipywidgets
import pandas as pd

from mmm4rec_lite.data import Dataset
from mmm4rec_lite.evaluation import moved_ranks, recommend_after, user_history
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.explorers.explorer import (
    WIDE,
    Explorer,
    check_items,
    choice,
    fixed_figure,
    set_within,
    slider,
    user_choice,
)
from mmm4rec_lite.viz.explorers.tiles import Tile, pictures, ranking, shelf, top_tiles
from mmm4rec_lite.viz.style import span

FOUND = 50  # items that a search lists
ACROSS = 10  # items of the history side by side


def what_if(model: MMM4Rec, dataset: Dataset, user: str | None = None) -> Explorer:
    """An explorer that edits a user's history: add, drop, reorder, move in time; the top 10 and what moved.

    Moving an item up or down exchanges it with its neighbour, the times stay; the gap before an item moves it and all
    later ones. "Was" compares with the top 10 for the user's true history. Items of the history are left out, as in
    ``recommend``. Shown, and seen by the model, are the latest ``max_len`` items.
    """
    check_items("what_if", model, dataset)
    window = model.config.max_len
    button = lambda text: ipywidgets.Button(description=text, layout={"width": "auto"})
    search = dict(description="search", placeholder="part of a title", continuous_update=False)
    controls = {
        "user": user_choice(dataset, user),
        "item": choice("history item", [("", 0)], 0),
        "gap": slider("gap before (hours)", 1.0, 1 / 60, 24 * 1000, log=True, readout=".3g"),
        "earlier": button("earlier"),
        "later": button("later"),
        "drop": button("drop"),
        "reset": button("reset"),
        "search": ipywidgets.Text(**search, **WIDE),
        "found": choice("found", [("", None)]),
        "add": button("add at the end"),
    }
    rows, picture = math.ceil(window / ACROSS), pictures(dataset)
    height = 1.25 * (rows + 1) + 0.6  # inches
    figure = fixed_figure(height)
    title = "history, oldest first; under it: the gap before the item; framed: chosen"
    past = shelf(figure, picture, title, 1.6 / height, 1.25 * rows / height, rows=rows)
    title = "top 10: rank now and before; framed: not in the top 10 before"
    best = shelf(figure, picture, title, 0.05 / height, 1.25 / height, captions=2)
    now: dict[str, Any] = {}  # rows: the edited history; before: the ranks of the true one; after: of the edited one

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
        new = dataset.items.loc[dataset.items["item"] == explorer.found.value, ["item", "title", "image"]]
        later = rows["timestamp"].diff().median() if len(rows) > 1 else 86400
        new = new.assign(timestamp=rows["timestamp"].iloc[-1] + int(later))
        edit(explorer, pd.concat([rows, new]), len(rows))

    def redraw(explorer):
        if now["after"] is None:
            now["after"] = ranks(now["rows"])
        top = moved_ranks(now["before"], now["after"])
        rows = now["rows"].assign(gap=now["rows"]["timestamp"].diff()).tail(window)
        below = lambda row: "+" + span(row.gap) if row.Index else "first"
        chosen = explorer.item.value
        past.show([Tile(row.item, row.title, below(row), row.Index == chosen) for row in rows.itertuples()])
        best.show(top_tiles(top))
        return "<b>top 10:</b> " + ranking(top)

    actions = dict(user=load, reset=load, item=lambda explorer: choose(explorer, explorer.item.value), gap=regap)
    actions |= dict(earlier=move(-1), later=move(1), drop=drop, search=find, add=add)
    layout = [["user"], ["item", "gap"], ["earlier", "later", "drop", "reset"], ["search", "found", "add"]]
    return Explorer("what if the history were another one", figure, controls, redraw, layout, actions, load)
