"""The one place that decides where things run. Fabric takes a second to import and is so when it is needed."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from mmm4rec_lite.utils.errors import refuse
from mmm4rec_lite.utils.processes import end_with

ACCELERATOR = "auto"  # the accelerator that is there, the CPU otherwise; unit tests pin it to "cpu"
LAUNCHED: Any = None  # the Fabric of several processes, once there are several


def fabric(devices: int = 1, nodes: int = 1) -> Any:
    """A Fabric on so many devices of the accelerator, on each of so many machines, its processes launched.

    Where `torchrun` or `fabric run` launched this one, their numbers hold. Several processes keep the first Fabric.
    """
    global LAUNCHED
    if LAUNCHED is not None:
        return LAUNCHED
    from lightning_fabric import Fabric

    if "LOCAL_WORLD_SIZE" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    found = Fabric(accelerator=ACCELERATOR, devices=devices, num_nodes=nodes)
    if devices * nodes > 1:
        if os.environ.get("LOCAL_RANK", "0") != "0":
            end_with()
        if "LT_CLI_USED" not in os.environ:  # `fabric run` has no more to launch
            found.launch()
        LAUNCHED = found
    return found


def device() -> torch.device:
    """That accelerator's torch device."""
    cpu = ACCELERATOR == "cpu" or not torch.accelerator.is_available()
    return torch.device("cpu") if cpu else fabric().device


def autocast(precision: str) -> AbstractContextManager:
    """Inside it the device computes in "32-true", as it is, or "bf16-mixed", by Fabric's plugin."""
    if precision == "32-true":
        return nullcontext()
    from lightning_fabric.plugins import MixedPrecision

    where = device()
    lacks = where.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    refuse(lacks, f"precision: {where} has no bfloat16; train with precision='32-true'")
    return MixedPrecision("bf16-mixed", where.type).forward_context()
