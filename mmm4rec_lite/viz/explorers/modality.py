"""The modality dial: take pictures or texts away from the history or from the candidates."""

from contextlib import contextmanager
from typing import Any

import torch

from mmm4rec_lite.data import Dataset
from mmm4rec_lite.evaluation import moved_ranks, recommend_after, user_history
from mmm4rec_lite.features import Features
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.viz.explorers.explorer import Explorer, check_items, choice, fixed_figure, slider, user_choice
from mmm4rec_lite.viz.explorers.tiles import Tile, pictures, ranking, shelf, top_tiles

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


def modality_dial(
    model: MMM4Rec, dataset: Dataset, features: Features, user: str | None = None, seed: int = 0
) -> Explorer:
    """An explorer of what the model does without pictures or texts: the top 10 with all features, and as dialled.

    A dial says which share of the items still has the feature, of those that have one; which items lose it first is
    drawn by ``seed``. What is lost is replaced as ``features`` do it for items without a picture (zeros, or another
    stand-in), a text by zeros. A model with item vectors of its own (``item_bias``) keeps those.
    """
    check_items("modality_dial", model, dataset, features)
    controls = {"user": user_choice(dataset, user), "setting": choice("setting", [*SETTINGS, DIALLED], "all there")}
    for key, name in DIALS.items():
        controls[key] = slider(name + " (%)", 100, 0, 100, step=5, readout=".0f")
    order = torch.randperm(len(dataset.items), generator=torch.Generator().manual_seed(seed))
    has_image = features.catalogue(dataset.items["item"]).has_image[1:]
    full: dict[str, Any] = {"image": model.image_features, "text": model.text_features}
    without = {name: torch.zeros_like(table[0]) for name, table in full.items()}
    if not has_image.all():
        without["image"] = full["image"][1:][(~has_image).to(full["image"].device)][0]
    figure, picture = fixed_figure(4.4), pictures(dataset)
    past = shelf(figure, picture, "history, oldest first; a card: its picture is missing", 0.73, 0.22, captions=0)
    best = shelf(figure, picture, "top 10 with all features", 0.37, 0.29, captions=2)
    title = "top 10 as dialled: rank now and with all features; framed: not in the top 10 above"
    lost = shelf(figure, picture, title, 0.01, 0.29, captions=2)
    now: dict[str, Any] = {}  # history: of the chosen user; before: all items ranked with all features

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

    def dialled(share):
        """``share``: (part, modality) -> percent."""
        return {(part, name): kept(share(f"{part}_{name}"), name) for part in PARTS for name in full}

    def load(explorer):
        history = user_history(dataset, explorer.user.value)
        now.update(history=history, before=recommend(history, dialled(lambda dial: 100)))

    def redraw(explorer):
        dials = dialled(lambda dial: getattr(explorer, dial).value)
        after, history = recommend(now["history"], dials), now["history"].tail(model.config.max_len)
        pictured = {part: set(dataset.items["item"][dials[part, "image"].numpy()]) for part in PARTS}
        top, plain = moved_ranks(now["before"], after), moved_ranks(now["before"], now["before"])
        titles = zip(history["item"], history["title"])
        past.show([Tile(item if item in pictured["history"] else None, title) for item, title in titles])
        best.show([Tile(row.item, row.title, str(row.rank)) for row in plain.itertuples()])
        lost.show(top_tiles(top, pictured["candidate"]))
        stay = len(set(top["item"]) & set(plain["item"]))
        return (
            f"<b>{stay} of {len(top)} stay in the top {len(top)}</b>; "
            f"{history['item'].isin(pictured['history']).sum()} of {len(history)} items of the history have a "
            f"picture; as dialled: {ranking(top)}"
        )

    def preset(explorer):
        for key, share in zip(DIALS, SETTINGS.get(explorer.setting.value, ())):
            getattr(explorer, key).value = share

    def by_hand(explorer):
        explorer.setting.value = DIALLED

    rows = [["user", "setting"], [*DIALS][:2], [*DIALS][2:]]
    actions = {"user": load, "setting": preset} | dict.fromkeys(DIALS, by_hand)
    return Explorer("what is lost without pictures or texts", figure, controls, redraw, rows, actions, load)


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
