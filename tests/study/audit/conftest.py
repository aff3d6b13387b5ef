"""What the tests of the audit share: a small shop to audit."""

import pytest

from mmm4rec_lite.models.config import ModelConfig, TrainConfig
from mmm4rec_lite.runs import Task
from mmm4rec_lite.study.audit.trials import Bench


@pytest.fixture(scope="session")
def audit_folder(tmp_path_factory):
    """Where the runs of all these tests are kept."""
    return tmp_path_factory.mktemp("audit")


@pytest.fixture(scope="module")
def lamps(toy, random_features, audit_folder):
    """A small shop to audit; its runs go to a folder of their own."""
    patch = pytest.MonkeyPatch()
    patch.chdir(audit_folder)
    training = TrainConfig(epochs=1, rows_per_epoch=64, batch_size=64)
    tiny = ModelConfig(d_model=16, d_ff=16, d_state=4, head_dim=8, max_len=16)
    yield Bench(Task(toy.select("lamps"), random_features(toy.items["item"])), training, (0, 1), tiny)
    patch.undo()
