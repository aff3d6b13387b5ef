"""Full ranking: the target's rank among all items, by counting, and the metrics made of it.

Protocol. Every item of the catalogue competes, padding never (its score is -inf). A tie counts against the
target: an item with the same score ranks before it, so a model that scores all items alike finds nothing.
``seen="kept"`` (the default, as in the paper's field) leaves items of the user's own history in the ranking,
``seen="removed"`` takes them out, save the target itself.
"""

import math

import pandas as pd
import torch
from tqdm.auto import tqdm

from mmm4rec_lite.data import batch
from mmm4rec_lite.utils.errors import InputError


def count_ranks(scores, targets):
    """Rank (1 = best) of each target: scores [B, I + 1], targets [B] -> [B] int64, without sorting."""
    own = scores.gather(1, targets.unsqueeze(1))
    return (scores >= own).sum(1)  # itself, what is better, and what ties


@torch.no_grad()
def model_scorer(model):
    """A function batch -> scores [B, I + 1] for ``rank_rows``, with the candidates computed once."""
    model.eval()
    candidates = model.candidates()
    device = candidates.device

    def score(rows):
        rows = rows.to(device)
        model.eval()
        return model.score(model.users(rows), candidates)

    return score


@torch.no_grad()
def rank_rows(score, sequences, rows, max_len, seen="kept", batch_size=512, target_time=False, progress=False):
    """Ranks [R] of the targets at ``rows`` (positions in ``sequences``) under ``score(batch)``."""
    if seen not in ("kept", "removed"):
        raise InputError(f"seen: 'kept' or 'removed', not {seen!r}")
    if len(rows) == 0:
        raise InputError("evaluate: no rows; no user of this split has a target with a history before it")
    ranks = []
    for chunk in tqdm(rows.split(batch_size), desc="rank", leave=False, disable=not progress):
        one = batch(sequences, chunk, max_len, target_time=target_time)
        scores = score(one)
        targets = one.targets.to(scores.device)
        if scores.isnan().any() or not scores.gather(1, targets.unsqueeze(1)).isfinite().all():
            raise InputError("evaluate: the model's scores are not finite; training has diverged, lower lr")
        if seen == "removed":
            row, item = _history(sequences, chunk)
            own = scores.gather(1, targets.unsqueeze(1))
            scores[row.to(scores.device), item.to(scores.device)] = -torch.inf
            scores.scatter_(1, targets.unsqueeze(1), own)
        ranks.append(count_ranks(scores, targets).cpu())
    return torch.cat(ranks)


