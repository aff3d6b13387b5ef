"""Findings on time stamps, by real data and small training runs: the leak, padding, the dead branch, tie orders."""

from dataclasses import replace

import pandas as pd
import torch

from mmm4rec_lite import published
from mmm4rec_lite.analysis import other_gaps, relative_change, steps
from mmm4rec_lite.data import batch, tie_share
from mmm4rec_lite.evaluation import metrics, model_scorer, ndcg_per_row, paired, rank_rows
from mmm4rec_lite.models.blocks import StepSize, TimeDifferences
from mmm4rec_lite.models.losses import full_loss
from mmm4rec_lite.stages import split
from mmm4rec_lite.study.audit.finding import Finding
from mmm4rec_lite.study.audit.trials import FORMS, fresh, trial, trials
from mmm4rec_lite.study.protocol.verdict import CONTRADICTED, INCONCLUSIVE, PARTLY, STANDARD_ERRORS, SUPPORTED, graded
from mmm4rec_lite.training import parameter_groups

ROWS = 512  # test rows looked at where no ranking is needed
NO_TIME, STARTED = "no time", "no time, published start"


def time_leak(task):
    """Who sees the target's own time stamp, how far it moves users, and what it is worth."""
    rows, L = split(task.dataset), task.config.max_len
    seen = lambda part: (part - rows.sequences.first[part] < L).double().mean().item()
    lines, costs = [], {}
    for name in ("published", "revived"):
        for seed in task.seeds:
            model, ranks = trial(task, FORMS[name], seed)
            wrong = rank_rows(_with_other_delays(model_scorer(model)), rows.sequences, rows.test, L, target_time=True)
            costs.setdefault(name, []).append(ndcg_per_row(ranks) - ndcg_per_row(wrong))
            lines.append(
                {
                    "form": name,
                    "seed": seed,
                    "users moved, fresh": _target_time_moves(fresh(task, FORMS[name], seed), rows),
                    "users moved, trained": _target_time_moves(model, rows),
                    "ndcg@10": ndcg_per_row(ranks).mean().item(),
                    "ndcg@10, wrong target times": ndcg_per_row(wrong).mean().item(),
                }
            )
    table = pd.DataFrame(lines)
    mean = table.groupby("form").mean()
    moves = {
        name: f"{mean.loc[name, 'users moved, fresh']:.1g} of their length before and "
        f"{mean.loc[name, 'users moved, trained']:.1g} after training"
        for name in costs
    }
    worth = {name: mean_and_error(torch.stack(values).mean(0)) for name, values in costs.items()}
    used = [name for name, (gain, error) in worth.items() if gain > 2 * error]
    told = "; ".join(f"{name}: {gain:+.5f} +- {error:.5f}" for name, (gain, error) in worth.items())
    return Finding(
        "time-leak",
        "Leave-one-out: nothing of what is to be predicted is in the input (section 3.1)",
        f"In the public code the target's own time stamp stands in the input of {seen(rows.test):.1%} of the test rows "
        f"and {seen(rows.train):.1%} of the training rows. Changing it alone moves user vectors by "
        f"{moves['published']} as published, and by {moves['revived']} with the time branch revived. What the true "
        f"time is worth in NDCG@10, against another user's delay: {told}. A leak, "
        + (f"and used ({', '.join(used)})" if used else "but one that these models make nothing of"),
        CONTRADICTED if seen(rows.test) > 0 else SUPPORTED,
        "measured",
        table,
        *task.origin,
    )


def padded_times(task):
    """What D of eq. 5 keeps of the gaps when padded times of 0 enter its LayerNorm."""
    rows, L = split(task.dataset), task.config.max_len
    lengths = rows.test - rows.sequences.first[rows.test]
    short = rows.test[(lengths > 2) & (lengths < L - 1)][:ROWS]  # two gaps or more, and padding
    claim = "The normalised gaps D of eq. 5 carry the rhythm of a user's interactions"
    if len(short) == 0:
        return Finding(
            "padded-times",
            claim,
            "No history here has both two gaps and padding",
            INCONCLUSIVE,
            "measured",
            pd.DataFrame(),
            *task.origin,
        )
    one, lines = batch(rows.sequences, short, L), []
    inner = (torch.arange(L) < one.lengths.unsqueeze(1)) & (torch.arange(L) > 0)  # the first gap is 0 by definition
    for name, D in _signals(task, rows, short):
        spans = torch.stack([d[own].max() - d[own].min() for d, own in zip(D, inner)])
        lines.append(
            {
                "time signal": name,
                "rows": len(spans),
                "median span of D over a history": spans.median().item(),
                "90th percentile": spans.quantile(0.9).item(),
            }
        )
    table = pd.DataFrame(lines)
    flat, real = table["median span of D over a history"][:2]
    return Finding(
        "padded-times",
        claim,
        f"Padded times of 0 make one gap of minus {one.times.max() / 1e9:.1f} billion seconds, and LayerNorm maps the "
        f"rest to almost one value: over a history D spans {flat:.1g} (median of {len(short)} histories shorter than "
        f"the window) instead of {real:.2f} with real gaps only",
        CONTRADICTED if flat < 0.1 * real else PARTLY if flat < 0.5 * real else SUPPORTED,
        "measured",
        table,
        *task.origin,
    )


