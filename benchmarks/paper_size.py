"""Seconds per training step and per evaluation at the paper's size, as one JSON line.

    python benchmarks/paper_size.py [--items 25986] [--steps 5]

Random features and histories: a timing, not a result. One batch of 1,024 rows per step (the paper's step
accumulates eight), each loss with backward pass and optimiser; evaluation is full ranking, per 1,000 users.
"""

import argparse
import json
import platform

import torch

from mmm4rec_lite import MMM4Rec, ModelConfig
from mmm4rec_lite.data import Batch
from mmm4rec_lite.evaluation import count_ranks, model_scorer
from mmm4rec_lite.models.base import count_parameters
from mmm4rec_lite.models.losses import LOSSES
from mmm4rec_lite.study.protocol.timing import median_seconds
from mmm4rec_lite.training import NAdam, TrainConfig, parameter_groups
from mmm4rec_lite.utils.devices import device


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=25_986, help="catalogue size (default: the paper's Office)")
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=5)
    given = parser.parse_args()
    where, config = device(), ModelConfig.paper()
    torch.manual_seed(0)
    features = [torch.nn.functional.normalize(torch.randn(given.items + 1, 768), dim=1) for _ in range(2)]
    model = MMM4Rec(config, *features).to(where)
    lengths = torch.randint(1, config.max_len + 1, (given.rows,))
    times = torch.randint(0, 30 * 86400, (given.rows, config.max_len)).cumsum(1)
    one = Batch(
        torch.randint(1, given.items + 1, times.shape),
        lengths,
        times,
        torch.randint(1, given.items + 1, (given.rows,)),
        times[:, -1],
    ).to(where)
    result = {
        "device": torch.cuda.get_device_name() if where.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "items": given.items,
        "rows": given.rows,
        "parameters without item tables": count_parameters(model),
    }
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
