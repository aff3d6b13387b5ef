"""What several processes, one on each device, do together; one alone does without. All must make the same calls."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from mmm4rec_lite.utils.typing import Int, Tensor


def count() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Which one this is, from 0; 0 alone writes files and prints."""
    return distributed.get_rank() if count() > 1 else 0


def end_with(parent: int | None = None) -> None:
    """This process, a worker, ends where ``parent`` does, even by a kill (the process that started it by default)."""

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    parent = os.getppid() if parent is None else parent
    if os.name == "posix" and not any(thread.name == "end_with" for thread in threading.enumerate()):
        threading.Thread(target=watch, name="end_with", daemon=True).start()


def wait() -> None:
    """Until all have come here."""
    if count() > 1:
        distributed.barrier()


def agree(value: Any) -> Any:
    """What rank 0 has."""
    box = [value]
    if count() > 1:
        distributed.broadcast_object_list(box)
    return box[0]


def total(values: Tensor) -> Tensor:
    """The sum over all processes, element by element."""
    if count() == 1:
        return values
    sums = values.to("cuda" if distributed.get_backend() == "nccl" else "cpu")
    distributed.all_reduce(sums)
    return sums.to(values.device)


def alike(value: Any) -> bool:
    """Whether all have the same."""
    return total(torch.tensor(float(value != agree(value)))).item() == 0


def add_gradients(model: nn.Module) -> None:
    """Every trained parameter's gradient becomes the sum over all processes, in one message."""
    if count() > 1:
        trained = [p for p in model.parameters() if p.requires_grad]
        for p in trained:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad  # not met here, but maybe elsewhere
        gradients = [p.grad for p in trained if p.grad is not None]
        vector_to_parameters(total(parameters_to_vector(gradients)), gradients)


def gather(rows: Tensor) -> tuple[Tensor, int]:
    """The rows of all processes, however many each has, with gradients to where they are; where the own begin."""
    if count() == 1:
        return rows, 0
    own = torch.zeros(count(), dtype=torch.long, device=rows.device)
    own[rank()] = len(rows)
    lengths = total(own).tolist()
    start = sum(lengths[: rank()])
    return _Gather.apply(rows, start, sum(lengths)), start


class _Gather(torch.autograd.Function):
    """The sum of all processes' rows, each at its place among zeros; of gradients, the sum at one's own place."""

    @staticmethod
    def forward(ctx, rows, start, length):
        ctx.own = slice(start, start + len(rows))
        everyone = rows.new_zeros(length, *rows.shape[1:])
        everyone[ctx.own] = rows
        return total(everyone)

    @staticmethod
    def backward(ctx, gradient):
        return total(gradient.clone())[ctx.own], None, None


def mean(values: Tensor, rows: int) -> Tensor:
    """The mean of all processes' values (0 of none), as a loss that is weighed by a process's share of the rows."""
    numbers = total(torch.tensor([values.numel(), rows], dtype=torch.float64)).tolist()
    return values.sum() * (numbers[1] / rows) / max(numbers[0], 1)


def own_part(rows: Int[Tensor, " R"]) -> Int[Tensor, " n"]:
    """This process's share; ``gather`` puts the shares in order again."""
    return rows.tensor_split(count())[rank()]


@contextmanager
def draws_alike(*key: int) -> Iterator[None]:
    """All draw what rank 0 draws; afterwards each other draws its own numbers, which depend on the key alone."""
    if count() > 1:
        torch.set_rng_state(agree(torch.get_rng_state()))
    yield
    if rank():
        torch.manual_seed(int(np.random.SeedSequence([*key, rank()]).generate_state(1)[0]))
