"""The one place that decides where things run."""

import torch
from lightning_fabric import Fabric

ACCELERATOR = "auto"  # the accelerator that is there, the CPU otherwise; unit tests pin it to "cpu"


def fabric(devices: int = 1, nodes: int = 1) -> Fabric:
    """A Fabric on so many devices of the accelerator, on each of so many machines; more than one: to be launched."""
    return Fabric(accelerator=ACCELERATOR, devices=devices, num_nodes=nodes)


def device() -> torch.device:
    """That accelerator's torch device."""
    return fabric().device
