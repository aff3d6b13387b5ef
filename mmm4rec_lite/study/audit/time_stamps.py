"""Findings on time stamps, by real data and small training runs: the target's leak, padding, the order of ties."""

from dataclasses import replace

import pandas as pd
import torch

from mmm4rec_lite import published
from mmm4rec_lite.analysis import other_target_times, relative_change
from mmm4rec_lite.data import batch, leave_one_out, tie_share
from mmm4rec_lite.evaluation import metrics, model_scorer, ndcg_per_row, rank_rows
from mmm4rec_lite.models.blocks import TimeDifferences
from mmm4rec_lite.significance import holm
from mmm4rec_lite.study.audit.finding import Finding, plus_minus
from mmm4rec_lite.study.audit.time_branch import NO_TIME, ROWS, sample_batch
from mmm4rec_lite.study.audit.trials import FORMS, Bench, fresh, trial
from mmm4rec_lite.study.protocol.results import display_name, stored_results
from mmm4rec_lite.study.protocol.verdict import CONTRADICTED, INCONCLUSIVE, NOT_TESTED, PARTLY, SUPPORTED
from mmm4rec_lite.utils.errors import InputError

DAY = 86400
SIGNALS = {  # name -> (gaps of the config, whether padded times count)
    "as published: zeros count as times": ("seconds", True),
    "real gaps in seconds": ("seconds", False),
    "real log-gaps": ("log", False),
}


def time_leak(bench: Bench) -> Finding:
    """Who sees the target's own time stamp, how far it moves users, and what it is worth."""
    rows, L, lines = leave_one_out(bench.dataset), bench.config.max_len, []
    costs: dict[str, list[torch.Tensor]] = {"published": [], "revived": []}
    seen = lambda part: (part - rows.sequences.first[part] < L).double().mean().item()
    for name, found in costs.items():
        for seed in bench.seeds:
            model, ranks = trial(bench, FORMS[name], seed)
            score = model_scorer(model)
            misled = lambda one, score=score: score(other_target_times(one))
            wrong = rank_rows(misled, rows.sequences, rows.test, L, target_time=True)
            ndcg = ndcg_per_row(ranks), ndcg_per_row(wrong)
            found.append(ndcg[0] - ndcg[1])
            moved = (_moved_by_target_time(one, rows) for one in (fresh(bench, FORMS[name], seed), model))
            lines.append((name, seed, *moved, *(values.mean().item() for values in ndcg)))
    changes = ["fresh_relative_change", "trained_relative_change"]
    table = pd.DataFrame(lines, columns=["form", "seed", *changes, "ndcg@10", "wrong_time_ndcg@10"])
    mean = table.groupby("form").mean()
    phrase = "{:.1g} of their length before and {:.1g} after training".format
    moves = {name: phrase(*mean.loc[name, changes]) for name in costs}
    means = {name: torch.stack(values).mean(0) for name, values in costs.items()}
    worth = {name: (v.mean().item(), v.std().item() / len(v) ** 0.5) for name, v in means.items()}
    used = [name for name, (gain, error) in worth.items() if gain > 2 * error]
    told = "; ".join(f"{name}: {gain:+.5f} +- {error:.5f}" for name, (gain, error) in worth.items())
    evidence = (
        f"In the public code the target's own time stamp stands in the input of {seen(rows.test):.1%} of the test rows "
        f"and {seen(rows.train):.1%} of the training rows. Changing it alone moves user vectors by "
        f"{moves['published']} as published, and by {moves['revived']} with the time branch revived. What the true "
        f"time is worth in NDCG@10, against another user's delay: {told}. A leak, "
        + (f"and used ({', '.join(used)})" if used else "but without effect on these models")
    )
    verdict = CONTRADICTED if seen(rows.test) > 0 else SUPPORTED
    claim = "Leave-one-out: nothing of what is to be predicted is in the input (section 3.1)"
    return Finding("time-leak", claim, evidence, verdict, "measured", table, *bench.origin)


