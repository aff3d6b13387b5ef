"""Two counting baselines that any model has to beat. Each is a function batch -> scores [B, I + 1]."""

import torch


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
