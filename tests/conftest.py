"""What all tests share: the toy dataset of data_samples/toy and random item features."""

# Before anything of the library is imported: every annotated call is checked, tensors' shapes included.
import jaxtyping

import tests.support.checking  # noqa: F401

jaxtyping.install_import_hook("mmm4rec_lite", "tests.support.checking.check")

from collections import Counter

import pytest
import torch

from mmm4rec_lite.data import leave_one_out, load_dataset
from mmm4rec_lite.features import Features
from mmm4rec_lite.models.config import ModelConfig
from mmm4rec_lite.models.mmm4rec import MMM4Rec
from mmm4rec_lite.utils import devices
from tests.support import toy as make_toy

devices.ACCELERATOR = "cpu"  # in this process; notebooks and test_gpu.py use what is there
torch.set_num_threads(1)  # models this small are faster so, also beside other work


def pytest_terminal_summary(terminalreporter):
    """Seconds per notebook, as long as its cells ran."""
    seconds = Counter()
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        if ".ipynb::" in report.nodeid:
            seconds[report.nodeid.partition("::")[0]] += report.duration
    if seconds:
        terminalreporter.section("notebooks")
        for name, spent in seconds.items():
            terminalreporter.line(f"{spent:6.1f} s  {name}")
        terminalreporter.line(f"{seconds.total():6.1f} s  in all")


@pytest.fixture(scope="session")
def toy():
    """60 lamps and mugs, 80 users, pictures; nobody changes it (load a copy of the folder to do so)."""
    return load_dataset(make_toy.FOLDER)


@pytest.fixture(scope="session")
def toy_split(toy):
    return leave_one_out(toy)


@pytest.fixture(scope="session")
def random_features():
    """A function (item ids, seed, fingerprint) -> Features drawn from N(0, 1), images 12 and texts 10 wide."""

    def make(items, seed=0, fingerprint="f" * 16):
        g, n = torch.Generator().manual_seed(seed), len(items)
        text, image = torch.randn(n, 10, generator=g), torch.randn(n, 12, generator=g)
        encoder = {"name": "drawn", "fingerprint": fingerprint, "missing": "zeros"}
        return Features(list(items), text, image, torch.ones(n, dtype=torch.bool), encoder)

    return make


@pytest.fixture
def unchecked():
    """Arguments of wrong types reach the library, as they do where no test looks on."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def double():
    """Float64 throughout a test."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def small():
    """Sizes for tests that train."""
    return ModelConfig(d_model=16, d_ff=16, d_state=4, head_dim=8, max_len=8)


@pytest.fixture(scope="session")
def toy_model(toy, random_features):
    """A function (config, seed) -> a model over the toy's catalogue, always the same for the same seed."""

    def make(config, seed=0):
        torch.manual_seed(seed)
        return MMM4Rec.from_catalogue(config, random_features(toy.items["item"]).catalogue(toy.items["item"]))

    return make
