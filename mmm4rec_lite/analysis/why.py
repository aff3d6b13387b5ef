"""Why a model recommends an item to a user, and whether two runs differ: for people, in words and small frames."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch.nn import functional as F

from mmm4rec_lite.analysis.interventions import contributions
from mmm4rec_lite.analysis.streams import score_parts
from mmm4rec_lite.evaluation import ndcg_per_row, request, user_history
from mmm4rec_lite.models.base import Recommender
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.runs import Task, read_ranks
from mmm4rec_lite.significance import paired
from mmm4rec_lite.utils.errors import InputError, refuse

KINDS = ("text", "image")
METRICS = {f"{name}@{k}": (of, k) for k in (10, 50) for name, of in (("recall", torch.le), ("ndcg", ndcg_per_row))}


@dataclass(frozen=True, eq=False)
class Reasons:
    """Why one item stands where it stands for one user.

    Attributes
    ----------
    rank : of ``candidates`` items, all but the history's other ones; 1 is best
    parts : modality -> its part of the score (eq. 20; they add up to it); empty where the score is no such sum
    history : the items that the model was shown, oldest first: place (from 1), item, title, days_before (the latest),
        effect (the item's score less its score without this one), share (effect over the sum of all sizes),
        rank_without, text_cosine and image_cosine (of frozen features with the item's; nan where there are none)
    notes : what cannot be said here, and why, in one sentence each
    """

    user: str
    item: str
    title: str
    score: float
    rank: int
    candidates: int
    parts: dict[str, float]
    history: pd.DataFrame
    notes: list[str]

    def nearest(self, kind: str) -> pd.Series | None:
        """The line of the past item that is most alike by "text" or "image"; None where none can be compared."""
        cosines = self.history[f"{kind}_cosine"].dropna()
        return None if cosines.empty else self.history.loc[cosines.idxmax()]


@torch.no_grad()
def reasons(
    model: Recommender, task: Task, user: str, item: str | None = None, hide: int = 0, at: int | None = None
) -> Reasons:
    """Why ``item`` (by default the best recommendation) stands where it stands for a user, by any model.

    Parameters
    ----------
    model, task : a trained model, and what it was trained for
    hide : how many of the user's latest interactions to hold back
    at : the moment of the request in seconds since 1970, for models with ``query_time``

    Examples
    --------
    >>> import mmm4rec_lite as m4r
    >>> toy = m4r.load_dataset("data_samples/toy")
    >>> rows = m4r.extract(toy, m4r.load_encoder("random"), "toy.safetensors", progress=False)
    >>> task = m4r.Task(toy, rows)
    >>> model = m4r.build_model("mmm4rec", task.catalogue, m4r.ModelConfig())  # untrained
    >>> found = reasons(model, task, "user00")
    >>> found.rank, round(float(found.history["share"].abs().sum()), 3)
    (1, 1.0)
    """
    dataset, past = task.dataset, user_history(task.dataset, user, hide)
    ids = pd.Index(dataset.items["item"])
    if item is not None and item not in ids:
        raise InputError(f"{dataset.name} has no item {item!r}; one that it has: {ids[0]!r}")
    model.eval()
    one = request(model, dataset, past, at)
    users, shown = model.users(one.to(next(model.parameters()).device)), past.tail(model.window).reset_index(drop=True)
    scores = model.score(users)[0].cpu()
    seen = torch.tensor([False, *ids.isin(past["item"])])
    refuse(item is None and bool(seen[1:].all()), "why: every item is in the history; name one of them")
    row = int(scores.masked_fill(seen, -torch.inf).argmax()) if item is None else ids.get_loc(item) + 1
    rivals = ~seen
    rivals[0], rivals[row] = False, True
    rank_in = lambda table: (table[:, rivals] >= table[:, [row]]).sum(1)

    notes = []
    if seen[row]:
        notes.append("This item is in the user's history; `recommend` leaves such items out.")
    if len(past) > len(shown):
        notes.append(f"The model reads the latest {len(shown)} of {len(past)} items; older ones have no effect.")
    values, without = torch.tensor([math.nan]), [math.nan]
    if len(shown) > 1:
        change = contributions(model, one).cpu()
        values, without = change[:, row], rank_in(scores - change).tolist()
    else:
        notes.append("A history of one item has nothing to leave out: no effects.")
    share = values / values.abs().sum()
    days = (shown["timestamp"].iloc[-1] - shown["timestamp"]) / 86_400
    history = dict(place=range(1, len(shown) + 1), item=shown["item"], title=shown["title"], days_before=days)
    history |= dict(effect=values.tolist(), share=share.tolist(), rank_without=without)
    for kind in KINDS:
        cosines, note = _cosines(task, kind, row, one.items[0, : len(shown)])
        history[f"{kind}_cosine"] = cosines
        notes += [note] * bool(note)
    parts, note = _parts(model, users, row)
    notes += [note] * bool(note)
    title, rank = dataset.items["title"].iloc[row - 1], int(rank_in(scores.unsqueeze(0)))
    frame, among = pd.DataFrame(history), int(rivals.sum())
    return Reasons(user, ids[row - 1], title, scores[row].item(), rank, among, parts, frame, notes)


def _cosines(task, kind, row, items):
    """(how alike past ``items`` are to the item ``row``, why they cannot be compared or "")."""
    table = getattr(task.catalogue, kind)
    has = task.catalogue.has_image if kind == "image" else table.any(1)
    word = {"text": "text", "image": "picture"}[kind]
    if not has[row]:
        return [math.nan] * len(items), f"This item has no {word}: nothing is alike to it by {word}."
    cosines = F.cosine_similarity(table[items], table[[row]]).masked_fill(~has[items], torch.nan)
    lost = int((~has[items]).sum())
    return cosines.tolist(), f"{lost} of {len(items)} past items have no {word}; they are not compared." if lost else ""


def _parts(model, users, row):
    if not isinstance(model, MMM4Rec):
        return {}, "This model's score is no sum of a text's and a picture's part."
    if model.config.fusion != "sum":
        return {}, f"This model weighs text and picture (fusion={model.config.fusion!r}): no parts that add up."
    parts = score_parts(model, users, [row])
    return {kind: getattr(parts, kind).item() for kind in KINDS}, ""


def compare_runs(runs: Sequence[Path | str], filtered: bool = False) -> pd.DataFrame:
    """Runs against the first of them, on the same test users: a row per metric and other run, by folder's name.

    Parameters
    ----------
    runs : folders of two or more runs of the same items, split and test rows; no data are needed
    filtered : ranks without the user's history among the candidates

    Returns
    -------
    metric, run, value, reference, difference (value - reference), standard_error (over users), significant (two
    standard errors or more), better and worse (users whose target it ranks higher or lower; the same for every
    metric), n_users.
    """
    refuse(len(runs) < 2, "compare: name two runs or more; the others are compared with the first")
    kept = [read_ranks(run, filtered) for run in runs]
    for run, (about, ranks) in zip(runs, kept):
        if not len(ranks):
            raise InputError(f"{run}: a pre-training run has no test ranks; compare fine-tuned ones")
        if differ := [name for name in about if about[name] != kept[0][0][name]]:
            raise InputError(f"{run}: not of the same test rows as {runs[0]} ({', '.join(differ)} differ)")
    lines, first = [], kept[0][1]
    for metric, (of, k) in METRICS.items():
        values = {str(i): of(ranks, k).double().unsqueeze(0) for i, (_, ranks) in enumerate(kept)}
        table = paired(values, "0").rename(columns={"ndcg@10": "value"}).drop(columns=["form", "seed_spread"])
        found = table.iloc[1:].assign(metric=metric, run=[Path(run).name for run in runs[1:]])
        counts = [(int((ranks < first).sum()), int((ranks > first).sum())) for _, ranks in kept[1:]]
        found[["better", "worse"]] = counts
        lines.append(found.assign(reference=table["value"].iloc[0], n_users=len(first)))
    columns = "metric run value reference difference standard_error significant better worse n_users".split()
    return pd.concat(lines, ignore_index=True)[columns]
