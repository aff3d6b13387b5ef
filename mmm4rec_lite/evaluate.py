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
from mmm4rec_lite.errors import KitError


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
        raise KitError(f"seen: 'kept' or 'removed', not {seen!r}")
    if len(rows) == 0:
        raise KitError("evaluate: no rows; no user of this split has a target with a history before it")
    ranks = []
    for chunk in tqdm(rows.split(batch_size), desc="rank", leave=False, disable=not progress):
        one = batch(sequences, chunk, max_len, target_time=target_time)
        scores = score(one)
        targets = one.targets.to(scores.device)
        if scores.isnan().any() or not scores.gather(1, targets.unsqueeze(1)).isfinite().all():
            raise KitError("evaluate: the model's scores are not finite; training has diverged, lower lr")
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


def gains(ranks, k=10):
    """NDCG@k of every row by itself, one target per row: [rank <= k] / log2(rank + 1), float64."""
    return (ranks <= k).double() * math.log(2) / torch.log1p(ranks.double())


def metrics(ranks, ks=(10, 50)):
    """Recall@K and NDCG@K: the means over rows of [rank <= K] and of ``gains``."""
    result = {}
    for k in ks:
        result[f"recall@{k}"] = (ranks <= k).double().mean().item()
        result[f"ndcg@{k}"] = gains(ranks, k).mean().item()
    return result


def compare(scorers, sequences, rows, max_len, ks=(10, 50), progress=True):
    """One line per scorer and seen-item policy: a tidy frame. ``scorers``: name -> function batch -> scores."""
    lines = []
    for name, score in scorers.items():
        for seen in ("kept", "removed"):
            ranks = rank_rows(score, sequences, rows, max_len, seen, progress=progress)
            lines.append({"system": name, "seen items": seen, **metrics(ranks, ks), "rows": len(rows)})
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
                "spread over seeds": spread,
                "difference": change.mean().item(),
                "standard error": error.sqrt().item(),
            }
        )
    return pd.DataFrame(lines)
