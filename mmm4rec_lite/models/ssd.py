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
    return _exponents(log_decay).exp().triu().mT


def ssd_scan(x: Heads, dt: Steps, A: Rates, B: Map, C: Map, skip: Skip = None, initial_state: Start = None) -> Heads:
    """The recurrence, step by step: O(L N P) per head, nothing in parallel."""
    B, C = (v.repeat_interleave(x.shape[2] // v.shape[2], dim=2) for v in (B, C))  # each group serves H/G neighbours
    h, y = x.new_zeros(*x[:, 0].shape, B.shape[-1]) if initial_state is None else initial_state, []
    for x_t, dt_t, B_t, C_t in zip(*(v.unbind(1) for v in (x, dt, B, C))):
        h = _decay(A * dt_t) * h + torch.einsum("bh,bhp,bhn->bhpn", dt_t, x_t, B_t)
        y.append(torch.einsum("bhpn,bhn->bhp", h, C_t))
    return _add_skip(torch.stack(y, dim=1), x, skip)


def ssd_masked(x: Heads, dt: Steps, A: Rates, B: Map, C: Map, skip: Skip = None, initial_state: Start = None) -> Heads:
    """The quadratic form, attention with a decay mask: O(L^2 (N + P)) per head."""
    mask = _exponents((A * dt).transpose(1, 2)).exp().unflatten(1, (B.shape[2], -1))  # [B,G,H/G,s,t]
    scores = torch.einsum("bsgn,btgn->bgst", B, C).triu().unsqueeze(2)  # one per group; no reader before the item
    y = torch.einsum("bhst,bshp->bthp", (mask * scores).flatten(1, 2), dt.unsqueeze(-1) * x)
    if initial_state is not None:
        y = y + _read_entering(A * dt, C, initial_state)
    return _add_skip(y, x, skip)


def ssd_chunked(
    x: Heads, dt: Steps, A: Rates, B: Map, C: Map, skip: Skip = None, initial_state: Start = None, chunk: int = 32
) -> Heads:
    """Masked within chunks, a recurrence between them: O(L chunk (N + P) + L N P) per head."""
    batch, L, heads, _ = x.shape
    fill = -L % chunk  # steps of size 0 change nothing
    filled = lambda v: pad(v, (0, 0) * (v.dim() - 2) + (0, fill)) if fill else v
    x_, dt_, B_, C_ = (filled(v).reshape(-1, chunk, *v.shape[2:]) for v in (x, dt, B, C))  # [B K, chunk, ...]
    left = ssd_state(x_, dt_, A, B_).unflatten(0, (batch, -1))  # what each chunk adds
    passed = _decay((A * dt_).sum(1)).unflatten(0, (batch, -1))  # what it lets through
    h, entering = torch.zeros_like(left[:, 0]) if initial_state is None else initial_state, []
    for passed_k, left_k in zip(passed.unbind(1), left.unbind(1)):
        entering.append(h)
        h = torch.addcmul(left_k, passed_k, h)
    y = ssd_masked(x_, dt_, A, B_, C_, initial_state=torch.stack(entering, dim=1).flatten(0, 1))
    return _add_skip(y.reshape(batch, L + fill, heads, -1)[:, :L], x, skip)


def ssd_state(x: Heads, dt: Steps, A: Rates, B: Map, initial_state: Start = None) -> State:
    """The state after the last step: what a next call needs to go on from here."""
    steps = A * dt
    later = pad(steps.flip(1).cumsum(1)[:, :-1], (0, 0, 1, 0)).flip(1)  # sum over k > t
    kept = ((later.exp() * dt).unsqueeze(-1) * x).unflatten(2, (B.shape[2], -1))
    state = torch.einsum("blgqp,blgn->bgqpn", kept, B).flatten(1, 2)
    return state if initial_state is None else state + _decay(steps.sum(1)) * initial_state


def choose(length: int, state: int, width: int, heads: int = 8) -> tuple[str, int]:
    """The cheapest form for a length L, state N and head width P: ("masked", L) or ("chunked", chunk).

    ``heads``: of all sequences together, B H. Counts multiplications: the mask as 40 columns more; a state's way in and
    out as 2.7 N P a step, a border between chunks as 54 N P; launches as 3.5 million, and 0.2 a border. Fitted on CPU
    cores for L from 4 to 16,384, with and without gradients, at N = P = 16 and 64: `benchmarks/ssd_forms.py`. The scan,
    all borders, is never the fastest.
    """

    def cost(chunk):
        within, borders = heads * length * chunk * (state + width + 40), math.ceil(length / chunk)
        between = heads * state * width * (2.7 * length + 54 * borders) + 3.5e6 + 2e5 * borders
        return within + (between if chunk < length else 0)

    even = (math.ceil(length / math.ceil(length / most)) for most in (length, 64, 32, 16))  # little to fill up
    chunk = min(even, key=cost)
    return ("masked" if chunk == length else "chunked"), chunk


def ssd(x: Heads, dt: Steps, A: Rates, B: Map, C: Map, skip: Skip = None, initial_state: Start = None) -> Heads:
    """The operator y in the form that ``choose`` names for these sizes."""
    form, chunk = choose(x.shape[1], B.shape[-1], x.shape[-1], x.shape[0] * x.shape[2])
    operator = ssd_masked if form == "masked" else partial(ssd_chunked, chunk=chunk)
    return operator(x, dt, A, B, C, skip, initial_state)


def _exponents(log_decay):
    """[..,L] -> [..,s,t]: the sum over the steps after s, up to t; 0 for t <= s."""
    L = log_decay.shape[-1]
    return log_decay.unsqueeze(-2).expand(*log_decay.shape[:-1], L, L).triu(1).cumsum(-1)


def _decay(log_decay):
    """[B,..,H] -> [B,..,H,1,1], to multiply a state with."""
    return log_decay.exp()[..., None, None]


def _read_entering(steps, C, state):
    """What a state [B,H,P,N] from before the first step adds to y [B,L,H,P]; ``steps`` [B,L,H] is A dt."""
    read = torch.einsum("blgn,bgqpn->blgqp", C, state.unflatten(1, (C.shape[2], -1))).flatten(2, 3)
    return steps.cumsum(1).exp().unsqueeze(-1) * read


def _add_skip(y, x, skip):
    return y if skip is None else y + skip.unsqueeze(-1) * x