def padded_times(bench: Bench) -> Finding:
    """What D of eq. 5 keeps of the gaps when padded times of 0 enter its LayerNorm."""
    rows, L = leave_one_out(bench.dataset), bench.config.max_len
    lengths = rows.test - rows.sequences.first[rows.test]
    short = rows.test[(lengths > 2) & (lengths < L - 1)][:ROWS]  # two gaps or more, and padding
    claim = "The normalised gaps D of eq. 5 carry the rhythm of a user's interactions"
    if len(short) == 0:
        evidence, table = "No history here has both two gaps and padding", pd.DataFrame()
        return Finding("padded-times", claim, evidence, INCONCLUSIVE, "measured", table, *bench.origin)
    one, lines = batch(rows.sequences, short, L), []
    inner = (torch.arange(L) < one.lengths.unsqueeze(1)) & (torch.arange(L) > 0)  # the first gap is 0 by definition
    for name, D in _signals(bench, rows, short):
        spans = torch.stack([d[own].max() - d[own].min() for d, own in zip(D, inner)])
        lines.append((name, len(spans), spans.median().item(), spans.quantile(0.9).item()))
    table = pd.DataFrame(lines, columns=["time_signal", "n_rows", "span_median", "span_q90"])
    flat, real = table["span_median"][:2]
    evidence = (
        f"Padded times of 0 make one gap of minus {one.times.max() / 1e9:.1f} billion seconds, and LayerNorm maps the "
        f"rest to almost one value: over a history D spans {flat:.1g} (median of {len(short)} histories shorter than "
        f"the window) instead of {real:.2f} with real gaps only"
    )
    verdict = CONTRADICTED if flat < 0.1 * real else PARTLY if flat < 0.5 * real else SUPPORTED
    return Finding("padded-times", claim, evidence, verdict, "measured", table, *bench.origin)


def example_signals(bench: Bench) -> pd.DataFrame:
    """The time signal D of one real history under ``SIGNALS``, the one of 8 to 12 items whose gaps vary most.

    Columns: step, gap_days (before it), time_signal, D.
    """
    rows, L, lines = leave_one_out(bench.dataset), bench.config.max_len, []
    lengths = rows.test - rows.sequences.first[rows.test]
    some = rows.test[(lengths >= 8) & (lengths <= 12)]
    one = batch(rows.sequences, some, L)
    real = (torch.arange(L) < one.lengths.unsqueeze(1)).double()
    row = (one.times.diff(dim=1, prepend=one.times[:, :1]) * real).std(dim=1).argmax()
    for name, signal in _signals(bench, rows, some[row].unsqueeze(0)):
        gaps = one.times[row, : one.lengths[row]].diff().tolist()  # before the second item, and so on
        lines += [(i + 1, gap / DAY, name, signal[0, i].item()) for i, gap in enumerate(gaps, 1)]
    return pd.DataFrame(lines, columns=["step", "gap_days", "time_signal", "D"])


def same_day_order(bench: Bench) -> Finding:
    """How much the order of interactions with equal times moves the metrics, beside seeds and Table 5."""
    last = lambda one: one.dataset.interactions.groupby("user", sort=False)["item"].last()
    lines, changed = [], []
    for seed in bench.seeds:
        other = bench.shuffled(seed)
        changed.append((last(bench) != last(other)).mean())
        for name, one in (("order of the file", bench), ("order by chance", other)):
            lines.append({"order": name, "seed": seed, **metrics(trial(one, FORMS[NO_TIME], seed)[1])})
    table = pd.DataFrame(lines)
    mean, spread = (getattr(table.groupby("order"), what)() for what in ("mean", "std"))
    move = mean.loc["order by chance"] - mean.loc["order of the file"]
    cells = published.paper(5, row="ndcg@10").pivot(index="dataset", columns="column", values="value")
    ablation = cells.sub(cells["MMM4Rec"], axis=0).drop(columns=["MMM4Rec", "w/o PT"]).abs().to_numpy().ravel()
    noise = 2**0.5 * spread["ndcg@10"].max()  # of a difference between two runs
    several, above = len(bench.seeds) > 1, int((ablation > 2 * noise).sum())
    evidence = (
        f"{tie_share(bench.dataset.interactions):.0%} of neighbouring interactions have equal times, and every run of "
        f"the public preprocessing draws their order anew. A chance order instead of the file's changes "
        f"{sum(changed) / len(changed):.0%} of the test targets and moves NDCG@10 by {move['ndcg@10']:+.4f}, "
        f"Recall@50 by {move['recall@50']:+.4f}: only runs on one and the same order can be compared. "
    )
    noisy = (
        f"Runs on chance orders spread by {spread.loc['order by chance', 'ndcg@10']:.4f}, on the file's by "
        f"{spread.loc['order of the file', 'ndcg@10']:.4f} ({len(bench.seeds)} seeds), so two runs differ by "
        f"some {noise:.4f} by chance alone; of Table 5's {len(ablation)} differences in NDCG@10 (w/o PT apart, one "
        f"run each, {ablation.min():.4f} to {ablation.max():.4f}) {above} are larger than twice that"
    )
    evidence += noisy if several else "One seed tells no spread"
    verdict = INCONCLUSIVE if not (several and above) else SUPPORTED if above == len(ablation) else PARTLY
    claim = "Differences between variants in Table 5 come from the variants"
    return Finding("same-day-order", claim, evidence, verdict, "measured", table, *bench.origin)


