"""The core alone, in an environment of its own: it installs, trains, ranks, and has none of the optional libraries."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPTIONAL = (
    "PIL adjustText bs4 ipywidgets joblib matplotlib nbformat open_clip polars pooch seaborn timm transformers typer"
)
TRAINS = f"""
from importlib.util import find_spec
import torch
import mmm4rec_lite as m4r

assert [name for name in {OPTIONAL.split()!r} if find_spec(name)] == []
toy = m4r.load_dataset("data_samples/toy")
numbers, there = torch.randn(2, len(toy.items), 12), torch.ones(len(toy.items), dtype=torch.bool)
encoder = dict(name="drawn", fingerprint="none")
features = m4r.Features(list(toy.items["item"]), text=numbers[0], image=numbers[1], has_image=there, encoder=encoder)
done = m4r.run(m4r.Task(toy, features), "mmm4rec", out="mine", epochs=2, progress=False)
assert done.history["loss"].is_monotonic_decreasing
print(m4r.recommend(done.model, toy, "user00", k=3)["title"].tolist())
try:
    m4r.mask_map
except m4r.InputError as error:
    print(error)
"""


@pytest.mark.slow
def test_the_core_alone_trains(tmp_path):
    """About a minute, nearly all of it pip's; skips where pip reaches no index."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    shutil.copytree(ROOT / "mmm4rec_lite", tmp_path / "source" / "mmm4rec_lite")
    for name in ("pyproject.toml", "README.md"):
        shutil.copyfile(ROOT / name, tmp_path / "source" / name)
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    (tmp_path / "pins.txt").write_text("\n".join(line for line in pins if "==" in line))
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", tmp_path / "pins.txt"]
    done = subprocess.run([*install, tmp_path / "source"], capture_output=True, text=True)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("pip reaches no index")
    assert done.returncode == 0, done.stderr
    (tmp_path / "data_samples").symlink_to(ROOT / "data_samples")
    alone = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run([python, "-c", TRAINS], capture_output=True, text=True, cwd=tmp_path, env=alone)
    assert done.returncode == 0, done.stderr
    assert 'which is not installed: pip install "mmm4rec-lite[viz]"' in done.stdout


def test_the_core_is_what_the_manual_says():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = [requirement.partition(">")[0] for requirement in project["dependencies"]]
    assert sorted(core) == "lightning-fabric numpy pandas platformdirs pyarrow safetensors torch tqdm".split()
