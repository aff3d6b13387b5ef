"""What each quirk of the public code changes: at once, with the same weights, and after training with it."""

import pandas as pd
import torch

from mmm4rec_lite.analysis import relative_change
from mmm4rec_lite.data import batch
from mmm4rec_lite.evaluation import model_scorer, ndcg_per_row, paired, rank_rows
from mmm4rec_lite.models.losses import LOSSES
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.stages import split
from mmm4rec_lite.study.audit.finding import Finding
from mmm4rec_lite.study.audit.trials import QUIRKS, fresh, trial, trials
from mmm4rec_lite.study.protocol.verdict import CONTRADICTED, SUPPORTED

ROWS = 256


def quirks(task):
    """One line per switch of ``Quirks``: what it moves in one pass, and NDCG@10 trained with it against without."""
    table = paired(trials(task, QUIRKS), "none").rename(columns={"form": "quirk"})
    direct = [_direct(task, name) for name in table["quirk"]]
    for column in ("users moved", "loss changed", "in-batch loss changed"):
        table[column] = [line[column] for line in direct]
    acting = table[table["difference"].abs() > 2 * table["standard_error"]].query("quirk not in ('none', 'all')")
    named = ", ".join(
        f"{r['quirk']} ({r['difference']:+.4f} +- {r['standard_error']:.4f})" for r in acting.to_dict("records")
    )
    every = table.set_index("quirk").loc["all"]
    return Finding(
        "quirks",
        "(not in the paper) What the public code does beyond it, one switch at a time",
        f"Trained with one quirk each, NDCG@10 moves by more than two standard errors for: {named or 'none'}; with all "
        f"of them by {every['difference']:+.4f} +- {every['standard_error']:.4f} (errors over users"
        f"{' and seeds' if len(task.seeds) > 1 else ' alone, one seed'})",
        "-",
        "measured",
        table,
        *task.origin,
    )


def pad_item(task):
    """Row 0, the padding, as a candidate: where it ranks, and what it costs."""
    rows = split(task.dataset)
    above, kept, gone = [], [], []
    for seed in task.seeds:
        model, ranks = trial(task, QUIRKS["pad_item"], seed)
        score = model_scorer(model)
        without = rank_rows(_without_pad(score), rows.sequences, rows.test, model.config.max_len)
        above.append((ranks != without).double().mean().item())
        kept.append(ndcg_per_row(ranks).mean().item())
        gone.append(ndcg_per_row(without).mean().item())
    table = pd.DataFrame(
        {
            "seed": task.seeds,
            "rows where padding outranks the target": above,
            "ndcg@10 with it": kept,
            "ndcg@10 without": gone,
        }
    )
    mean = table.mean()
    return Finding(
        "pad-item",
        "The candidates are the items (eq. 20, 22)",
        f"In the public code padding is one of them, in the loss and in the ranking. Trained so, it outranks the "
        f"target in {mean.iloc[1]:.1%} of the test rows; taking it out moves NDCG@10 by "
        f"{mean.iloc[3] - mean.iloc[2]:+.5f}",
        CONTRADICTED if max(above) > 0 else SUPPORTED,
        "measured",
        table,
        *task.origin,
    )


def _without_pad(score):
    def other(one):
        scores = score(one)
        scores[:, 0] = -torch.inf
        return scores

    return other


@torch.no_grad()
def _direct(task, name):
    """One evaluation pass of one fresh model, weights kept, the quirk off and on; NaN where other weights are meant."""
    off = fresh(task, QUIRKS["none"], task.seeds[0])
    config = task.config.replace(**QUIRKS[name][0])
    if config.quirks.published_init:
        return dict.fromkeys(("users moved", "loss changed", "in-batch loss changed"), float("nan"))
    on = MMM4Rec.from_catalogue(config, task.features.catalogue(task.dataset.items["item"])).eval()
    own = on.state_dict()  # without the image's feed-forward, maybe
    on.load_state_dict({k: v for k, v in off.state_dict().items() if k in own})
    rows = split(task.dataset)
    some = rows.train[torch.randperm(len(rows.train), generator=torch.Generator().manual_seed(0))[:ROWS]]
    users, losses = [], []
    for model in (off, on):
        one = batch(rows.sequences, some, config.max_len, target_time=model.config.quirks.target_time)
        users.append(model.users(one))
        losses.append([loss(model, users[-1], one.targets).item() for loss in LOSSES.values()])
    (full, in_batch), (full_on, in_batch_on) = losses
    return {
        "users moved": relative_change(*users),
        "loss changed": full_on - full,
        "in-batch loss changed": in_batch_on - in_batch,
    }