def two_orders(runs: pd.DataFrame | None = None, pairs: pd.DataFrame | None = None) -> Finding:
    """What another public order of the same interactions moves, from runs of "orders" (by default the stored ones)."""
    claim = "Numbers from different papers can stand in one table (quoted columns of Tables 2 and 3)"
    try:
        runs, pairs = stored_results() if runs is None else (runs, pairs)
        pairs = pd.DataFrame() if pairs is None else pairs
        own = pairs[(pairs["experiment"] == "orders") & (pairs["system"] == pairs["against_system"])]
        one = runs[runs["experiment"] == "orders"].dropna(subset="reordered_share").iloc[0]
    except (InputError, KeyError, IndexError):
        return Finding("two-orders", claim, "No such runs are stored here.", NOT_TESTED, "measured", pd.DataFrame())
    table = own.assign(name=own["system"].map(display_name), first=own["ndcg@10"] - own["difference"])
    table = table[["name", "first", "ndcg@10", "difference", "standard_error", "n_seeds"]]
    cells = published.paper(5, dataset="scientific", row="ndcg@10").set_index("column")["value"]
    printed = (cells - cells["MMM4Rec"]).drop(["MMM4Rec", "w/o PT"]).abs()
    moved = [f"{row.name} {plus_minus(row.difference, row.standard_error)}" for row in table.itertuples(index=False)]
    evidence = (
        f"Two public preprocessings have the same {one['n_items']:.0f} items of Scientific, the same users and "
        f"interactions. {one['reordered_share']:.0%} of the users have another order, and "
        f"{one['retargeted_share']:.0%} another last item, which is the test target. From one order to the "
        f"other, trained anew, NDCG@10 moves: {'; '.join(moved)}. Table 5 prints differences of {printed.min():.4f} to "
        f"{printed.max():.4f} on Scientific (w/o PT apart)"
    )
    verdict = CONTRADICTED if any(holm((table["difference"] / table["standard_error"]).tolist())) else INCONCLUSIVE
    data = f"{one['dataset']}, {one['scale']} scale, {table['n_seeds'].min()} seeds, {one['device']}, {one['date']}"
    return Finding("two-orders", claim, evidence, verdict, "measured", table, data)


@torch.no_grad()
def _moved_by_target_time(model, rows):
    """Mean relative change of user vectors when only the target's time is another row's."""
    one, model = sample_batch(model, rows), model.double()  # float32 hides what is below 1e-7
    return relative_change(model.users(one), model.users(other_target_times(one)))


@torch.no_grad()
def _signals(bench, rows, some):
    """(name, D [B, L]) of ``SIGNALS`` in float64."""
    L, times, found = bench.config.max_len, rows.sequences.times, []
    for name, (gaps, padded) in SIGNALS.items():
        quirks = replace(bench.config.quirks, padded_times=padded, target_time=padded)
        module = TimeDifferences(bench.config.replace(gaps=gaps, quirks=quirks)).double().eval()
        module.fit(times[rows.train] - times[rows.train - 1])
        one = batch(rows.sequences, some, L, target_time=padded)
        found.append((name, module(one.times, (torch.arange(L) < one.lengths.unsqueeze(1)).double())[0]))
    return found
