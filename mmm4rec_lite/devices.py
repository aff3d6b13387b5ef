"""The one place that decides where things run."""

from lightning_fabric import Fabric

ACCELERATOR = "auto"       # the accelerator that is there, the CPU otherwise; unit tests pin it to "cpu"


def fabric():
    """A Fabric on one device of the accelerator."""
    return Fabric(accelerator=ACCELERATOR, devices=1)


def device():
    """That accelerator's torch device."""
    return fabric().device
