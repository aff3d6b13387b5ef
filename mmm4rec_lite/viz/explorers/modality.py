"""The modality dial: take pictures or texts away from the history or from the candidates."""

from contextlib import contextmanager
from typing import Any

import torch

from mmm4rec_lite.data import Dataset
from mmm4rec_lite.evaluation import moved_ranks, recommend_after, user_history
from mmm4rec_lite.features import Features
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.viz.explorers.explorer import Explorer, check_items, choice, slider, user_choice
from mmm4rec_lite.viz.explorers.tiles import Tile, pictures, ranking, shelf, top_tiles
from mmm4rec_lite.viz.style import empty_figure

DIALS = {"history_image": "history pictures", "history_text": "history texts"}
DIALS |= {"candidate_image": "shop pictures", "candidate_text": "shop texts"}
SETTINGS = {  # percent of items that have it, in the order of the dials
    "all there": (100, 100, 100, 100),
    "image off": (0, 100, 0, 100),
    "text off": (100, 0, 100, 0),
    "no pictures in the history": (0, 100, 100, 100),
    "no pictures in the shop": (100, 100, 0, 100),
}
DIALLED = "as dialled below"


def modality_dial(
    model: MMM4Rec, dataset: Dataset, features: Features, user: str | None = None, seed: int = 0
) -> Explorer:
    """An explorer of what the model does without pictures or texts: the top 10 with all features, and as dialled.

    A dial: the share of items that keep a feature, of those (of the history, or of the shop) that have it; ``seed``
    draws who loses it first. A lost picture is what it is in ``features`` where there is none, a lost text zeros;
    ``item_bias`` stays.
    """
    check_items("modality_dial", model, dataset, features)
    rows = [{"user": user_choice(dataset, user), "setting": choice("setting", [*SETTINGS, DIALLED], "all there")}]
    dials = {key: slider(f"{name} (%)", 100, 0, 100, 5, ".0f") for key, name in DIALS.items()}
    rows += [{key: dials[key] for key in [*DIALS][place : place + 2]} for place in (0, 2)]
    order = torch.randperm(len(dataset.items), generator=torch.Generator().manual_seed(seed))
    has = {"image": features.catalogue(dataset.items["item"]).has_image[1:]}
    has["text"] = torch.ones_like(has["image"])
    full = {"image": model.image_features, "text": model.text_features}
    device, without = full["image"].device, {name: torch.zeros_like(table[0]) for name, table in full.items()}
    if not has["image"].all():
        without["image"] = full["image"][1:][(~has["image"]).to(device)][0]
    figure, picture = empty_figure(9.6, 4.4, "none"), pictures(dataset)
    past = shelf(figure, picture, "history, oldest first; a card: its picture is missing", 0.73, 0.22, captions=0)
    best = shelf(figure, picture, "top 10 with all features", 0.37, 0.29, captions=2)
    title = "top 10 as dialled: rank now and with all features; framed: not in the top 10 above"
    lost = shelf(figure, picture, title, 0.01, 0.29, captions=2)
    now: dict[str, Any] = {}  # history: of the chosen user; before: all items ranked with all features

    def kept(dial, share):
        """[I + 1, 1] bool: the rows of a table that keep their feature; at 0 % only that of padding, at 100 % all."""
        can = has[dial.partition("_")[2]][order]
        if dial.startswith("history"):  # of the history's own items
            can = can & torch.tensor(dataset.items["item"].isin(now["history"]["item"]).tolist())[order]
        stay = can & (can.cumsum(0) <= round(share / 100 * int(can.sum())))
        return torch.ones(len(order) + 1, dtype=torch.bool).scatter(0, order + 1, stay)[:, None]

    def recommend(shares):
        """All items ranked, and who keeps what; ``shares``: dial -> percent."""
        keep = {dial: kept(dial, share) for dial, share in shares.items()}
        tables = lambda part: [full[name].where(keep[f"{part}_{name}"].to(device), without[name]) for name in full]
        with torch.no_grad(), _features(model, *tables("candidate")):
            candidates = model.candidates()
        with _features(model, *tables("history")):
            return recommend_after(model, dataset, now["history"], k=len(dataset.items), candidates=candidates), keep

    def load(explorer):
        now["history"] = user_history(dataset, explorer.user.value)
        now["before"], _ = recommend(dict.fromkeys(DIALS, 100))

    def redraw(explorer):
        after, keep = recommend({key: dial.value for key, dial in dials.items()})
        history, before = now["history"].tail(model.config.max_len), now["before"]
        pictured = lambda part: set(dataset.items["item"][keep[f"{part}_image"][1:, 0].numpy()])
        own, top, plain = pictured("history"), moved_ranks(before, after), moved_ranks(before, before)
        items = [item if item in own else None for item in history["item"]]
        past.show([Tile(item, title) for item, title in zip(items, history["title"])])
        best.show([Tile(row.item, row.title, str(row.rank)) for row in plain.itertuples()])
        lost.show(top_tiles(top, pictured("candidate")))
        stay = f"<b>{top['item'].isin(plain['item']).sum()} of {len(top)} stay in the top {len(top)}</b>"
        there = f"{len(items) - items.count(None)} of {len(history)} items of the history have a picture"
        return f"{stay}; {there}; as dialled: {ranking(top)}"

    def preset(explorer):
        for dial, share in zip(dials.values(), SETTINGS.get(explorer.setting.value, ())):
            dial.value = share

    by_hand = lambda explorer: explorer.setting.set_trait("value", DIALLED)
    actions = {"start": load, "user": load, "setting": preset} | dict.fromkeys(DIALS, by_hand)
    return Explorer("what is lost without pictures or texts", figure, rows, redraw, actions)


@contextmanager
def _features(model, image, text):
    """The model over other feature tables, for a while."""
    own = model.image_features, model.text_features
    model.image_features, model.text_features = image, text
    try:
        yield
    finally:
        model.image_features, model.text_features = own
