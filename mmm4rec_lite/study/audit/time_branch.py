"""Findings on the time branch, by small training runs: whether it is alive, and what it and its options are worth."""

import pandas as pd
import torch

from mmm4rec_lite import published
from mmm4rec_lite.analysis import other_gaps, relative_change, steps
from mmm4rec_lite.data import Batch, Split, batch, leave_one_out, sample_rows
from mmm4rec_lite.evaluation import ndcg_per_row
from mmm4rec_lite.models.blocks import StepSize
from mmm4rec_lite.models.config import TrainConfig
from mmm4rec_lite.models.losses import full_loss
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.significance import STANDARD_ERRORS, paired
from mmm4rec_lite.study.audit.finding import Finding, plus_minus
from mmm4rec_lite.study.audit.trials import FORMS, Bench, fresh, trial, trials
from mmm4rec_lite.study.protocol.verdict import CONTRADICTED, INCONCLUSIVE, PARTLY, SUPPORTED, graded
from mmm4rec_lite.training import parameter_groups

ROWS = 512  # test rows looked at where no ranking is needed
NO_TIME, STARTED = "no time", "no time, published start"
LOG_GAPS, REQUEST = "log-gaps and gap vector", "the same, told the time of the request"
ALIVE = ["revived", "revived, real gaps only", LOG_GAPS]


def dead_branch(bench: Bench) -> Finding:
    """Size, gradients and effect of the time branch, fresh and trained, as published and with a live start."""
    rows, lines = leave_one_out(bench.dataset), []
    states = {"fresh": fresh, "trained": lambda *form: trial(*form)[0]}
    for name in ("published", *ALIVE, NO_TIME, STARTED):
        training = bench.training.replace(decay_all=FORMS[name][1])
        for when, model in states.items():
            found = [branch_state(model(bench, FORMS[name], seed), rows, training) for seed in bench.seeds]
            lines.append({"form": name, "when": when, **pd.DataFrame(found).mean().to_dict()})
    table = pd.DataFrame(lines)
    at = table.set_index(["form", "when"]).loc
    start, after = (at["published", when]["relative_change"] for when in states)
    verdict = CONTRADICTED if max(start, after) < 1e-4 else SUPPORTED if min(start, after) > 1e-2 else PARTLY
    begun, done = at["published", "fresh"], at["published", "trained"]
    live = [at["revived, real gaps only", when]["relative_change"] for when in states]
    evidence = (
        f"As published, alpha starts at {begun['largest_alpha']:.1g}; its weights see a gradient of "
        f"{begun['scale_gradient']:.1g} beside an L2 term of {begun['scale_l2']:.1g}; after training it is "
        f"{done['largest_alpha']:.1g}. Other gaps throughout move user vectors by {start:.1g} of "
        f"their length before training and by {after:.1g} after it. With a live start: {live[0]:.2g} before, "
        f"{live[1]:.2g} after. As published the steps end up the same for every item and gap: they vary by "
        f"{done['step_variation']:.1g} of their mean, without time and the same start by "
        f"{at[STARTED, 'trained']['step_variation']:.1g}"
    )
    claim = "Time-awareness from gaps shapes the decay masks (section 3.3.1)"
    return Finding("dead-branch", claim, evidence, verdict, "measured", table, *bench.origin)


def revived(bench: Bench) -> Finding:
    """Forms of time-awareness against none: paired differences in test NDCG@10."""
    scores = trials(bench, {name: form for name, form in FORMS.items() if name != REQUEST})
    table = paired(scores, NO_TIME)
    live = table.set_index("form").loc[ALIVE]
    as_published = paired({name: scores[name] for name in (STARTED, "published")}, STARTED).iloc[1]
    better = (live["significant"] & (live["difference"] > 0)).sum()
    cells = published.paper(5, row="ndcg@10").pivot(index="column", columns="dataset", values="value")
    claimed = cells.loc["MMM4Rec"] - cells.loc["w/o Time"]
    # nothing found, but a gain as small as the printed one could hide in the noise
    highest = (live["difference"] + STANDARD_ERRORS * live["standard_error"]).max()
    undecided = len(bench.seeds) < 2 or (not better and highest >= claimed.min())
    told = "; ".join(f"{r.Index} {plus_minus(r.difference, r.standard_error)}" for r in live.itertuples())
    evidence = (
        f"NDCG@10 against no time: {told}. The published, dead branch against no time with the same "
        f"start: {plus_minus(as_published['difference'], as_published['standard_error'])} (errors over "
        f"users{' and seeds' if len(bench.seeds) > 1 else ' alone'}). Printed gain: {claimed['scientific']:.4f} "
        f"(Scientific), {claimed['office']:.4f} (Office), one run each"
    )
    verdict = INCONCLUSIVE if undecided else graded(better, len(live))
    claim = "Time-awareness improves accuracy (Table 5, w/o Time)"
    return Finding("revived", claim, evidence, verdict, "measured", table, *bench.origin)


