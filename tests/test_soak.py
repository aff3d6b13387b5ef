"""Three to ten per cent of what ``make soak`` tries, seeded, or what eight seconds allow; each part in a process of its
own, where nothing checks types."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARES = dict(readers=0.05, pictures=0.1, tensors=0.1, commands=0.03, kills=0.07, orders=0.04, memory=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("part", SHARES)  # test_inputs.py has the batches
def test_a_part_of_the_soak_finds_nothing(part):
    command = [
        sys.executable,
        ROOT / "benchmarks" / "soak.py",
        "--parts",
        part,
        "--share",
        str(SHARES[part]),
        "--seconds",
        "8",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3_000:]
    told = json.loads(done.stdout)
    assert told["part"] == part and told["wrong"] == 0 and told["tried"] >= 1
