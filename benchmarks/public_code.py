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
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

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
    one = batch(rows.sequences, chunks[1], 20)

    def step():
        losses["this library"](one).backward()
        optimizers[-1].step()
        optimizers[-1].zero_grad()

    return [*page, "", roofline(step, least["this library"], least["the public code"])]


class Traffic(TorchDispatchMode):
    """Bytes that all operations but matrix products read and write, each of its tensors once."""

    total = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        out = operation(*args, **(kwargs or {}))
        if not operation.is_view and operation.overloadpacket not in flop_registry:
            tensors = {v.data_ptr(): v for v in tree_leaves((args, kwargs, out)) if isinstance(v, torch.Tensor)}
            self.total += sum(min(v.nbytes, v.untyped_storage().nbytes()) for v in tensors.values())
        return out


def roofline(step, taken, public):
    """What a step's operations need at the rates of these cores, and how much of that a step of ``taken`` reaches."""
    fused = F.linear_cross_entropy
    del F.linear_cross_entropy  # opaque to both counters: its plain form is counted
    try:
        with FlopCounterMode(display=False) as counter:
            step()
        with Traffic() as traffic:
            step()
    finally:
        F.linear_cross_entropy = fused
    work, rate = counter.get_total_flops(), max(map(gemm_rate, ((4386, 768, 256), (2048, 256, 1536), (2048, 256, 256))))
    speed, products = copy_rate(), work / rate
    least = products + traffic.total / speed
    return (
        f"The step's matrix products are {work / 1e9:.1f} GFLOP; alone, the fastest of its shapes runs at "
        f"{rate / 1e9:.0f} GFLOP/s: {products:.3f} s. All other operations move {traffic.total / 1e9:.2f} GB; memory "
        f"gives {speed / 1e9:.0f} GB/s: {least - products:.3f} s. Together {least:.3f} s, {public / least:.1f} "
        f"times the public code; the step reaches {least / taken:.0%} of that."
    )


def copy_rate(numbers=30_000_000):
    """Bytes a second of a product of two vectors beyond all caches, at best."""
    x, y, z = (torch.ones(numbers) for _ in range(3))
    return 12 * numbers / least_of(lambda: torch.mul(x, y, out=z))


def gemm_rate(shape):
    """Operations a second, at best."""
    rows, inner, columns = shape
    x, W = torch.randn(rows, inner), torch.randn(columns, inner)
    return 2 * rows * inner * columns / least_of(lambda: F.linear(x, W))


def least_of(call, rounds=30):
    """Seconds, at best."""
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


if __name__ == "__main__":
    print("\n".join(compare(*map(Path, sys.argv[1:3]))))
