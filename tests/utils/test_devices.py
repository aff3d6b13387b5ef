"""The device is the one that Fabric would take, found without Fabric where there is no accelerator."""

import pytest

from mmm4rec_lite.utils import devices


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_the_device_is_the_one_that_fabric_takes(monkeypatch, accelerator):
    monkeypatch.setattr(devices, "ACCELERATOR", accelerator)
    assert devices.device() == devices.fabric().device
