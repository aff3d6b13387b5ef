"""Seconds per training step and per evaluation at the paper's size, or per epoch, as one JSON line.

    python benchmarks/paper_size.py [--items 25986] [--steps 5]
    python benchmarks/paper_size.py --items 4385 --epoch 34101 [--plain] [--precision bf16-mixed]

Random features and histories: a timing, not a result. One batch of 1,024 rows per step (the paper's step
accumulates eight), each loss with backward pass and optimiser; evaluation is full ranking, per 1,000 users.
An epoch is one of ``fit`` with the paper's settings, over users of seven interactions on average; ``--plain``: by a
loop without its savings: whole windows, batches moved one by one, all logits of a batch kept, a wait after each.
"""

import argparse
import json
import platform
import time

import numpy as np
import torch
from torch.nn import functional as F

from mmm4rec_lite import MMM4Rec, ModelConfig
from mmm4rec_lite.data import Batch, batch, epoch
from mmm4rec_lite.data.split import flat_sequences, prefixes
from mmm4rec_lite.evaluation import count_ranks, model_scorer
from mmm4rec_lite.models.base import count_parameters
from mmm4rec_lite.models.losses import LOSSES
from mmm4rec_lite.study.protocol.timing import median_seconds
from mmm4rec_lite.training import NAdam, TrainConfig, fit, parameter_groups
from mmm4rec_lite.utils.devices import device


def histories(items, rows, seed=0):
    """(sequences, at least so many rows of them) of made-up users."""
    draw = np.random.default_rng(seed)
    user = np.repeat(np.arange(rows // 4), 3 + draw.geometric(1 / 4, rows // 4))
    times = draw.integers(0, 30 * 86400, len(user)).cumsum()
    flat = flat_sequences(user, draw.integers(1, items + 1, len(user)), times, [], items)
    return flat, prefixes(flat).train[:rows]


def plain_epoch(model, flat, rows, training):
    """What ``fit`` does in an epoch, without its savings."""
    where, total = next(model.parameters()).device, 0.0
    optimizer = NAdam(parameter_groups(model, training), lr=training.lr)
    model.train()
    for i, chunk in enumerate(epoch(rows, training.batch_size, training.seed, 0)):
        one = batch(flat, chunk, model.window).to(where)
        loss = F.cross_entropy(model.score(model.users(one)), one.targets)
        (loss / training.accumulate).backward()
        total += loss.item() * len(chunk)
        if (i + 1) % training.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
    return total / len(rows)


def timed_epoch(model, given):
    """Seconds, peak memory on a GPU (GB) and loss of one epoch."""
    training = TrainConfig.paper("finetune", epochs=1, precision=given.precision)
    flat, rows = histories(given.items, given.epoch)
    began = time.perf_counter()
    if given.plain:
        loss = plain_epoch(model, flat, rows, training)
    else:
        loss = fit(model, flat, rows, training, progress=False)["loss"].item()
    spent, gpu = time.perf_counter() - began, torch.cuda.is_available()
    memory = dict(peak_gb=round(torch.cuda.max_memory_allocated() / 1e9, 2)) if gpu else {}
    about = dict(form="plain" if given.plain else "fit", precision=given.precision, epoch_rows=len(rows))
    return about | dict(seconds=round(spent, 2), loss=round(loss, 3)) | memory


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=25_986, help="catalogue size (default: the paper's Office)")
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--epoch", type=int, help="time an epoch of so many rows instead")
    parser.add_argument("--plain", action="store_true", help="the epoch without the savings of fit")
    parser.add_argument("--precision", default="32-true", help="of fit: 32-true or bf16-mixed")
    given = parser.parse_args()
    where, config = device(), ModelConfig.paper()
    torch.manual_seed(0)
    features = [torch.nn.functional.normalize(torch.randn(given.items + 1, 768), dim=1) for _ in range(2)]
    model = MMM4Rec(config, *features).to(where)
    about = {
        "device": torch.cuda.get_device_name() if where.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "items": given.items,
    }
    if given.epoch:
        print(json.dumps(about | timed_epoch(model, given)))
        return
    lengths = torch.randint(1, config.max_len + 1, (given.rows,))
    times = torch.randint(0, 30 * 86400, (given.rows, config.max_len)).cumsum(1)
    one = Batch(
        torch.randint(1, given.items + 1, times.shape),
        lengths,
        times,
        torch.randint(1, given.items + 1, (given.rows,)),
        times[:, -1],
    ).to(where)
    result = about | {"rows": given.rows, "parameters without item tables": count_parameters(model)}
    for name, loss in LOSSES.items():
        training = TrainConfig.paper("finetune" if name == "full" else "pretrain")
        optimizer = NAdam(parameter_groups(model, training), lr=training.lr)

        def step(loss=loss, optimizer=optimizer):
            model.train()
            loss(model, model.users(one), one.targets).backward()
            optimizer.step()
            optimizer.zero_grad()

        result[f"seconds per training step, {name}"] = round(median_seconds(step, given.steps), 4)

    def evaluate():
        with torch.no_grad():
            count_ranks(model_scorer(model)(one), one.targets)

    result["seconds per evaluation of 1,000 users"] = round(
        median_seconds(evaluate, given.steps) * 1000 / given.rows, 4
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
