"""A trained MMM4Rec and some histories as one page in which it runs: ``explain``."""

import base64
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mmm4rec_lite.data import Dataset
from mmm4rec_lite.data.pictures import open_picture
from mmm4rec_lite.evaluation import user_history
from mmm4rec_lite.models.base import Recommender
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.runs import Run
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.viz.live.assets import packed, read, write_page

MODULES = "decay drawing mask model trained state blocks history map panels ranking tour live".split()
MEGABYTE, MOST_BYTES = 1e6, 5_850_000  # of a page's data; its own modules take 0.13 MB
MOST_ITEMS, MOST_USERS = 400, 12
PICTURE = 64  # pixels, the longer side
REFUSED = {  # switches that the page does not compute, and why
    "query_time": "it needs the time of a request, which a history does not have",
    "quirks.target_time": "it reads the time of what comes next",
    "quirks.pad_item": "it ranks padding among the items",
}


def check_shown(model: Recommender, what: str = "explain") -> MMM4Rec:
    """The model, if the page computes what it computes; InputError by name of the switch otherwise."""
    refuse(not isinstance(model, MMM4Rec), f"{what}: shows MMM4Rec (mmm4rec, mmm4rec+id); this run is of another model")
    assert isinstance(model, MMM4Rec)
    config = asdict(model.config)
    for switch, why in REFUSED.items():
        on = config["quirks"][switch[7:]] if "." in switch else config[switch]
        refuse(on, f"{what}: a model with {switch} is not shown: {why}; train one without")
    return model


@torch.no_grad()
def model_data(model: MMM4Rec, rows: Sequence[int]) -> dict[str, Any]:
    """Config and tensors of a model over some items, by their rows in the catalogue (from 1).

    ``items.text`` and ``items.image`` are the adapted vectors (eq. 2), ``bias_...`` what of them is the item's own.
    """
    kept = torch.as_tensor(list(rows))
    per_item = (*model.item_specific, *(["fusion"] if model.config.fusion == "item" else []))
    left = ("adapter_image.weight", "adapter_text.weight", *per_item)
    state = {name: tensor for name, tensor in model.state_dict().items() if name not in left}
    state |= {name: getattr(model, name)[kept] for name in per_item if hasattr(model, name)}
    state |= {f"items.{name}": table for name, table in model.embed(kept)._asdict().items()}
    return dict(config=asdict(model.config), tensors={name: packed(tensor) for name, tensor in state.items()})


def chosen_items(dataset: Dataset, histories: Sequence[pd.DataFrame], most: int) -> list[int]:
    """Rows of the items that a page holds, in the catalogue's order: those of the histories, then the most frequent."""
    own = dict.fromkeys(item for history in histories for item in history["item"])
    told = f"the histories hold {len(own)} items, --items allows {most}; take fewer users or more items"
    refuse(len(own) > most, f"explain: {told}")
    often = dataset.interactions["item"].value_counts(sort=True).index
    rest = [item for item in [*often, *dataset.items["item"]] if item not in own]
    kept = {*own, *list(dict.fromkeys(rest))[: most - len(own)]}
    return [row for row, item in enumerate(dataset.items["item"], 1) if item in kept]


def explain(
    run: Run, dataset: Dataset, users: Sequence[str], path: Path, items: int = MOST_ITEMS, images: bool = True
) -> str:
    """Write the page of a run over its dataset; returns what it holds, in one line.

    Parameters
    ----------
    users : whose histories it begins with, at most 12
    items : at most so many items of the catalogue, those of the histories first, then the most frequent
    images : False leaves the pictures out

    Raises
    ------
    InputError : for a model that the page does not compute, too many users or items, or a page above 6 MB
    """
    model = check_shown(run.model)
    refuse(not users, "explain: whose histories? name one user or more (--users)")
    refuse(len(set(users)) > MOST_USERS, f"explain: {len(set(users))} users; a page shows at most {MOST_USERS}")
    whole = {user: user_history(dataset, user) for user in dict.fromkeys(users)}
    own = {user: history.tail(model.window) for user, history in whole.items()}
    rows = chosen_items(dataset, list(own.values()), items)
    table = dataset.items.iloc[np.array(rows) - 1]
    place = {item: i for i, item in enumerate(table["item"])}
    found = [picture(dataset.folder, image) if images else None for image in table["image"]]
    names = zip(table["item"].astype(str), table["title"].astype(str), found)
    histories = [
        dict(user=str(user), items=[place[item] for item in one["item"]], times=one["timestamp"].tolist())
        | dict(older=[place[item] for item in whole[user]["item"][: -len(one)].unique() if item in place])
        for user, one in own.items()
    ]
    data = model_data(model, rows) | dict(about=_about(run, dataset, len(rows)), histories=histories)
    data["items"] = [dict(id=item, title=title, picture=image) for item, title, image in names]
    _check_size(data)
    _write(path, data)
    left = "; the others are not ranked on the page (--items takes more)" if len(rows) < len(dataset.items) else ""
    counts = f"{len(histories)} user{'s' * (len(histories) > 1)}, {len(rows)} of {len(dataset.items)} items"
    return f"{path}: {counts}, {path.stat().st_size / MEGABYTE:.1f} MB{left}"


def rewrite(page: Path | str, to: Path | str | None = None) -> Path:
    """An older page with its own data and today's style and modules."""
    found = re.search(r'id="data">(.*?)</script>', Path(page).read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise InputError(f"{page}: not a page of `explain`")
    return _write(Path(to or page), json.loads(found[1]))


def _write(path, data):
    return write_page(path, read("live.html"), ["page", "mask", "live"], MODULES, data)


def _about(run, dataset, kept):
    """Whose model it is: what the page says beside its numbers."""
    record = run.record
    keys = "system dataset subset scale protocol seed stage date split n_parameters n_test_rows epochs".split()
    told = {key: record.get(key) for key in keys} | dict(kept=kept, items=len(dataset.items))
    told |= {"ndcg": record.get("ndcg@10"), "recall": record.get("recall@10"), "made_up": "store" in dataset.info}
    return told


def _check_size(data):
    size = lambda part: len(str(part))
    weights = sum(size(tensor["data"]) for tensor in data["tensors"].values())
    pictures = sum(len(item["picture"] or "") for item in data["items"])
    told = f"weights and vectors {weights / MEGABYTE:.1f} MB, pictures {pictures / MEGABYTE:.1f} MB"
    advice = "leave the pictures out (--no-images), take fewer items (--items) or a smaller model"
    refuse(len(json.dumps(data)) > MOST_BYTES, f"explain: the page would be above 6 MB ({told}); {advice}")


def picture(folder: Path | None, image: Any) -> str | None:
    """A small JPEG as a ``data:`` address, on white; None where there is no picture or it cannot be read."""
    if not isinstance(image, str):
        return None
    try:
        shown, file = open_picture(image, folder, PICTURE), io.BytesIO()
    except InputError:
        return None
    shown.save(file, "jpeg", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def first_users(dataset: Dataset, count: int = 6) -> list[str]:
    """Users to show where none are named: the first of those with five interactions or more, or else two, or one."""
    counts = dataset.interactions["user"].value_counts(sort=False)
    refuse(counts.empty, f"{dataset.name} has no users")
    least = next(least for least in (5, 2, 1) if counts.max() >= least)
    return list(counts.index[counts >= least][:count])
