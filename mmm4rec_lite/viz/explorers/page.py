"""The decay-mask explorer as one HTML file, without Python and network: ``decay_mask.html`` (``decay.explore`` in
JavaScript) with the histories, their pictures, the heads and the colours filled in."""

import base64
import json
import mimetypes
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from mmm4rec_lite.analysis.decay import LOG_MEAN, LOG_STD
from mmm4rec_lite.data import Dataset
from mmm4rec_lite.evaluation import user_history
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.files import atomic

SHOWN = ["scarves-u00036", "lamps-u00020", "bags-u00008", "cushions-u00010"]  # users of data_samples/store
# within the start values of a fresh model (``model.initialise``), but for the first one's delta
HEADS = [
    {"name": "1: minds gaps", "A": -2.0, "base": 0.1, "delta": 3.0},
    {"name": "2: forgets quickly", "A": -12.0, "base": 0.1, "delta": 1.0},
    {"name": "3: middling", "A": -4.0, "base": 0.05, "delta": 1.0},
    {"name": "4: forgets slowly", "A": -1.0, "base": 0.02, "delta": 1.0},
]
MAX_ITEMS = 24  # of a history: more cells cannot be told apart on a telephone


def histories(dataset: Dataset, users: Iterable[str] = SHOWN) -> list[dict[str, Any]]:
    """What the page shows of these users: titles, gaps (seconds), pictures (None or ``data:``) of the latest items."""
    found = []
    for user in users:
        own = user_history(dataset, user).tail(MAX_ITEMS)
        gaps = own["timestamp"].diff().fillna(0).astype(int).tolist()
        about = dict(name=f"{user}: {len(own)} items in {sum(gaps) / 86_400:.3g} days", titles=own["title"].tolist())
        pictures = [_address(dataset.folder, image) for image in own["image"]]
        found.append(about | dict(gaps=gaps, pictures=pictures, demo="store" in dataset.info))
    return found


def _address(folder, image):
    if not isinstance(image, str):
        return None
    kind = mimetypes.guess_type(image)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(Path(folder or '.', image).read_bytes()).decode()}"


def write_page(path: Path, histories: Sequence[dict[str, Any]]) -> Path:
    """Write the page with these histories, whole or not at all; InputError where there is no gap to move."""
    short = not histories or any(len(one["gaps"]) < 2 for one in histories)
    refuse(short, "the decay-mask page: needs one or more histories of two or more items each")
    colours = (255 * matplotlib.colormaps["viridis"](np.linspace(0, 1, 17))[:, :3]).round().astype(int).tolist()
    data = dict(log_mean=LOG_MEAN, log_std=LOG_STD, heads=HEADS, histories=histories, colours=colours)
    filled = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")  # a title must not end the script
    page = files("mmm4rec_lite.viz.explorers").joinpath("decay_mask.html").read_text(encoding="utf-8")
    with atomic(path) as temporary:
        temporary.write_text(page.replace("__DATA__", filled), encoding="utf-8")
    return path
