"""The decay-mask explorer as one HTML file, without Python and network: heads are invented, or a run's own."""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from mmm4rec_lite.analysis.decay import LOG_MEAN, LOG_STD
from mmm4rec_lite.data import Dataset
from mmm4rec_lite.evaluation import user_history
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.models.registry import get_model
from mmm4rec_lite.runs import Run
from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.viz.live import assets
from mmm4rec_lite.viz.live.export import check_shown, first_users, model_data, picture

SHOWN = ["scarves-u00036", "lamps-u00020", "bags-u00008", "cushions-u00010"]  # users of data_samples/store
# within the start values of a fresh model (``model.initialise``), but for the first one's delta
HEADS = [
    {"name": "1: minds gaps", "A": -2.0, "base": 0.1, "delta": 3.0},
    {"name": "2: forgets quickly", "A": -12.0, "base": 0.1, "delta": 1.0},
    {"name": "3: middling", "A": -4.0, "base": 0.05, "delta": 1.0},
    {"name": "4: forgets slowly", "A": -1.0, "base": 0.02, "delta": 1.0},
]
MAX_ITEMS = 24  # of a history: more cells cannot be told apart on a telephone
MODULES = ("decay", "drawing", "mask", "model", "trained", "mask_page")


def history(dataset: Dataset, user: str, most: int = MAX_ITEMS) -> dict[str, Any]:
    """What is shown of a user: titles, gaps (seconds), pictures (None or ``data:``) of the latest ``most`` items."""
    own = user_history(dataset, user).tail(most)
    gaps = own["timestamp"].diff().fillna(0).clip(lower=0).astype(int).tolist()
    days = f"{sum(gaps) / 86_400:.3g}"
    name = f"{user}: {len(own)} items in {days} day{'s' * (days != '1')}"
    pictures = [picture(dataset.folder, image) for image in own["image"]]
    about = dict(name=name, titles=own["title"].tolist(), gaps=gaps, pictures=pictures)
    return about | dict(items=own["item"].tolist(), demo="store" in dataset.info)


def histories(dataset: Dataset, users: Iterable[str] | None = None, most: int = MAX_ITEMS) -> list[dict[str, Any]]:
    """``history`` of several; None: of the demo store's in `SHOWN`, of other data the first with enough items."""
    demo = [user for user in SHOWN if dataset.interactions["user"].eq(user).any()]
    return [history(dataset, user, most) for user in users or demo or first_users(dataset, 4)]


def write_page(
    path: Path, histories: Sequence[dict[str, Any]], run: Run | None = None, dataset: Dataset | None = None
) -> Path:
    """Write the page with these histories, whole or not at all; InputError where there is no gap to move.

    With a run and its dataset: its own heads, and the model, which changed gaps go through.
    """
    short = not histories or any(len(one["gaps"]) < 2 for one in histories)
    refuse(short, "the decay-mask page: needs one or more histories of two or more items each")
    data: dict[str, Any] = dict(log_mean=LOG_MEAN, log_std=LOG_STD, heads=HEADS, histories=list(histories))
    if run is not None and dataset is not None:
        data |= with_model(check_shown(run.model, "explorer --run"), dataset, histories)
        data |= dict(about=_whose(run.record))
    body = files("mmm4rec_lite.viz.explorers").joinpath("decay_mask.html").read_text(encoding="utf-8")
    return assets.write_page(path, body, ["page", "mask"], MODULES, data)


def with_model(model: MMM4Rec, dataset: Dataset, histories: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A model over the items of these histories (``model_data``), and the histories with their ``rows`` in it."""
    refuse(not check_shown(model, "decay masks").config.time, "decay masks: this model reads no times (time=False)")
    place = {item: row for row, item in enumerate(dataset.items["item"], 1)}
    kept = sorted({place[item] for one in histories for item in one["items"]})
    rows = lambda one: [kept.index(place[item]) for item in one["items"]]
    shown = [one | dict(rows=rows(one)) for one in histories]
    scale = dict(log_mean=float(model.times.log_mean), log_std=float(model.times.log_std))
    return dict(histories=shown, model=model_data(model, kept)) | scale


def _whose(record):
    told = (
        f"{get_model(record['system']).title}, trained on {record['dataset']} (preset {record['protocol']}, trained at"
    )
    return f"{told} {record['scale']} scale, seed {record['seed']}, {record['date']})."
