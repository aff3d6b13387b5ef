"""The state space duality (SSD) operator in three equal forms.

One head of width P with a state of N numbers per channel reads, for t = 1..L,

    h_t = exp(A dt_t) h_{t-1} + dt_t x_t B_t^T        h in R^{P x N}
    y_t = h_t C_t (+ skip x_t)

which is also one masked matrix product (paper eq. 8, 9, 18; Dao & Gu 2024):

    y = (M o C B^T) (dt x),   M_ts = exp(A (dt_{s+1} + .. + dt_t)) for s <= t, else 0.

| here | shape      | paper      | meaning                                       |
|------|------------|------------|-----------------------------------------------|
| x    | [B,L,H,P]  | X          | input, H heads of width P                      |
| dt   | [B,L,H]    | Delta-hat  | step sizes, >= 0 (eq. 6)                       |
| A    | [H]        | A          | one negative number per head (eq. 7)           |
| B, C | [B,L,G,N]  | B, C       | input and output maps; heads share G groups    |
| skip | [H] or [B,L,H] | -      | weight of a direct path (D in Mamba-2)         |
| initial_state | [B,H,P,N] | h_0 | what came before the first step; zero if None  |

Decays are only ever summed over the steps they span, never subtracted from each other, so that one
enormous step costs the others no digits; exponents are never positive, so nothing overflows.
"""

import math
from functools import partial

import torch
from torch.nn.functional import pad

from mmm4rec_lite.utils.typing import Float, Tensor

Heads = Float[Tensor, "B L H P"]
Steps = Float[Tensor, "B L H"]
Rates = Float[Tensor, " H"]
Map = Float[Tensor, "B L G N"]
State = Float[Tensor, "B H P N"]
Start = State | None
Skip = Rates | Steps | None


def decay_mask(log_decay: Float[Tensor, "*batch L"]) -> Float[Tensor, "*batch L L"]:
    """The structured mask of eq. 8, with exp and diagonal 1, of A dt_t; rows are the readers t, columns the items s."""
    L = log_decay.shape[-1]
    # column s keeps the steps after s only, so its running sum is the exponent of (t, s)
    steps = log_decay.unsqueeze(-1).expand(*log_decay.shape, L).tril(-1)
    return steps.cumsum(-2).exp().tril()


def ssd_scan(x: Heads, dt: Steps, A: Rates, B: Map, C: Map, skip: Skip = None, initial_state: Start = None) -> Heads:
    """The recurrence, step by step: O(L N P) per head, nothing in parallel."""
    B, C = _per_head(B, x.shape[2]), _per_head(C, x.shape[2])
    h, y = x.new_zeros(*x[:, 0].shape, B.shape[-1]) if initial_state is None else initial_state, []
    for t in range(x.shape[1]):
        h = _decay(A * dt[:, t]) * h + torch.einsum("bh,bhp,bhn->bhpn", dt[:, t], x[:, t], B[:, t])
        y.append(torch.einsum("bhpn,bhn->bhp", h, C[:, t]))
    return _add_skip(torch.stack(y, dim=1), x, skip)


def ssd_masked(x: Heads, dt: Steps, A: Rates, B: Map, C: Map, skip: Skip = None, initial_state: Start = None) -> Heads:
    """The quadratic form, attention with a decay mask: O(L^2 (N + P)) per head."""
    mask = decay_mask((A * dt).transpose(1, 2)).unflatten(1, (B.shape[2], -1))  # [B,G,H/G,L,L]
    scores = torch.einsum("btgn,bsgn->bgts", C, B).unsqueeze(2)  # one per group
    weights = (mask * scores).flatten(1, 2)  # [B,H,L,L]
    y = torch.einsum("bhts,bshp->bthp", weights, dt.unsqueeze(-1) * x)
    if initial_state is not None:
        y = y + _read_entering(A * dt, C, initial_state)
    return _add_skip(y, x, skip)


