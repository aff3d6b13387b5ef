"""Full ranking: the target's rank among all items, by counting, and the metrics made of it.

Every item of the catalogue competes, padding never (its score is -inf). A tie counts against the target: an item with
the same score ranks before it, so a model that scores all items alike finds nothing. Items of the user's own history
compete too, as in the paper's field; ``filter_seen`` takes them out, save the target itself.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from mmm4rec_lite.data import Dataset, Sequences, Split, batch
from mmm4rec_lite.models.base import Batch, Recommender
from mmm4rec_lite.utils import processes
from mmm4rec_lite.utils.devices import autocast
from mmm4rec_lite.utils.errors import InputError, refuse
from mmm4rec_lite.utils.typing import Float, Int, Tensor

Scorer = Callable[[Batch], Float[Tensor, "B K"]]  # K = I + 1 rows of the catalogue, row 0 for padding
Rows = Int[Tensor, " R"]  # positions in ``Sequences`` or, of each, its rank
BLOCK = 2**24  # scores held at once, 64 MB: of a million items those of 16 users


def count_ranks(scores: Float[Tensor, "B K"], targets: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """Rank of each target, 1 is best, without sorting; a tie counts against it."""
    above = scores >= scores.gather(1, targets.unsqueeze(1))  # itself, what is better, and what ties
    return above.sum(1, dtype=torch.int32).long()  # torch copies what it sums into the sum's type first


@torch.no_grad()
def model_scorer(model: Recommender, precision: str = "32-true") -> Scorer:
    """A function of batches for ``rank_rows``, with the model's candidates computed once.

    ``precision``: of users and candidates, as in ``TrainConfig``; scores have the weights' own: bfloat16's would tie.
    """
    weight = next(model.parameters())
    model.eval()
    with autocast(precision):
        candidates = model.candidates().to(weight)

    def score(rows):
        model.eval()
        with model.admitted(rows, targets=False) as rows, autocast(precision):
            users = model.users(rows.to(weight.device))
        return model.score(users.to(weight), candidates)

    return score


@torch.no_grad()
def rank_rows(
    score: Scorer,
    sequences: Sequences,
    rows: Rows,
    max_len: int,
    filter_seen: bool = False,
    batch_size: int = 512,
    target_time: bool = False,
    progress: bool = False,
) -> Rows:
    """Ranks of the targets at ``rows`` (positions in ``sequences``), each after its latest ``max_len`` interactions.

    ``batch_size``: at most, and fewer where the catalogue is so large that their scores would be more than ``BLOCK``.
    ``target_time``: show the target's own time stamp, as the public code does.
    """
    refuse(len(rows) == 0, "evaluate: no rows; no user of this split has a target with a history before it")
    outside = bool(rows.min() < 0 or rows.max() >= len(sequences.items))
    refuse(outside, f"evaluate: rows must be positions in the sequences, 0..{len(sequences.items) - 1}")
    ranks, size = [], max(1, min(batch_size, BLOCK // (sequences.item_count + 1)))
    for chunk in tqdm(rows.split(size), desc="rank", leave=False, disable=not progress):
        one = batch(sequences, chunk, max_len, target_time=target_time)
        scores = score(one)
        targets = one.targets.to(scores.device)
        own = scores.gather(1, targets.unsqueeze(1))
        if scores.max().isnan() or not own.isfinite().all():
            raise InputError("evaluate: the model's scores are not finite; training has diverged, lower lr")
        if filter_seen:
            row, place = _spans(sequences.first[chunk], chunk)  # the whole history, not the window
            scores[row.to(scores.device), sequences.items[place].to(scores.device)] = -torch.inf
            scores.scatter_(1, targets.unsqueeze(1), own)
        ranks.append(count_ranks(scores, targets).cpu())
    return torch.cat(ranks)


def rank_model(
    model: Recommender, sequences: Sequences, rows: Rows, filter_seen: bool = False, precision: str = "32-true"
) -> Rows:
    """``rank_rows`` by a model, shown what it may see; several processes share the rows, and each gets all ranks."""
    told, own = model.leaks_target_time, processes.own_part(rows)
    if len(own) or not len(rows):
        own = rank_rows(model_scorer(model, precision), sequences, own, model.window, filter_seen, target_time=told)
    return processes.gather(own.to(next(model.parameters()).device))[0].cpu()


def _spans(start, end):
    """(row, place) of every place from ``start`` to before ``end`` [R each], row after row."""
    row = torch.arange(len(start)).repeat_interleave(end - start)
    return row, torch.arange(len(row)) + (end - (end - start).cumsum(0))[row]


def ndcg_per_row(ranks: Rows, k: int = 10) -> Float[Tensor, " R"]:
    """NDCG@k of every row by itself, one target per row: [rank <= k] / log2(rank + 1), float64."""
    return (ranks <= k).double() * math.log(2) / torch.log1p(ranks.double())


def metrics(ranks: Rows, ks: Sequence[int] = (10, 50)) -> dict[str, float]:
    """Recall@K and NDCG@K: the means over rows of [rank <= K] and of ``ndcg_per_row``."""
    rows = {f"{name}@{k}": of(ranks, k) for k in ks for name, of in (("recall", torch.le), ("ndcg", ndcg_per_row))}
    return {name: values.double().mean().item() for name, values in rows.items()}


def compare(
    scorers: Mapping[str, Scorer],
    sequences: Sequences,
    rows: Rows,
    max_len: int,
    ks: Sequence[int] = (10, 50),
    progress: bool = True,
) -> pd.DataFrame:
    """Full ranking by several scorers, with the user's history among the candidates and without it.

    Parameters
    ----------
    scorers : name -> a function of batches, as ``model_scorer`` and ``counting`` give them
    sequences, rows : of a split: ``split.sequences``, ``split.test``
    max_len : how many of the latest interactions a scorer is shown
    ks : the K of Recall@K and NDCG@K

    Returns
    -------
    Two lines per scorer: system, filter_seen, the metrics, rows.

    Examples
    --------
    >>> import mmm4rec_lite as m4r
    >>> rows = m4r.leave_one_out(m4r.load_dataset("data_samples/toy"))
    >>> table = compare(counting(rows), rows.sequences, rows.test, max_len=1, progress=False)
    >>> table[["system", "filter_seen"]].head(2).to_numpy().tolist()
    [['popularity', False], ['popularity', True]]
    """
    lines = []
    for name, score in scorers.items():
        for filter_seen in (False, True):
            ranks = rank_rows(score, sequences, rows, max_len, filter_seen, progress=progress)
            lines.append(dict(system=name, filter_seen=filter_seen) | metrics(ranks, ks) | dict(rows=len(rows)))
    return pd.DataFrame(lines)


def counting(split: Split) -> dict[str, Scorer]:
    """Both baselines, counted on the training rows of a split: name -> scorer, for ``compare``."""
    given = split.sequences, split.train, split.sequences.item_count
    return {"popularity": popularity(*given), "Markov chain": markov(*given)}


def popularity(sequences: Sequences, rows: Rows, n_items: int) -> Scorer:
    """Score = how often the item is a training target (the one score for everybody)."""
    counts = torch.bincount(sequences.items[rows], minlength=n_items + 1).float()
    counts[0] = -torch.inf
    return lambda batch: counts.repeat(len(batch.items), 1)


def markov(sequences: Sequences, rows: Rows, n_items: int) -> Scorer:
    """First-order Markov chain: how often the item followed the latest one; ties in order of popularity.

    Only pairs that occur are kept, sorted, with their counts.
    """
    width = n_items + 1
    pairs, follows = (sequences.items[rows - 1] * width + sequences.items[rows]).unique(return_counts=True)
    start = torch.searchsorted(pairs, torch.arange(width + 1) * width)  # of an item's pairs
    counts = torch.bincount(sequences.items[rows], minlength=width)
    popular = counts / (counts.sum() + 1)  # below 1, so that it only breaks ties
    popular[0] = -torch.inf

    def score(batch):
        latest = batch.items.gather(1, batch.lengths.unsqueeze(1) - 1).squeeze(1)
        row, place = _spans(start[latest], start[latest + 1])
        scores = popular.repeat(len(latest), 1)
        scores[row, pairs[place] % width] += follows[place]
        return scores

    return score


def sampled_candidates(score: Scorer, others: int, seed: int = 0) -> Scorer:
    """A scorer that lets the target compete with ``others`` items drawn at random, all else at -inf."""
    generator = torch.Generator().manual_seed(seed)

    def sampled(rows):
        scores = score(rows).clone()
        draw = torch.rand(scores.shape, generator=generator)
        draw[:, 0] = 2  # padding never
        draw = draw.scatter(1, rows.targets.unsqueeze(1), -1.0)  # the target always
        return scores.masked_fill((draw.argsort(1).argsort(1) > others).to(scores.device), -torch.inf)

    return sampled


def user_history(dataset: Dataset, user: str, hide: int = 0) -> pd.DataFrame:
    """A user's interactions, oldest first, with titles; the latest ``hide`` held back."""
    own = dataset.interactions[dataset.interactions["user"] == user]
    if own.empty:
        example = dataset.interactions["user"].iloc[0]
        raise InputError(f"{dataset.name} has no user {user!r}; one that it has: {example!r}")
    if not 0 <= hide < len(own):
        raise InputError(f"hide: user {user!r} has {len(own)} interactions, so at most {len(own) - 1} can be hidden")
    own = own.iloc[: len(own) - hide].reset_index(drop=True)
    return own.merge(dataset.items[["item", "title", "image", "domain"]], on="item", how="left")


