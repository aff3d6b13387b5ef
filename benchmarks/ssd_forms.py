"""Seconds of the operator's forms by length at two sizes, and how far ``choose`` is from the best: JSON lines.

    OMP_PROC_BIND=true OMP_PLACES=cores python benchmarks/ssd_forms.py [--threads 1] [--lengths 20 128] [--steps 1]

``ratio``: the chosen form's seconds over the fastest form's. ``segment sum``: seconds of the Mamba-2 paper's plain
algorithm, its quicker chunk, over the chosen form's. Medians of interleaved runs in one process (``ch02_ssd.scaling``),
so that ratios hold on a busy machine. A batch has so many sequences as make ``--steps``, or one.
"""

import argparse
import json
from functools import partial

import torch
from torch.nn.functional import pad

from mmm4rec_lite.models.ssd import choose, ssd_chunked, ssd_masked
from mmm4rec_lite.study.ch02_ssd import inputs, scaling

SIZES = {"paper": dict(heads=8, width=64, state=64, groups=8), "small": dict(heads=8, width=16, state=16, groups=1)}
LENGTHS = (4, 8, 16, 20, 32, 50, 64, 100, 128, 200, 256, 500, 512, 1024, 4096, 16384)
CHUNKS = (8, 16, 32, 64, 128)


def segment_sum(steps):
    """[..,L] -> [..,L,L]: the sum over s < k <= t in row t and column s; minus infinity above the diagonal."""
    L = steps.shape[-1]
    before = torch.ones(L, L, dtype=torch.bool).tril(-1)
    sums = steps.unsqueeze(-1).expand(*steps.shape, L).masked_fill(~before, 0).cumsum(-2)
    return sums.masked_fill(before.mT, -torch.inf)


def segment_sum_ssd(x, dt, A, B, C, chunk):
    """The four steps of Dao & Gu 2024, section 6: B and C for every head, and one masked product between chunks."""
    length, heads = x.shape[1], x.shape[2]
    B, C = (v.repeat_interleave(heads // v.shape[2], dim=2) for v in (B, C))
    parts = (dt.unsqueeze(-1) * x, A * dt, B, C)
    parts = (pad(v, (0, 0) * (v.dim() - 2) + (0, -length % chunk)).unflatten(1, (-1, chunk)) for v in parts)
    x, steps, B, C = parts  # [B,K,chunk,H,..]
    steps = steps.permute(0, 3, 1, 2)  # [B,H,K,chunk]
    sums = steps.cumsum(-1)
    within = torch.einsum("bkthn,bkshn,bhkts,bkshp->bkthp", C, B, segment_sum(steps).exp(), x)
    left = torch.einsum("bkshn,bhks,bkshp->bkhpn", B, (sums[..., -1:] - sums).exp(), x)
    left = torch.cat([torch.zeros_like(left[:, :1]), left[:, :-1]], dim=1)
    between = segment_sum(pad(sums[..., :-1, -1], (1, 0))).exp()
    entering = torch.einsum("bhkj,bjhpn->bkhpn", between, left)
    read = torch.einsum("bkthn,bkhpn,bhkt->bkthp", C, entering, sums.exp())
    return (within + read).flatten(1, 2)[:, :length]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4096)
    given = parser.parse_args()
    few = inputs(50, 2, groups=2)
    torch.testing.assert_close(segment_sum_ssd(**few, chunk=16), ssd_masked(**few))
    for length in given.lengths:
        for name in given.sizes:
            for backward in (False, True):
                batch = max(1, given.steps // length)
                print(json.dumps(line(name, length, backward, batch, given.threads, given.rounds)), flush=True)


def line(name, length, backward, batch, threads, rounds):
    """What is printed of one size and length."""
    sizes = SIZES[name]
    form, chosen = choose(length, sizes["state"], sizes["width"], batch * sizes["heads"])
    forms = {"masked": ssd_masked} if length <= 256 else {}
    chunks = {*CHUNKS, chosen} if form == "chunked" else CHUNKS
    forms |= {f"chunked {chunk}": partial(ssd_chunked, chunk=chunk) for chunk in sorted(chunks) if chunk < length}
    plain = {
        f"segment sum {min(chunk, length)}": partial(segment_sum_ssd, chunk=min(chunk, length)) for chunk in (32, 64)
    }
    table = scaling([length], forms | plain, batch, rounds, backward, threads, **sizes)
    seconds = table.set_index("form")["seconds"]
    chosen = form if form == "masked" else f"{form} {chosen}"
    best = seconds[list(forms)].idxmin()
    return {
        "size": name,
        "length": length,
        "batch": batch,
        "gradients": backward,
        "threads": threads,
        "chosen": chosen,
        "best": best,
        "ratio": round(seconds[chosen] / seconds[best], 2),
        "segment sum": round(seconds[list(plain)].min() / seconds[chosen], 1),
        "milliseconds": (1000 * seconds).round(2).to_dict(),
    }


if __name__ == "__main__":
    main()
