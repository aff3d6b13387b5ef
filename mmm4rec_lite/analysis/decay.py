"""What one head of the recurrence keeps of a history, in closed form: the numbers behind the decay-mask explorer.

Per head a decay rate A < 0, a step input Delta and a bias b, as in eq. 5 to 8; D-hat is d itself, C B^T is left out:

    d_t      = (log(1 + gap_t) - log_mean) / log_std for t > 1, and d_1 = 0
    dt_t     = softplus(Delta d_t + b), without time softplus(Delta + b); base = softplus(b): after an average gap
    M_ts     = exp(A (dt_{s+1} + .. + dt_t)) for s <= t, else 0
    left_s   = M_Ls                         what the state after the last step still holds of item s
    weight_s = M_Ls dt_s / sum_r M_Lr dt_r  the same with the step at which the item entered, as shares

The half-life is that of the mean decay from first to last item, S seconds apart, with R = -A (dt_2 + .. + dt_L):
(L - 1) ln 2 / R steps or S ln 2 / R seconds.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import softplus

from mmm4rec_lite.models.blocks import LOG_MEAN, LOG_STD
from mmm4rec_lite.models.ssd import decay_mask
from mmm4rec_lite.utils.errors import refuse

Row: TypeAlias = Sequence[float] | np.ndarray | pd.Series


def explore(
    gaps: Row,
    A: float,
    delta: float,
    base: float,
    time: bool = True,
    log_mean: float = LOG_MEAN,
    log_std: float = LOG_STD,
) -> dict[str, Any]:
    """The numbers of one head over one history, all float64 (formulas: module docstring).

    Parameters
    ----------
    gaps : [L] seconds before each item, none negative; ``gaps[0]`` is not looked at
    A : decay rate per unit of step size, < 0
    delta : Delta, how strongly the time signal moves the step (any sign; 0: gaps do nothing)
    base : step size at d = 0, > 0; b = log(exp(base) - 1)
    time : False for "w/o Time"
    log_mean, log_std : of log(1 + gap) in the training data, natural logarithms of seconds

    Returns
    -------
    ``d`` [L] (zeros without time), ``dt`` [L], and what ``left_over`` returns

    Examples
    --------
    >>> explore([0, 3600, 86400], A=-1, delta=0, base=0.5)["left"].round(2).tolist()
    [0.37, 0.61, 1.0]
    """
    seconds = _row(gaps, "gaps")
    seconds[0] = 0
    refuse((seconds < 0).any(), "gaps: must not be negative (seconds between neighbouring items, oldest first)")
    got = f"A={A}, delta={delta}, base={base}, log_mean={log_mean}, log_std={log_std}"
    wrong = not np.isfinite([A, delta, base, log_mean, log_std]).all() or A >= 0 or base <= 0 or log_std <= 0
    refuse(wrong, f"decay: A must be below 0, base and log_std above 0, all finite; got {got}")
    d = (np.log1p(seconds) - log_mean) / log_std if time else np.zeros_like(seconds)
    d[0] = 0
    bias = base + math.log(-math.expm1(-base))  # softplus(bias) = base, also for tiny base
    dt = softplus(torch.from_numpy(delta * d if time else np.full_like(seconds, delta)) + bias, threshold=50).numpy()
    return {"d": d, "dt": dt} | left_over(seconds, dt, A)


def left_over(gaps: Row, dt: Row, A: float) -> dict[str, Any]:
    """Of step sizes (``analysis.steps``): ``mask`` [L, L] (row t reads column s), ``left`` [L], ``weight`` [L] (sums to
    1), ``half_life_steps``, ``half_life_seconds`` (nan for a single item; inf where nothing decays)."""
    seconds, step = _row(gaps, "gaps"), _row(dt, "dt")
    L = len(seconds)
    refuse(len(step) != L, f"decay: {L} gaps but {len(step)} step sizes; one of each per item")
    mask = decay_mask(torch.from_numpy(float(A) * step)).numpy()
    entered = mask[-1] * step
    decay = -A * step[1:].sum()  # R
    life = lambda size: math.nan if L == 1 else float(size * math.log(2) / decay) if decay else math.inf
    weight = entered / entered.sum() if entered.sum() else entered
    lives = dict(half_life_steps=life(L - 1), half_life_seconds=life(seconds[1:].sum()))
    return dict(mask=mask, left=mask[-1], weight=weight) | lives


def _row(values, name):
    row = np.array(values, dtype=np.float64)
    fits = row.ndim == 1 and len(row) and np.isfinite(row).all()
    refuse(not fits, f"{name}: expected a row of one or more finite numbers")
    return row
