"""The one place that decides where things run."""

from lightning_fabric import Fabric


def fabric():
    """A Fabric on the accelerator that is there, the CPU otherwise; one device."""
    return Fabric(accelerator="auto", devices=1)


def device():
    """That accelerator's torch device."""
    return fabric().device
