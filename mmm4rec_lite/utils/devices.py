"""The one place that decides where things run. Fabric takes a second to import and is so when it is needed."""

from typing import Any

import torch

ACCELERATOR = "auto"  # the accelerator that is there, the CPU otherwise; unit tests pin it to "cpu"


def fabric(devices: int = 1, nodes: int = 1) -> Any:
    """A Fabric on so many devices of the accelerator, on each of so many machines; more than one: to be launched."""
    from lightning_fabric import Fabric

    return Fabric(accelerator=ACCELERATOR, devices=devices, num_nodes=nodes)


def device() -> torch.device:
    """That accelerator's torch device."""
    cpu = ACCELERATOR == "cpu" or not torch.accelerator.is_available()
    return torch.device("cpu") if cpu else fabric().device