def example_signals(task):
    """The time signal D of one real history under the three forms of ``padded_times``: step, days since the last, form,
    D. It is the test history of 8 to 12 items whose gaps vary most."""
    rows, L = split(task.dataset), task.config.max_len
    lengths = rows.test - rows.sequences.first[rows.test]
    some = rows.test[(lengths >= 8) & (lengths <= 12)]
    one = batch(rows.sequences, some, L)
    real = (torch.arange(L) < one.lengths.unsqueeze(1)).double()
    row = (one.times.diff(dim=1, prepend=one.times[:, :1]) * real).std(dim=1).argmax()
    lines = []
    for name, signal in _signals(task, rows, some[row].unsqueeze(0)):
        for step in range(1, int(one.lengths[row])):
            days = (one.times[row, step] - one.times[row, step - 1]).item() / 86400
            lines.append({"step": step + 1, "gap in days": days, "time signal": name, "D": signal[0, step].item()})
    return pd.DataFrame(lines)


def _signals(task, rows, some):
    """(name, D [B,L]) as published, of real gaps in seconds, and of real log-gaps, in float64."""
    L = task.config.max_len
    for name, (gaps, padded) in {
        "as published: zeros count as times": ("seconds", True),
        "real gaps in seconds": ("seconds", False),
        "real log-gaps": ("log", False),
    }.items():
        quirks = replace(task.config.quirks, padded_times=padded, target_time=padded)
        module = TimeDifferences(task.config.replace(gaps=gaps, quirks=quirks)).double().eval()
        module.fit(rows.sequences.times[rows.train] - rows.sequences.times[rows.train - 1])
        one = batch(rows.sequences, some, L, target_time=padded)
        with torch.no_grad():
            yield name, module(one.times, (torch.arange(L) < one.lengths.unsqueeze(1)).double())[0]


def dead_branch(task):
    """Size, gradients and effect of the time branch, fresh and trained, as published and with a live start."""
    rows = split(task.dataset)
    lines = []
    for name in ("published", "revived", "revived, real gaps only", "log-gaps and gap vector"):
        for when in ("fresh", "trained"):
            found = []
            for seed in task.seeds:
                model = fresh(task, FORMS[name], seed) if when == "fresh" else trial(task, FORMS[name], seed)[0]
                found.append(_branch(model, rows, task.training.replace(decay_all=FORMS[name][1])))
            lines.append({"form": name, "when": when, **pd.DataFrame(found).mean().to_dict()})
    for name in (NO_TIME, STARTED):
        for when in ("fresh", "trained"):
            models = [
                fresh(task, FORMS[name], seed) if when == "fresh" else trial(task, FORMS[name], seed)[0]
                for seed in task.seeds
            ]
            vary = sum(_variation(model.double(), _some(model, rows)) for model in models) / len(models)
            lines.append({"form": name, "when": when, "steps vary by": vary})
    table = pd.DataFrame(lines)
    at = lambda form, when, what: table.query("form == @form and `when` == @when")[what].item()
    start, after = (at("published", when, "users moved by other gaps") for when in ("fresh", "trained"))
    verdict = CONTRADICTED if max(start, after) < 1e-4 else SUPPORTED if min(start, after) > 1e-2 else PARTLY
    return Finding(
        "dead-branch",
        "Time-awareness from gaps shapes the decay masks (section 3.3.1)",
        f"As published, alpha starts at {at('published', 'fresh', 'largest alpha'):.1g}; its weights see a gradient of "
        f"{at('published', 'fresh', 'gradient of the scale'):.1g} beside an L2 term of "
        f"{at('published', 'fresh', 'L2 term of the scale'):.1g}; after training it is "
        f"{at('published', 'trained', 'largest alpha'):.1g}. Other gaps throughout move user vectors by {start:.1g} of "
        f"their length before training and by {after:.1g} after it. With a live start: "
        f"{at('revived, real gaps only', 'fresh', 'users moved by other gaps'):.2g} before, "
        f"{at('revived, real gaps only', 'trained', 'users moved by other gaps'):.2g} after. "
        f"As published the steps end up the same for every item and gap: they vary by "
        f"{at('published', 'trained', 'steps vary by'):.1g} of their mean, without time and the same start by "
        f"{at(STARTED, 'trained', 'steps vary by'):.1g}",
        verdict,
        "measured",
        table,
        *task.origin,
    )


