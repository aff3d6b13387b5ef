"""A tenth of what ``make soak`` tries, seeded; each part in a process of its own, where nothing checks types."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = "readers pictures tensors commands kills orders memory".split()  # test_inputs.py has the batches


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_soak_finds_nothing(part):
    asked = ["--parts", part, "--share", "0.1", "--seconds", "120"]  # beyond any machine that is not overloaded
    command = [sys.executable, ROOT / "benchmarks" / "soak.py", *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3_000:]
    told = json.loads(done.stdout)
    assert told["part"] == part and told["wrong"] == 0 and told["tried"] > 0
