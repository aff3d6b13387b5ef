"""From when on a difference counts as significant, everywhere in the project; paired differences."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import pandas as pd

from mmm4rec_lite.utils.typing import Float, Tensor

STANDARD_ERRORS = 2  # from so many on
POWER = 0.8  # of what ``detectable`` promises


def paired(scores: Mapping[str, Float[Tensor, "seeds R"]], reference: str) -> pd.DataFrame:
    """Forms (name -> NDCG@10 by row) against one of them, on the same rows and seeds.

    Columns: form, ndcg@10 (mean), seed_spread (standard deviation of the mean over seeds), difference, standard_error
    (the users' part and, from two seeds on, the seeds'), significant (``STANDARD_ERRORS`` standard errors or more).
    """
    lines = []
    for name, values in scores.items():
        change, by_seed = (values - scores[reference]).mean(0), (values - scores[reference]).mean(1)
        several = len(values) > 1
        error = (change.var() / len(change) + (by_seed.var() / len(by_seed) if several else 0)).sqrt().item()
        spread = values.mean(1).std().item() if several else float("nan")
        lines.append((name, values.mean().item(), spread, change.mean().item(), error))
    table = pd.DataFrame(lines, columns=["form", "ndcg@10", "seed_spread", "difference", "standard_error"])
    return table.assign(significant=significant(table["difference"], table["standard_error"]))


def holm(ratios: Sequence[float]) -> list[bool]:
    """Which of several differences, each over its standard error, are significant together (Holm, 1979).

    The largest of m has to pass the bound of a share 1 / m of the error rate of one at ``STANDARD_ERRORS``, the next
    that of 1 / (m - 1), up to the first that does not; alone, a difference is significant as ever.
    """
    rate, normal = 2 * NormalDist().cdf(-STANDARD_ERRORS), NormalDist()
    order = sorted(range(len(ratios)), key=lambda i: -abs(ratios[i]))
    bounds = [-normal.inv_cdf(rate / 2 / (len(ratios) - place)) for place in range(len(ratios))]
    passed = [abs(ratios[i]) >= bound - 1e-9 for i, bound in zip(order, bounds)]
    count = passed.index(False) if False in passed else len(passed)
    return [i in order[:count] for i in range(len(ratios))]


def detectable(standard_error: float) -> float:
    """The true difference that runs with this error would have shown as significant in four of five tries."""
    return (STANDARD_ERRORS + NormalDist().inv_cdf(POWER)) * standard_error


def significant(difference: pd.Series | float, standard_error: pd.Series | float) -> pd.Series | bool:
    """Whether a difference is at least ``STANDARD_ERRORS`` standard errors."""
    return (difference != 0) & (abs(difference) >= STANDARD_ERRORS * standard_error)