def _history(sequences, rows):
    """(row in the batch, item) of every interaction before each target, the whole history, not the window."""
    first = sequences.first[rows]
    counts = rows - first
    row = torch.arange(len(rows)).repeat_interleave(counts)
    offset = torch.arange(len(row)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    return row, sequences.items[first.repeat_interleave(counts) + offset]


def ndcg_per_row(ranks, k=10):
    """NDCG@k of every row by itself, one target per row: [rank <= k] / log2(rank + 1), float64."""
    return (ranks <= k).double() * math.log(2) / torch.log1p(ranks.double())


def metrics(ranks, ks=(10, 50)):
    """Recall@K and NDCG@K: the means over rows of [rank <= K] and of ``gains``."""
    result = {}
    for k in ks:
        result[f"recall@{k}"] = (ranks <= k).double().mean().item()
        result[f"ndcg@{k}"] = ndcg_per_row(ranks, k).mean().item()
    return result


def compare(scorers, sequences, rows, max_len, ks=(10, 50), progress=True):
    """One line per scorer and seen-item policy: a tidy frame. ``scorers``: name -> function batch -> scores."""
    lines = []
    for name, score in scorers.items():
        for seen in ("kept", "removed"):
            ranks = rank_rows(score, sequences, rows, max_len, seen, progress=progress)
            lines.append({"system": name, "seen_items": seen, **metrics(ranks, ks), "rows": len(rows)})
    return pd.DataFrame(lines)


def paired(scores, reference):
    """Systems (or forms of one) against one of them: mean over users and seeds, and the paired difference.

    ``scores``: name -> [seeds, R]. The difference's standard error has the users' part and, from two seeds on, the
    seeds'; ``spread`` is the standard deviation of a form's own mean over seeds.
    """
    base = scores[reference]
    lines = []
    for name, values in scores.items():
        change, by_seed = (values - base).mean(0), (values - base).mean(1)
        error = change.var() / len(change) + (by_seed.var() / len(by_seed) if len(by_seed) > 1 else 0)
        spread = values.mean(1).std().item() if len(values) > 1 else float("nan")
        lines.append(
            {
                "form": name,
                "ndcg@10": values.mean().item(),
                "seed_spread": spread,
                "difference": change.mean().item(),
                "standard_error": error.sqrt().item(),
            }
        )
    return pd.DataFrame(lines)


def counting(split):
    """Both baselines, counted on the training rows of a ``Split``: name -> scorer, for ``evaluate.compare``."""
    given = split.sequences, split.train, split.sequences.item_count
    return {"popularity": popularity(*given), "Markov chain": markov(*given)}


def popularity(sequences, rows, n_items):
    """Score = how often the item is a training target (the one score for everybody)."""
    counts = torch.bincount(sequences.items[rows], minlength=n_items + 1).float()
    counts[0] = -torch.inf
    return lambda batch: counts.repeat(len(batch.items), 1)


def markov(sequences, rows, n_items):
    """First-order Markov chain: how often the item followed the latest one; ties in order of popularity."""
    pairs = torch.zeros(n_items + 1, n_items + 1)
    pairs.index_put_((sequences.items[rows - 1], sequences.items[rows]), torch.ones(len(rows)), accumulate=True)
    counts = torch.bincount(sequences.items[rows], minlength=n_items + 1)
    pairs += counts / (counts.sum() + 1)  # below 1, so that it only breaks ties
    pairs[:, 0] = -torch.inf

    def score(batch):
        latest = batch.items.gather(1, batch.lengths.unsqueeze(1) - 1).squeeze(1)
        return pairs[latest]

    return score


def user_history(dataset, user, hide=0):
    """A user's interactions, oldest first, with titles; the latest ``hide`` held back."""
    own = dataset.interactions[dataset.interactions["user"] == user]
    if own.empty:
        example = dataset.interactions["user"].iloc[0]
        raise InputError(f"{dataset.name} has no user {user!r}; one that it has: {example!r}")
    if not 0 <= hide < len(own):
        raise InputError(f"hide: user {user!r} has {len(own)} interactions, so at most {len(own) - 1} can be hidden")
    own = own.iloc[: len(own) - hide].reset_index(drop=True)
    return own.merge(dataset.items[["item", "title", "image", "domain"]], on="item", how="left")


def as_batch(dataset, history, max_len):
    """Model input for one history (a frame with item, timestamp): items, lengths, times of batch size 1."""
    latest = history.tail(max_len)
    index = {item: i + 1 for i, item in enumerate(dataset.items["item"])}
    items = torch.tensor([[index[item] for item in latest["item"]]])
    return items, torch.tensor([len(latest)]), torch.tensor([latest["timestamp"].tolist()])


def recommend(model, dataset, user, k=10, hide=0, seen=False, at=None):
    """The k best items for a user as a frame: rank, item, title, score, image.

    ``hide`` holds the user's latest interactions back, to compare with what really came next. Items of the
    history are left out unless ``seen``. ``at``: the moment of the request in seconds since 1970, which a model
    with ``query_time`` needs.
    """
    return recommend_after(model, dataset, user_history(dataset, user, hide), k, seen, at)


@torch.no_grad()
def recommend_after(model, dataset, history, k=10, seen=False, at=None, candidates=None):
    """``recommend`` after any history: a frame with item, timestamp, oldest first.

    ``candidates`` [I + 1, N]: as ``model.candidates()``, where other ones are wanted.
    """
    if history.empty:
        raise InputError("recommend: the history is empty; the model needs at least one item")
    if model.config.query_time != (at is not None):
        raise InputError(
            "recommend: this model is told when it is asked; give the time (--at)"
            if at is None
            else "recommend: only a model with query_time may be told when it is asked; leave --at out"
        )
    if at is not None and at < history["timestamp"].iloc[-1]:
        raise InputError(
            f"recommend: the request (at {at}) is before the user's latest interaction "
            f"({history['timestamp'].iloc[-1]}), in seconds since 1970; give a later time"
        )
    model.eval()
    device = next(model.parameters()).device
    given = as_batch(dataset, history, model.config.max_len) + (() if at is None else (torch.tensor([at]),))
    users = model(*(t.to(device) for t in given))
    scores = model.score(users, candidates)[0, 1:].cpu()
    if not seen:
        scores[torch.tensor(dataset.items["item"].isin(history["item"]).tolist())] = -torch.inf
    k = min(k, int(scores.isfinite().sum()))
    if k < 1:
        raise InputError("recommend: nothing to show (k < 1, or every item is in the history)")
    best = scores.topk(k)
    frame = dataset.items.iloc[best.indices.numpy()][["item", "title", "image"]].reset_index(drop=True)
    frame.insert(0, "rank", range(1, k + 1))
    frame.insert(3, "score", best.values.numpy())
    return frame


def moved_ranks(before, after, k=10):
    """The first k of ``after`` with the column ``before``: each item's rank in ``before`` (0: not in it)."""
    ranks = before.set_index("item")["rank"]
    return after.head(k).assign(before=lambda top: top["item"].map(ranks).fillna(0).astype(int))
