"""The one place that decides where things run."""

from lightning_fabric import Fabric

ACCELERATOR = "auto"  # the accelerator that is there, the CPU otherwise; unit tests pin it to "cpu"


def fabric(devices=1, nodes=1):
    """A Fabric on so many devices of the accelerator, on each of so many machines; more than one: to be launched."""
    return Fabric(accelerator=ACCELERATOR, devices=devices, num_nodes=nodes)


def device():
    """That accelerator's torch device."""
    return fabric().device
