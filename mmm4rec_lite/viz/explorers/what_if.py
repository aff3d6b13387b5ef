"""What if the history were another one: edit it and see what the model would recommend."""

import math
from typing import Any

import ipywidgets
import pandas as pd

from mmm4rec_lite.data import Dataset
from mmm4rec_lite.evaluation import moved_ranks, recommend_after, user_history
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.viz.explorers.explorer import WIDE, Explorer, check_items, choice, log_slider, set_within, user_choice
from mmm4rec_lite.viz.explorers.tiles import Tile, pictures, ranking, shelf, top_tiles
from mmm4rec_lite.viz.style import empty_figure, span

FOUND, ACROSS = 50, 10  # items that a search lists; items of the history side by side


def what_if(model: MMM4Rec, dataset: Dataset, user: str | None = None) -> Explorer:
    """An explorer that edits a user's history: add, drop, reorder, move in time; the top 10 and what moved.

    Exchanged items leave the times as they are; a gap moves its item and all later ones. "Was": for the true history.
    Items of the history are left out, as in ``recommend``; the model sees, and one is shown, the latest ``max_len``.
    """
    check_items("what_if", model, dataset)
    window = model.config.max_len
    button = lambda text: ipywidgets.Button(description=text, layout={"width": "auto"})
    text = ipywidgets.Text(description="search", placeholder="part of a title", continuous_update=False, **WIDE)
    gap = log_slider("gap before (hours)", 1.0, 1 / 60, 24 * 1000)
    controls = [
        {"user": user_choice(dataset, user)},
        {"item": choice("history item", [("", 0)], 0), "gap": gap},
        {name: button(name) for name in ("earlier", "later", "drop", "reset")},
        {"search": text, "found": choice("found", [("", None)]), "add": button("add at the end")},
    ]
    lines, picture = math.ceil(window / ACROSS), pictures(dataset)
    height = 1.25 * (lines + 1) + 0.6  # inches
    figure = empty_figure(9.6, height, "none")
    title = "history, oldest first; under it: the gap before the item; framed: chosen"
    past = shelf(figure, picture, title, 1.6 / height, 1.25 * lines / height, rows=lines)
    title = "top 10: rank now and before; framed: not in the top 10 before"
    best = shelf(figure, picture, title, 0.05 / height, 1.25 / height, captions=2)
    now: dict[str, Any] = {}  # rows: the edited history; before: the ranks of the true one; after: of the edited one
    ranks = lambda rows: recommend_after(model, dataset, rows, k=len(dataset.items))

    def load(explorer):
        rows = user_history(dataset, explorer.user.value)
        now["before"] = ranks(rows)
        edit(explorer, rows, len(rows) - 1)

    def choose(explorer, place):
        rows = now["rows"]
        places = range(max(len(rows) - window, 0), len(rows))
        place = min(max(place, places[0]), places[-1])
        explorer.item.options = [(f"{i + 1}. {rows['title'][i]}", i) for i in places]
        explorer.item.value = place
        set_within(explorer.gap, max(rows["timestamp"].diff().fillna(0)[place] / 3600, 1 / 60))
        explorer.gap.disabled = place == 0

    def edit(explorer, rows, place):
        now.update(rows=rows.reset_index(drop=True), after=None)
        choose(explorer, place)

    def move(explorer, by):
        rows, place = now["rows"], explorer.item.value
        order, other = list(range(len(rows))), place + by
        refuse(other not in order, "this item is the first or the last already; choose another")
        order[place], order[other] = other, place
        edit(explorer, rows.iloc[order].assign(timestamp=rows["timestamp"].to_numpy()), other)

    def drop(explorer):
        refuse(len(now["rows"]) == 1, "a history needs one item at least; add another before this one is dropped")
        edit(explorer, now["rows"].drop(index=explorer.item.value), explorer.item.value - 1)

    def regap(explorer):
        rows, place = now["rows"].copy(), explorer.item.value
        if place:
            times = rows["timestamp"]
            rows.loc[place:, "timestamp"] += round(3600 * explorer.gap.value) - (times[place] - times[place - 1])
        now.update(rows=rows, after=None)

    def find(explorer):
        words, titles = explorer.search.value.lower().split(), dataset.items["title"].str.lower()
        hits = dataset.items[[all(word in title for word in words) for title in titles]].head(FOUND)
        options = list(zip(hits["title"], hits["item"])) if words else [("", None)]
        refuse(not options, f"no title has {explorer.search.value!r}; search for a part of one")
        explorer.found.options, explorer.found.index = options, 0

    def add(explorer):
        refuse(explorer.found.value is None, "nothing to add; search for an item first")
        rows = now["rows"]
        new = dataset.items.loc[dataset.items["item"] == explorer.found.value, ["item", "title", "image"]]
        later = rows["timestamp"].diff().median() if len(rows) > 1 else 86400
        new = new.assign(timestamp=rows["timestamp"].iloc[-1] + int(later))
        edit(explorer, pd.concat([rows, new]), len(rows))

    def redraw(explorer):
        if now["after"] is None:
            now["after"] = ranks(now["rows"])
        rows = now["rows"].assign(gap=now["rows"]["timestamp"].diff()).tail(window)
        below = lambda row: "+" + span(row.gap) if row.Index else "first"
        chosen = explorer.item.value
        past.show([Tile(row.item, row.title, below(row), row.Index == chosen) for row in rows.itertuples()])
        top = moved_ranks(now["before"], now["after"])
        best.show(top_tiles(top))
        return "<b>top 10:</b> " + ranking(top)

    actions = dict(start=load, user=load, reset=load, gap=regap, drop=drop, search=find, add=add)
    actions |= dict(item=lambda explorer: choose(explorer, explorer.item.value))
    actions |= dict(earlier=lambda explorer: move(explorer, -1), later=lambda explorer: move(explorer, 1))
    return Explorer("what if the history were another one", figure, controls, redraw, actions)
