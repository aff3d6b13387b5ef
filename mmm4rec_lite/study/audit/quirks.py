"""What each quirk of the public code changes: at once, with the same weights, and after training with it."""

import math

import pandas as pd
import torch

from mmm4rec_lite.analysis import relative_change
from mmm4rec_lite.data import batch, leave_one_out, sample_rows
from mmm4rec_lite.evaluation import model_scorer, ndcg_per_row, rank_rows
from mmm4rec_lite.models.losses import LOSSES
from mmm4rec_lite.significance import paired
from mmm4rec_lite.study.audit.finding import Finding, plus_minus
from mmm4rec_lite.study.audit.trials import QUIRKS, Bench, fresh, trial, trials
from mmm4rec_lite.study.protocol.verdict import CONTRADICTED, SUPPORTED

ROWS = 256
AT_ONCE = ["relative_change", "loss_change", "in_batch_loss_change"]


def quirks(bench: Bench) -> Finding:
    """One line per switch of ``Quirks``: what it moves in one pass, and NDCG@10 trained with it against without."""
    table = paired(trials(bench, QUIRKS), "none").rename(columns={"form": "quirk"})
    table[AT_ONCE] = [_at_once(bench, name) for name in table["quirk"]]
    by = table.set_index("quirk")
    acting = by[by["significant"]].drop("all", errors="ignore")
    named = ", ".join(f"{r.Index} ({plus_minus(r.difference, r.standard_error)})" for r in acting.itertuples())
    evidence = (
        f"Trained with one quirk each, NDCG@10 moves by more than two standard errors for: {named or 'none'}; with all "
        f"of them by {plus_minus(*by.loc['all', ['difference', 'standard_error']])} (errors over users"
        f"{' and seeds' if len(bench.seeds) > 1 else ' alone, one seed'})"
    )
    claim = "(not in the paper) What the public code does beyond it, one switch at a time"
    return Finding("quirks", claim, evidence, "-", "measured", table, *bench.origin)


def pad_item(bench: Bench) -> Finding:
    """Row 0, the padding, as a candidate: where it ranks, and what it costs."""
    rows, lines = leave_one_out(bench.dataset), []
    for seed in bench.seeds:
        model, ranks = trial(bench, QUIRKS["pad_item"], seed)
        without = rank_rows(_without_pad(model_scorer(model)), rows.sequences, rows.test, model.config.max_len)
        ndcg = (ndcg_per_row(one).mean().item() for one in (ranks, without))
        lines.append((seed, (ranks != without).double().mean().item(), *ndcg))
    columns = ["seed", "outranked_share", "with_padding_ndcg@10", "without_padding_ndcg@10"]
    table = pd.DataFrame(lines, columns=columns)
    _, outranked, with_padding, without_padding = table.mean()
    evidence = (
        f"In the public code padding is one of them, in the loss and in the ranking. Trained so, it outranks the "
        f"target in {outranked:.1%} of the test rows; taking it out moves NDCG@10 by "
        f"{without_padding - with_padding:+.5f}"
    )
    verdict = CONTRADICTED if table["outranked_share"].max() > 0 else SUPPORTED
    claim = "The candidates are the items (eq. 20, 22)"
    return Finding("pad-item", claim, evidence, verdict, "measured", table, *bench.origin)


def _without_pad(score):
    def other(one):
        scores = score(one)
        scores[:, 0] = -torch.inf
        return scores

    return other


@torch.no_grad()
def _at_once(bench, name):
    """``AT_ONCE`` of one fresh model, weights kept, the quirk off and on; nan where it means other weights."""
    off, on = (fresh(bench, QUIRKS[quirk], bench.seeds[0]) for quirk in ("none", name))
    if on.config.quirks.published_init:
        return [math.nan] * len(AT_ONCE)
    own = on.state_dict()  # without the image's feed-forward, maybe
    on.load_state_dict({key: tensor for key, tensor in off.state_dict().items() if key in own})
    rows = leave_one_out(bench.dataset)
    some, users, losses = sample_rows(rows.train, ROWS), [], []
    for model in (off, on):
        one = batch(rows.sequences, some, model.window, target_time=model.config.quirks.target_time)
        users.append(model.users(one))
        losses.append([loss(model, users[-1], one.targets).item() for loss in LOSSES.values()])
    return [relative_change(*users), *(b - a for a, b in zip(*losses))]
