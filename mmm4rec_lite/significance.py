"""From when on a difference counts as significant, everywhere in the project; paired differences."""

from collections.abc import Mapping

import pandas as pd

from mmm4rec_lite.utils.typing import Float, Tensor

STANDARD_ERRORS = 2  # from so many on


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


def significant(difference: pd.Series | float, standard_error: pd.Series | float) -> pd.Series | bool:
    """Whether a difference is at least ``STANDARD_ERRORS`` standard errors."""
    return (difference != 0) & (abs(difference) >= STANDARD_ERRORS * standard_error)
