"""One training step of the authors' public MMM4Rec beside ours, in one process: a table.

    OMP_PROC_BIND=true OMP_PLACES=cores python benchmarks/public_code.py CHECKOUT FOLDER

Their class is loaded from a checkout of AlwaysFHao/MMM4Rec; its gated norm, a kernel for GPUs, has a plain stand-in
here, its operator is plain torch as released. Needs ``einops``. Paper size, real histories, drawn features of 768
numbers, full-catalogue loss, forward, backward and NAdam, batches of 256 rows, denormals flushed for all.
"""

import importlib
import statistics
import sys
import tempfile
import time
import types
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import NAdam
from torch.utils.flop_counter import FlopCounterMode

import mmm4rec_lite as m4r
from mmm4rec_lite.data.batches import batch, epoch
from mmm4rec_lite.models.fast import fast_denormals, kept_memory
from mmm4rec_lite.models.losses import full_loss
from mmm4rec_lite.training import parameter_groups

ROUNDS, ROWS = 6, 256


class GatedNorm(nn.Module):
    """RMSNorm(x SiLU(z))."""

    def __init__(self, width, eps, **_):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x, z):
        return F.rms_norm(x * F.silu(z), (x.shape[-1],), self.weight, self.eps)


def public_model(checkout, text, image):
    """Their class over these features."""
    kernel = "mamba_ssm.ops.triton.layernorm_gated"
    for i in range(len(kernel.split("."))):
        name = ".".join(kernel.split(".")[: i + 1])
        sys.modules[name] = types.ModuleType(name)
    sys.modules[kernel].RMSNorm = GatedNorm
    package = types.ModuleType("model")  # without their __init__, which imports the other systems
    package.__path__ = [str(checkout / "model")]
    sys.modules["model"] = package
    config = dict(item_num=len(text) - 1, user_num=1, hidden_size=256, inner_size=256, num_layers=1, d_state=64)
    config |= dict(embedding_drop_prob=0.4, dropout_prob=0.4, time_dropout_prob=0.4, n_groups=8, d_conv=4, expand=2)
    config |= dict(head_dim=64, chunk_size=32, norm_eps=1e-12, is_ffn=True, is_time=True, p2p_residual=False)
    config |= dict(is_kai_ming_init=False, is_modality_bias=True, item_mm_fusion="static", max_len=20, temperature=0.8)
    with tempfile.TemporaryDirectory() as folder:
        for key, table in (("text_embed_path", text), ("vision_embed_path", image)):
            config[key] = str(Path(folder, key))
            torch.save(table[1:], config[key])
        return importlib.import_module("model.mmm4rec").MMM4Rec(config)


def compare(checkout, folder):
    """The table, as lines of Markdown."""
    rows = m4r.leave_one_out(m4r.load_dataset(folder))
    torch.manual_seed(0)
    text, image = (F.normalize(torch.randn(rows.sequences.item_count + 1, 768), dim=1) for _ in range(2))
    ours, plain = (m4r.MMM4Rec(m4r.ModelConfig.paper(), image, text) for _ in range(2))
    theirs = public_model(checkout, text, image)
    losses = {
        "the public code": lambda one: theirs.calculate_loss(one.items, one.lengths, one.targets, one.times),
        "this library, plain form": lambda one: full_loss(plain, plain.plain_users(one), one.targets),
        "this library": lambda one: ours.losses(one, "scratch")["cross_entropy"],
    }
    optimizers = [NAdam(model.parameters(), lr=1e-4, weight_decay=5e-3) for model in (theirs, plain)]
    optimizers.append(NAdam(parameter_groups(ours, m4r.TrainConfig()), lr=1e-4))
    wall, cpu = {name: [] for name in losses}, {name: [] for name in losses}
    chunks = list(epoch(rows.train, ROWS, 0, 0))[: ROUNDS + 1]
    with fast_denormals(), kept_memory():
        for model in (theirs, plain, ours):
            model.train()
        for chunk in chunks:
            for (name, loss), optimizer in zip(losses.items(), optimizers):
                began = time.perf_counter(), time.process_time()
                loss(batch(rows.sequences, chunk, 20)).backward()
                optimizer.step()
                optimizer.zero_grad()
                wall[name].append(time.perf_counter() - began[0])
                cpu[name].append(time.process_time() - began[1])
    steps, least = -(-len(rows.train) // ROWS), {name: min(taken[1:]) for name, taken in wall.items()}
    page = [f"MMM4Rec at the paper's size, {folder.name}\n"]
    page += [
        f"{len(rows.train):,} rows, {rows.sequences.item_count:,} items. Least of {ROUNDS} rounds in one process.\n"
    ]
    page += ["| | step (s) | median (s) | epoch (s) | public / this | the same in processor time |"]
    page += ["| --- | --- | --- | --- | --- | --- |"]
    spent = {name: min(taken[1:]) for name, taken in cpu.items()}
    for name, taken in least.items():
        ratios = [f"{v['the public code'] / v[name]:.1f}" for v in (least, spent)]
        cells = [f"{taken:.3f}", f"{statistics.median(wall[name][1:]):.3f}", f"{taken * steps:.0f}", *ratios]
        page.append(f"| {name} | {' | '.join(cells)} |")
    return [*page, "", roofline(losses["this library"], batch(rows.sequences, chunks[1], 20), least["this library"])]


def roofline(loss, one, taken):
    """What matrix products alone need, and how much of that rate a step of ``taken`` seconds reaches."""
    with FlopCounterMode(display=False) as counter:
        loss(one).backward()
    work, rate = counter.get_total_flops(), max(map(gemm_rate, ((4386, 768, 256), (2048, 256, 1536), (2048, 256, 256))))
    told = f"The step's matrix products are {work / 1e9:.1f} GFLOP; alone, the fastest of its shapes runs at"
    return f"{told} {rate / 1e9:.0f} GFLOP/s: {work / rate:.3f} s, {work / rate / taken:.0%} of the step."


def gemm_rate(shape, rounds=30):
    """Operations a second, at best."""
    rows, inner, columns = shape
    x, W, best = torch.randn(rows, inner), torch.randn(columns, inner), float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        F.linear(x, W)
        best = min(best, time.perf_counter() - began)
    return 2 * rows * inner * columns / best


if __name__ == "__main__":
    print("\n".join(compare(*map(Path, sys.argv[1:3]))))