def revived(task):
    """Forms of time-awareness against none: paired differences in test NDCG@10."""
    forms = {name: form for name, form in FORMS.items() if name != "the same, told the time of the request"}
    scores = trials(task, forms)
    table = paired(scores, NO_TIME)
    of = table.set_index("form")
    as_published = paired({name: scores[name] for name in (STARTED, "published")}, STARTED).iloc[1]
    sure = lambda name: of.loc[name, "difference"] >= STANDARD_ERRORS * of.loc[name, "standard_error"]
    live = [name for name in forms if name.startswith(("revived", "log-gaps"))]
    better = [name for name in live if sure(name)]
    cells = published.paper(5, row="ndcg@10").pivot(index="column", columns="dataset", values="value")
    claimed = cells.loc["MMM4Rec"] - cells.loc["w/o Time"]
    # nothing found, but a gain as small as the printed one could hide in the noise
    highest = max(of.loc[name, "difference"] + STANDARD_ERRORS * of.loc[name, "standard_error"] for name in live)
    open_ = len(task.seeds) < 2 or (not better and highest >= claimed.min())
    told = "; ".join(
        f"{name} {of.loc[name, 'difference']:+.4f} +- {of.loc[name, 'standard_error']:.4f}" for name in live
    )
    return Finding(
        "revived",
        "Time-awareness improves accuracy (Table 5, w/o Time)",
        f"NDCG@10 against no time: {told}. The published, dead branch against no time with the same "
        f"start: {as_published['difference']:+.4f} +- {as_published['standard_error']:.4f} (errors over "
        f"users{' and seeds' if len(task.seeds) > 1 else ' alone'}). Printed gain: {claimed['scientific']:.4f} "
        f"(Scientific), {claimed['office']:.4f} (Office), one run each",
        INCONCLUSIVE if open_ else graded(len(better), len(live)),
        "measured",
        table,
        *task.origin,
    )


def same_day_order(task):
    """How much the order of interactions with equal times moves the metrics, beside seeds and Table 5."""
    share = tie_share(task.dataset.interactions)
    form = FORMS[NO_TIME]
    last = lambda m: m.dataset.interactions.groupby("user", sort=False)["item"].last()
    lines, changed = [], []
    for seed in task.seeds:
        other = task.shuffled(seed)
        changed.append((last(task) != last(other)).mean())
        for name, m in (("order of the file", task), ("order by chance", other)):
            lines.append({"order": name, "seed": seed, **metrics(trial(m, form, seed)[1])})
    table = pd.DataFrame(lines)
    mean, spread = (getattr(table.groupby("order"), what)() for what in ("mean", "std"))
    move = (mean.loc["order by chance"] - mean.loc["order of the file"]).drop("seed")
    cells = published.paper(5, row="ndcg@10").pivot(index="dataset", columns="column", values="value")
    ablation = cells.sub(cells["MMM4Rec"], axis=0).drop(columns=["MMM4Rec", "w/o PT"]).abs().to_numpy().ravel()
    noise = 2**0.5 * spread["ndcg@10"].max()  # of a difference between two runs
    several = len(task.seeds) > 1
    above = int((ablation > 2 * noise).sum())
    verdict = SUPPORTED if above == len(ablation) else PARTLY if above else INCONCLUSIVE
    return Finding(
        "same-day-order",
        "Differences between variants in Table 5 come from the variants",
        f"{share:.0%} of neighbouring interactions have equal times, and every run of the public preprocessing draws "
        f"their order anew. A chance order instead of the file's changes {sum(changed) / len(changed):.0%} of the test "
        f"targets and moves NDCG@10 by {move['ndcg@10']:+.4f}, Recall@50 by {move['recall@50']:+.4f}: only runs on one "
        "and the same order can be compared. "
        + (
            f"Runs on chance orders spread by {spread.loc['order by chance', 'ndcg@10']:.4f}, on the file's by "
            f"{spread.loc['order of the file', 'ndcg@10']:.4f} ({len(task.seeds)} seeds), so two runs differ by "
            f"some {noise:.4f} for no reason; of Table 5's {len(ablation)} differences in NDCG@10 (w/o PT apart, one "
            f"run each, {ablation.min():.4f} to {ablation.max():.4f}) {above} are larger than twice that"
            if several
            else "One seed tells no spread"
        ),
        verdict if several else INCONCLUSIVE,
        "measured",
        table,
        *task.origin,
    )