def ssd_chunked(
    x: Heads, dt: Steps, A: Rates, B: Map, C: Map, skip: Skip = None, initial_state: Start = None, chunk: int = 64
) -> Heads:
    """Masked within chunks, a recurrence between them: O(L chunk (N + P) + L N P) per head."""
    batch, L, heads, _ = x.shape
    fill = -L % chunk  # steps of size 0 change nothing
    split = lambda v: pad(v, (0, 0) * (v.dim() - 2) + (0, fill)).reshape(-1, chunk, *v.shape[2:])  # [B K, chunk, ...]
    x_, dt_, B_, C_ = map(split, (x, dt, B, C))
    y = ssd_masked(x_, dt_, A, B_, C_)
    left = ssd_state(x_, dt_, A, B_).unflatten(0, (batch, -1))  # what each chunk adds
    passed = _decay((A * dt_).sum(1)).unflatten(0, (batch, -1))  # what it lets through
    h, entering = torch.zeros_like(left[:, 0]) if initial_state is None else initial_state, []
    for k in range(left.shape[1]):
        entering.append(h)
        h = passed[:, k] * h + left[:, k]
    y = y + _read_entering(A * dt_, C_, torch.stack(entering, dim=1).flatten(0, 1))
    return _add_skip(y.reshape(batch, L + fill, heads, -1)[:, :L], x, skip)


def ssd_state(x: Heads, dt: Steps, A: Rates, B: Map, initial_state: Start = None) -> State:
    """The state after the last step: what a next call needs to go on from here."""
    steps = A * dt
    later = pad(steps.flip(1).cumsum(1)[:, :-1], (0, 0, 1, 0)).flip(1)  # sum over k > t
    state = torch.einsum("blh,blhp,blhn->bhpn", later.exp() * dt, x, _per_head(B, x.shape[2]))
    return state if initial_state is None else state + _decay(steps.sum(1)) * initial_state


def choose(length: int, state: int, width: int) -> tuple[str, int]:
    """The cheapest form for a length L, state N and head width P: ("masked", L) or ("chunked", chunk).

    Compares operations per head (the mask counts for 16 columns). A border between chunks costs about as much as 400
    state updates, for its launches; the scan, all borders, is never the fastest: see ``benchmarks/ssd_forms.py``.
    """
    between = lambda chunk: state * width * (3 * length + 400 * math.ceil(length / chunk)) if chunk < length else 0
    cost = lambda chunk: length * chunk * (state + width + 16) + between(chunk)
    chunk = min([length, *(2**k for k in range(4, 8) if 2**k < length)], key=cost)
    return ("masked" if chunk == length else "chunked"), chunk


def ssd(x: Heads, dt: Steps, A: Rates, B: Map, C: Map, skip: Skip = None, initial_state: Start = None) -> Heads:
    """The operator y in the form that ``choose`` names for these sizes."""
    form, chunk = choose(x.shape[1], B.shape[-1], x.shape[-1])
    operator = ssd_masked if form == "masked" else partial(ssd_chunked, chunk=chunk)
    return operator(x, dt, A, B, C, skip, initial_state)


def _per_head(v, heads):
    """[B,L,G,N] -> [B,L,H,N]: each group serves H/G neighbouring heads."""
    return v.repeat_interleave(heads // v.shape[2], dim=2)


def _decay(log_decay):
    """[B,..,H] -> [B,..,H,1,1], to multiply a state with."""
    return log_decay.exp()[..., None, None]


def _read_entering(steps, C, state):
    """What a state [B,H,P,N] from before the first step adds to y [B,L,H,P]; ``steps`` [B,L,H] is A dt."""
    C = _per_head(C, state.shape[1])
    return torch.einsum("blhn,bhpn,blh->blhp", C, state, steps.cumsum(1).exp())


def _add_skip(y, x, skip):
    return y if skip is None else y + skip.unsqueeze(-1) * x
