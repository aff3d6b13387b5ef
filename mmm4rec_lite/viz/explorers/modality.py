"""The modality dial: take pictures or texts away from the history or from the candidates."""

from contextlib import contextmanager

import matplotlib.pyplot as plt
import torch

from mmm4rec_lite.evaluation import moved_ranks, recommend_after, user_history
from mmm4rec_lite.utils.errors import InputError
from mmm4rec_lite.viz.explorers.explorer import Explorer, choice, fixed_figure, slider, some_users
from mmm4rec_lite.viz.explorers.tiles import Tile, Tiles, pictures, ranking, top_tiles
from mmm4rec_lite.viz.style import STYLE

SETTINGS = {  # percent of items that have: picture and text in the history, picture and text among the candidates
    "all there": (100, 100, 100, 100),
    "image off": (0, 100, 0, 100),
    "text off": (100, 0, 100, 0),
    "no pictures in the history": (0, 100, 100, 100),
    "no pictures in the shop": (100, 100, 0, 100),
}
PARTS = ("history", "candidate")
DIALLED = "as dialled below"
DIALS = {
    "history_image": "history pictures",
    "history_text": "history texts",
    "candidate_image": "shop pictures",
    "candidate_text": "shop texts",
}


def modality_dial(model, dataset, features, user=None, seed=0):
    """An explorer of what the model does without pictures or texts: the top 10 with all features, and as dialled.

    A dial says which share of the items still has the feature, of those that have one; which items lose it first is
    drawn by ``seed``. What is lost is replaced as ``features`` do it for items without a picture (zeros, or another
    stand-in), a text by zeros. A model with item vectors of its own (``item_bias``) keeps those.
    """
    rows = {item: row for row, item in enumerate(features.items)}
    lost = [item for item in dataset.items["item"] if item not in rows]
    if lost or len(model.image_features) != len(dataset.items) + 1:
        raise InputError(
            f"modality_dial: model, dataset {dataset.name} and features are not of the same items; load the "
            "model with this dataset's features"
        )
    users = some_users(dataset, user)
    controls = {
        "user": choice("user", users, user or users[0]),
        "setting": choice("setting", [*SETTINGS, DIALLED], "all there"),
    }
    for key, name in DIALS.items():
        controls[key] = slider(name + " (%)", 100, 0, 100, step=5, readout=".0f")
    order = torch.randperm(len(dataset.items), generator=torch.Generator().manual_seed(seed))
    has_image = features.has_image[torch.tensor([rows[item] for item in dataset.items["item"]])]
    index = {item: i for i, item in enumerate(dataset.items["item"])}
    full = {"image": model.image_features, "text": model.text_features}
    without = {name: torch.zeros_like(table[0]) for name, table in full.items()}
    if not has_image.all():
        without["image"] = full["image"][1:][(~has_image).to(full["image"].device)][0]
    figure, draw = _view(pictures(dataset))
    cached = {}

    def kept(share, name):
        """[I] bool: the items that keep the feature; at 0 % none, at 100 % all."""
        can = has_image[order] if name == "image" else torch.ones(len(order), dtype=torch.bool)
        place = can.cumsum(0) <= round(share / 100 * int(can.sum()))
        return torch.zeros(len(order), dtype=torch.bool).scatter(0, order, place & can)

    def recommend(history, dials):
        """All items ranked; ``dials``: (part, modality) -> kept [I]."""
        tables = lambda part: {name: _replaced(full[name], dials[part, name], without[name]) for name in full}
        with torch.no_grad(), _features(model, tables("candidate")):
            candidates = model.candidates()
        with _features(model, tables("history")):
            return recommend_after(model, dataset, history, k=len(dataset.items), candidates=candidates)

    def redraw(explorer):
        if cached.get("user") != explorer.user.value:
            history = user_history(dataset, explorer.user.value)
            everything = {(part, name): kept(100, name) for part in PARTS for name in full}
            cached.update(user=explorer.user.value, history=history, before=recommend(history, everything))
        dials = {(part, name): kept(getattr(explorer, f"{part}_{name}").value, name) for part in PARTS for name in full}
        history = cached["history"]
        after, history = recommend(history, dials), history.tail(model.config.max_len)
        shown = {part: {item for item, i in index.items() if dials[part, "image"][i]} for part in PARTS}
        top, plain = moved_ranks(cached["before"], after), moved_ranks(cached["before"], cached["before"])
        draw(history, plain, top, shown)
        stay = len(set(top["item"]) & set(plain["item"]))
        return (
            f"<b>{stay} of {len(top)} stay in the top {len(top)}</b>; "
            f"{history['item'].isin(shown['history']).sum()} of {len(history)} items of the history have a "
            f"picture; as dialled: {ranking(top)}"
        )

    def preset(explorer):
        for key, share in zip(DIALS, SETTINGS.get(explorer.setting.value, ())):
            getattr(explorer, key).value = share

    def dialled(explorer):
        explorer.setting.value = DIALLED

    return Explorer(
        "what is lost without pictures or texts",
        figure,
        controls,
        redraw,
        [["user", "setting"], [*DIALS][:2], [*DIALS][2:]],
        {"setting": preset} | dict.fromkeys(DIALS, dialled),
    )


def _replaced(table, kept, stand_in):
    """A feature table [I + 1, D] where items that are not ``kept`` [I] have the row ``stand_in`` [D]."""
    lost = torch.cat([torch.zeros(1, dtype=torch.bool), ~kept]).to(table.device)
    return torch.where(lost[:, None], stand_in, table)


@contextmanager
def _features(model, tables):
    """The model over other feature tables ("image", "text"), for a while."""
    own = model.image_features, model.text_features
    model.image_features, model.text_features = tables["image"], tables["text"]
    try:
        yield
    finally:
        model.image_features, model.text_features = own


def _view(picture):
    """The figure, and a function that draws a history and two rankings into it."""
    with plt.rc_context(STYLE):
        figure = fixed_figure(9.6, 4.4)
        titles = (
            "history, oldest first; a card: its picture is missing",
            "top 10 with all features",
            "top 10 as dialled: rank now and with all features; framed: not in the top 10 above",
        )
        rows = []
        for title, (y, height) in zip(titles, ((0.73, 0.22), (0.37, 0.29), (0.01, 0.29))):
            axis = figure.add_axes([0.01, y, 0.98, height])
            axis.set_title(title, fontsize=9, loc="left")
            rows.append(Tiles(axis, picture, captions=0 if y > 0.7 else 2))

    def draw(history, plain, top, shown):
        rows[0].show(
            [
                Tile(item if item in shown["history"] else None, title)
                for item, title in zip(history["item"], history["title"])
            ]
        )
        rows[1].show([Tile(row.item, row.title, str(row.rank)) for row in plain.itertuples()])
        rows[2].show(top_tiles(top, shown["candidate"]))

    return figure, draw