def request_time(bench: Bench) -> Finding:
    """What the time of the request is worth to a model that may know it: an option, reported apart."""
    orders = {"of the file": lambda seed: bench, "shuffled inside equal times": bench.shuffled}
    frames = []
    for order, ordered in orders.items():
        gained = lambda name, seed, ordered=ordered: ndcg_per_row(trial(ordered(seed), FORMS[name], seed)[1])
        scores = {name: torch.stack([gained(name, seed) for seed in bench.seeds]) for name in (LOG_GAPS, REQUEST)}
        frames.append(paired(scores, LOG_GAPS).assign(order=order))
    table = pd.concat(frames, ignore_index=True)
    gain = table[table["form"] == REQUEST].set_index("order")
    told = {order: plus_minus(*gain.loc[order, ["difference", "standard_error"]]) for order in orders}
    lost = -gain["difference"].diff().iloc[1]
    sure = lost > 2 * gain["standard_error"].pow(2).sum() ** 0.5
    evidence = (
        f"Told the gap up to the request, NDCG@10 changes by {told['of the file']}; with interactions at equal times "
        f"shuffled, by {told['shuffled inside equal times']}"
        + (f": {lost:.4f} of the gain was the order of lines, not time" if sure else "")
        + ". An option (`query_time`), off by default, its results reported apart"
    )
    claim = "(not in the paper) A server knows when it is asked; offline, the target's time stands for it"
    return Finding("request-time", claim, evidence, "-", "measured", table, *bench.origin)


def sample_batch(model: MMM4Rec, rows: Split) -> Batch:
    """Some test rows as the model is given them, on its device."""
    leaks = model.config.quirks.target_time
    one = batch(rows.sequences, sample_rows(rows.test, ROWS), model.window, target_time=leaks)
    return one.to(next(model.parameters()).device)


def branch_state(model: MMM4Rec, rows: Split, training: TrainConfig) -> dict[str, float]:
    """What a model's time branch is and does, in float64; of a model without one, ``step_variation`` alone.

    largest_alpha; scale_gradient and scale_l2: the norms of the gradient and of the L2 term in the scale's first map;
    relative_change: how far other gaps throughout move user vectors; step_variation: standard deviation of dt over
    mean dt among real steps, the mean over heads and scans.
    """
    model = model.double().eval()
    one = sample_batch(model, rows)
    real = torch.arange(one.items.shape[1], device=one.items.device) < one.lengths.unsqueeze(1)
    sizes = [dt[real] for dt, _ in steps(model, one.items, one.lengths, one.times).values()]  # [steps, H]
    variation = torch.stack([(dt.std(0) / dt.mean(0)).mean() for dt in sizes]).mean().item()
    if not model.config.time:
        return {"step_variation": variation}
    alphas, scales = [], [module.scale for module in model.modules() if isinstance(module, StepSize)]
    keep = lambda _, __, alpha: alphas.append(alpha.abs().max().item())
    hooks = [scale.register_forward_hook(keep) for scale in scales]
    users, first = model.plain_users(one), next(scales[0].parameters())
    (gradient,) = torch.autograd.grad(full_loss(model, users, one.targets), first)
    for hook in hooks:
        hook.remove()
    groups = parameter_groups(model, training)
    decay = next(group["weight_decay"] for group in groups if any(p is first for p in group["params"]))
    with torch.no_grad():
        moved = relative_change(users, model.users(other_gaps(one)))
    norms = dict(scale_gradient=gradient.norm().item(), scale_l2=decay * first.detach().norm().item())
    return {"largest_alpha": max(alphas), **norms, "relative_change": moved, "step_variation": variation}