def as_batch(dataset: Dataset, history: pd.DataFrame, max_len: int) -> tuple[Tensor, Tensor, Tensor]:
    """Items [1, L], lengths [1] and times [1, L] of one history (item, timestamp), at most the latest ``max_len``."""
    latest = history.tail(max_len)
    index = pd.Index(dataset.items["item"]).get_indexer(latest["item"]) + 1
    return torch.tensor(index).unsqueeze(0), torch.tensor([len(latest)]), torch.tensor([latest["timestamp"].tolist()])


def request(model: Recommender, dataset: Dataset, history: pd.DataFrame, at: int | None = None) -> Batch:
    """A history (item, timestamp, oldest first) as a batch of one row, padded to the window of ``model``."""
    refuse(history.empty, "recommend: the history is empty; the model needs at least one item")
    latest = int(history["timestamp"].iloc[-1])
    asked = getattr(model.config, "query_time", False)
    refuse(asked and at is None, "recommend: this model is told when it is asked; give the time (--at)")
    untold = at is not None and not asked
    refuse(untold, "recommend: only a model with query_time may be told when it is asked; leave --at out")
    if at is not None and at < latest:
        told = f"the request (at {at}) is before the user's latest interaction ({latest}), in seconds since 1970"
        raise InputError(f"recommend: {told}; give a later time")
    items, lengths, times = as_batch(dataset, history, model.window)
    fill = (0, model.window - items.shape[1])  # the window that the model was trained with
    when = torch.tensor([latest if at is None else at])
    return Batch(F.pad(items, fill), lengths, F.pad(times, fill), torch.zeros_like(lengths), when)


