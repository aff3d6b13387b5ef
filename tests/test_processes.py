"""Two processes (gloo, on the CPU) train as one does: the same joint batches, losses, gradients, files."""

import pickle
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric
from torch.optim import NAdam

from mmm4rec_lite import training
from mmm4rec_lite.data import batch
from mmm4rec_lite.runs import Task, as_changes, pretrain, run
from mmm4rec_lite.training import TrainConfig, fit
from mmm4rec_lite.utils import devices, processes
from mmm4rec_lite.utils.errors import InputError
from tests.support.models import STAGED, drawn, made

DRAWN = [("s3rec", "pretrain"), ("mmsrec", "scratch"), ("mmsrec", "finetune")]  # losses that ask for drawn steps
CALM = dict(dropout=0.0, time_dropout=0.0)


@pytest.fixture
def together(tmp_path_factory):
    """A function: what ``work()`` returns in the first of two processes, which both do it."""
    kept = tmp_path_factory.mktemp("returned") / "value"  # not through the launcher, which takes small things only

    def launch(work):
        def one(fabric):
            devices.LAUNCHED = fabric
            value = work()
            if fabric.global_rank == 0:
                kept.write_bytes(pickle.dumps(value))

        Fabric(accelerator="cpu", devices=2, strategy="ddp_fork").launch(one)
        return pickle.loads(kept.read_bytes())

    return launch


@pytest.fixture
def train(toy_model, toy_split, small, monkeypatch):
    """A function that trains a toy model on 75 rows: (losses and metrics, its weights, all steps' gradients)."""

    def start(config, folder=None, **changes):
        seen = []

        class Recorder(NAdam):
            def step(self, *arguments):
                seen.append(torch.cat([p.grad.flatten() for group in self.param_groups for p in group["params"]]))
                return super().step(*arguments)

        monkeypatch.setitem(training.OPTIMIZERS, "nadam", Recorder)
        model, valid = toy_model(small.replace(**changes)), None if config.stage == "pretrain" else toy_split.valid
        history = fit(model, toy_split.sequences, toy_split.train[:75], config, valid, folder, progress=False)
        found = history.drop(columns=["train_seconds", "valid_seconds"], errors="ignore")
        weights = torch.cat([value.flatten() for value in model.state_dict().values()])
        return found.to_dict("list"), weights.numpy(), torch.stack(seen).numpy() if seen else None

    return start


def test_rows_of_unequal_shares_come_together_with_their_gradients(together):
    def work():
        own = torch.arange(3.0 + processes.rank()).unsqueeze(1).requires_grad_()
        rows, start = processes.gather(own)
        (rows.square().sum() * (1 + processes.rank())).backward()
        shares = processes.own_part(torch.arange(5))
        return rows.tolist(), start, own.grad.tolist(), shares.tolist(), processes.gather(shares)[0].tolist()

    rows, start, gradient, shares, whole = together(work)
    assert rows == [[0], [1], [2], [0], [1], [2], [3]] and start == 0
    assert gradient == [[0], [6], [12]]  # 2 x, of both processes' losses
    assert shares == [0, 1, 2] and whole == [0, 1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["scratch", "pretrain"])
def test_losses_and_gradients_are_those_of_one_process_with_the_joint_batch(train, together, stage):
    config = TrainConfig(stage=stage, epochs=2, batch_size=16, accumulate=2, clip=0.5)
    (history, weights, steps), (history_2, weights_2, steps_2) = (
        train(config, **CALM),
        together(lambda: train(config, **CALM)),
    )
    assert len(steps) == len(steps_2) == 6  # batches of 16, 16, 16, 16, 11 rows
    assert abs(steps[0] - steps_2[0]).max() < 1e-6
    assert history_2["loss"] == pytest.approx(history["loss"], abs=1e-6)
    assert abs(weights_2 - weights).max() < 1e-3  # a gradient of nothing, normalised, goes anywhere


@pytest.mark.slow
@pytest.mark.parametrize("supervise, size", [("last_position", 32), ("all_positions", 5)])
def test_in_double_precision_so_are_whole_runs(train, together, double, supervise, size):
    config = TrainConfig(epochs=3, batch_size=size, supervise=supervise)
    changes = CALM | dict(time=supervise == "last_position")
    one, two = train(config, **changes), together(lambda: train(config, **changes))
    assert two[0] == {name: pytest.approx(values, abs=1e-9) for name, values in one[0].items()}
    assert abs(two[1] - one[1]).max() < 1e-7