def request_time(task):
    """What the time of the request is worth to a model that may know it: an option, reported apart."""
    told, base = "the same, told the time of the request", "log-gaps and gap vector"
    forms = {base: FORMS[base], told: FORMS[told]}
    lines = []
    for order, m in (("of the file", lambda seed: task), ("shuffled inside equal times", task.shuffled)):
        scores = {
            name: torch.stack([ndcg_per_row(trial(m(seed), form, seed)[1]) for seed in task.seeds])
            for name, form in forms.items()
        }
        lines.append(paired(scores, base).assign(order=order))
    table = pd.concat(lines, ignore_index=True)
    gain = table[table["form"] == told].set_index("order")
    line = lambda name: f"{gain.loc[name, 'difference']:+.4f} +- {gain.loc[name, 'standard_error']:.4f}"
    lost = -gain["difference"].diff().iloc[1]
    sure = lost > 2 * gain["standard_error"].pow(2).sum() ** 0.5
    return Finding(
        "request-time",
        "(not in the paper) A server knows when it is asked; offline, the target's time stands for it",
        f"Told the gap up to the request, NDCG@10 changes by {line('of the file')}; with interactions at equal times "
        f"shuffled, by {line('shuffled inside equal times')}"
        + (f": {lost:.4f} of the gain was the order of lines, not time" if sure else "")
        + ". An option (`query_time`), off by default, its results reported apart",
        "-",
        "measured",
        table,
        *task.origin,
    )


def _with_other_delays(score):
    """The scorer with the target's time replaced by another row's delay after its last interaction."""

    def other(one):
        return score(replace(one, times=_other_target_times(one)))

    return other


def _other_target_times(one):
    L = one.times.shape[1]
    there = (one.lengths < L).nonzero().squeeze(1)  # rows with a column for it
    last = one.times[there, one.lengths[there] - 1]
    delays = one.times[there, one.lengths[there]] - last
    mixed = delays[torch.randperm(len(delays), generator=torch.Generator().manual_seed(0))]
    times = one.times.clone()
    times[there, one.lengths[there]] = last + mixed
    return times


@torch.no_grad()
def _target_time_moves(model, rows):
    """Mean relative movement of user vectors when only the target's time is another row's."""
    one = _some(model, rows)
    model = model.double()  # float32 hides what is below 1e-7
    return relative_change(model.users(one), model.users(replace(one, times=_other_target_times(one))))


def mean_and_error(values):
    """Mean over rows and its standard error."""
    return values.mean().item(), values.std().item() / len(values) ** 0.5


def _some(model, rows):
    some = rows.test[torch.randperm(len(rows.test), generator=torch.Generator().manual_seed(0))[:ROWS]]
    one = batch(rows.sequences, some, model.config.max_len, target_time=model.config.quirks.target_time)
    return one.to(model.norm_text.weight.device)


def _branch(model, rows, training):
    """Largest alpha, norms of gradient and L2 term in the scale's first map, and what other gaps change."""
    one, model = _some(model, rows), model.double().eval()
    sizes = []
    scales = [m.scale for m in model.modules() if isinstance(m, StepSize)]
    hooks = [
        scale.register_forward_hook(lambda _, __, alpha: sizes.append(alpha.abs().max().item())) for scale in scales
    ]
    model.zero_grad()
    users = model.users(one)
    full_loss(model, users, one.targets).backward()
    for hook in hooks:
        hook.remove()
    first = scales[0][1].weight
    decay = next(
        group["weight_decay"] for group in parameter_groups(model, training) if any(p is first for p in group["params"])
    )
    with torch.no_grad():
        other = model.users(other_gaps(one))
    return {
        "largest alpha": max(sizes),
        "gradient of the scale": first.grad.norm().item(),
        "L2 term of the scale": decay * first.detach().norm().item(),
        "users moved by other gaps": relative_change(users.detach(), other),
        "steps vary by": _variation(model, one),
    }


def _variation(model, one):
    """Standard deviation of dt over mean dt among real steps, the mean over heads and scans."""
    real = torch.arange(one.items.shape[1], device=one.items.device) < one.lengths.unsqueeze(1)
    sizes = [dt[real] for dt, _ in steps(model, one.items, one.lengths, one.times).values()]  # [steps, H]
    return torch.stack([(dt.std(0) / dt.mean(0)).mean() for dt in sizes]).mean().item()