def recommend(
    model: Recommender,
    dataset: Dataset,
    user: str,
    k: int = 10,
    hide: int = 0,
    seen: bool = False,
    at: int | None = None,
) -> pd.DataFrame:
    """The k best next items for a user, by any model.

    Parameters
    ----------
    model, dataset : a trained model and what it was trained on
    user : the user's id in the dataset
    hide : how many of the latest interactions to hold back, to compare with what really came next
    seen : keep items of the history among the candidates
    at : the moment of the request in seconds since 1970, which a model with ``query_time`` needs

    Returns
    -------
    A frame: rank, item, title, score, image.

    Examples
    --------
    >>> import mmm4rec_lite as m4r
    >>> toy = m4r.load_dataset("data_samples/toy")
    >>> model = m4r.MMM4Rec(m4r.ModelConfig(), torch.randn(61, 12), torch.randn(61, 10))  # untrained
    >>> recommend(model, toy, "user00", k=3)["rank"].tolist()
    [1, 2, 3]
    """
    return recommend_after(model, dataset, user_history(dataset, user, hide), k, seen, at)


@torch.no_grad()
def recommend_after(
    model: Recommender,
    dataset: Dataset,
    history: pd.DataFrame,
    k: int = 10,
    seen: bool = False,
    at: int | None = None,
    candidates: Tensor | None = None,
) -> pd.DataFrame:
    """``recommend`` after any history: a frame with item, timestamp, oldest first.

    ``candidates``: as ``model.candidates()`` gives them, where other ones are wanted.
    """
    model.eval()
    one = request(model, dataset, history, at)
    scores = model.score(model.users(one.to(next(model.parameters()).device)), candidates)[0, 1:].cpu()
    if not seen:
        scores[torch.tensor(dataset.items["item"].isin(history["item"]).tolist())] = -torch.inf
    k = min(k, int(scores.isfinite().sum()))
    refuse(k < 1, "recommend: nothing to show (k < 1, or every item is in the history)")
    best = scores.topk(k)
    frame = dataset.items.iloc[best.indices.numpy()].reset_index(drop=True)
    return frame.assign(rank=range(1, k + 1), score=best.values.numpy())[["rank", "item", "title", "score", "image"]]


def moved_ranks(before: pd.DataFrame, after: pd.DataFrame, k: int = 10) -> pd.DataFrame:
    """The first k of ``after`` with the column ``before``: each item's rank in ``before`` (0: not in it)."""
    ranks = before.set_index("item")["rank"]
    return after.head(k).assign(before=lambda top: top["item"].map(ranks).fillna(0).astype(int))