@pytest.mark.slow
@pytest.mark.parametrize("then", [1, 2])
def test_a_killed_run_goes_on_in_any_number_of_processes(train, together, tmp_path, then):
    config, quiet = TrainConfig(epochs=3, batch_size=32), CALM if then == 1 else {}
    whole = together(lambda: train(config, **quiet))
    original = training._one_epoch

    def killed():
        training._one_epoch = lambda *given: original(*given) if given[5] < 2 else sys.exit(1)
        return train(config, tmp_path, **quiet)

    with pytest.raises(Exception):  # noqa: B017 (torch's, of a process that ended)
        together(killed)
    assert (tmp_path / "training.safetensors").exists()
    resumed = train(config, tmp_path, **quiet) if then == 1 else together(lambda: train(config, tmp_path, **quiet))
    if then == 2:
        assert resumed[0] == whole[0] and (resumed[1] == whole[1]).all()
    assert resumed[0]["loss"] == pytest.approx(whole[0]["loss"], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name, stage", [one for one in STAGED if one not in DRAWN])
def test_every_system_has_the_gradients_of_one_process(name, stage, toy, toy_split, together, double):
    catalogue, rows = drawn(len(toy.items) + 1), toy_split.train[40:53]
    model = made(name, catalogue, stage).double().eval()
    model.view = lambda batch: (batch, torch.zeros_like(batch.items).bool())  # drawn elsewhere
    model.masked = lambda batch: batch.items % 3 == 0  # the same
    model.fake_codes = lambda items: model.codes[items - 1]

    def work():
        model.zero_grad()
        own = rows[processes.rank() :: processes.count()]
        terms = model.losses(batch(toy_split.sequences, own, model.window), stage)
        (sum(terms.values()) * (len(own) / len(rows))).backward()
        processes.add_gradients(model)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
        return torch.cat([gradient.flatten() for gradient in gradients]).numpy()

    two, one = together(work), work()
    assert (abs(two - one) / (1 + abs(one))).max() < 1e-9


@pytest.mark.slow
def test_both_stages_in_two_processes_leave_the_files_of_one(toy, random_features, small, together, tmp_path):
    lamps, mugs, features = toy.select("lamps"), toy.select("mugs"), random_features(toy.items["item"])
    own = as_changes(small.replace(**CALM)) | dict(epochs=1, batch_size=64, progress=False)

    def work(place):
        first = pretrain(Task(lamps, features), out=tmp_path / place / "a", **own)
        done = run(Task(mugs, features), out=tmp_path / place / "b", start=first, **own)
        return done.record["loss"] if "loss" in done.record else done.history["loss"].tolist(), done.ranks.tolist()

    one, two = work("one"), together(lambda: work("two"))
    assert two[0] == pytest.approx(one[0], abs=1e-5) and len(two[1]) == len(one[1])
    names = [
        sorted(str(file.relative_to(tmp_path / place)) for file in (tmp_path / place).rglob("*"))
        for place in ("one", "two")
    ]
    assert names[0] == names[1]


def test_processes_that_start_apart_are_refused(toy_model, toy_split, small, together):
    def work():
        model = toy_model(small, seed=processes.rank())
        with pytest.raises(InputError, match="^training: the processes differ [^\n]*$"):
            fit(model, toy_split.sequences, toy_split.train[:75], TrainConfig(epochs=1), progress=False)

    together(work)


def test_batches_smaller_than_the_number_of_processes_are_refused(train, monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 8)
    with pytest.raises(InputError, match="^training: 8 processes share batches of 4 rows; use fewer$"):
        train(TrainConfig(batch_size=4))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "--devices"])
def test_the_command_trains_in_two_processes(toy, random_features, tmp_path, launcher):
    random_features(toy.items["item"]).save(tmp_path / "features")
    program = Path(sys.executable).with_name
    start = [program("torchrun"), "--nproc-per-node", "2"] if launcher == "torchrun" else [sys.executable]
    given = [
        "--data",
        toy.folder,
        "--features",
        tmp_path / "features",
        "--out",
        tmp_path / "run",
        "--epochs",
        "1",
        "--json",
    ]
    more = ["--devices", "2"] if launcher == "--devices" else []
    command = [*start, program("mmm4rec-lite"), "finetune", *given, *more]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == 1
