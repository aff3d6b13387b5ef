"""Attacks, counted: batches, files and command lines by chance, kills, shuffled orders, memory.

    OMP_NUM_THREADS=1 python benchmarks/soak.py [--parts inputs,tensors] [--share 0.1] [--seed 0]

``make soak`` runs all (`make soak PARTS=readers` some). It prints a JSON line per part: what was asked for and tried,
what came of it, seconds; and ends with 1 where a traceback, a loss, a silent wrong or a leak was found, after saying
each.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

from tests.support.attacks import Report, commands, inputs, kills, memory, tensors


def readers(count: int, seed: int = 0) -> Report:
    """Tables by chance, whole and damaged."""
    from tests.support import fuzz_readers

    report = Report()
    with tempfile.TemporaryDirectory() as work:
        for number, case in enumerate(fuzz_readers.tables(seed, count)):
            if report.late:
                break
            _try(report, f"table {number}", lambda case=case: fuzz_readers.attempt(case, Path(work)))
    return report


def pictures(count: int, seed: int = 0) -> Report:
    """Picture files by chance, most of them damaged."""
    from tests.support import fuzz_readers

    report = Report()
    for number, content in enumerate(fuzz_readers.pictures(seed, count)):
        if report.late:
            break
        _try(report, f"picture {number}", lambda content=content: fuzz_readers.attempt_picture(content))
    return report


def _try(report, what, work):
    try:
        report.saw(work())
    except Exception as error:
        report.fault(f"{what}: {type(error).__name__}: {str(error)[:150]}")


PARTS: dict[str, tuple[Callable[[int, int], Report], int]] = {
    "inputs": (inputs.attack, 10_000),
    "readers": (readers, 5_000),
    "pictures": (pictures, 1_000),
    "tensors": (tensors.attack, 2_000),
    "commands": (commands.attack, 1_000),
    "kills": (kills.attack, 180),
    "orders": (memory.shuffled, 50),
    "memory": (memory.attack, 200),
}


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="names, separated by commas")
    parser.add_argument("--share", type=float, default=1.0, help="of each part's count")
    parser.add_argument("--seconds", type=float, default=150, help="a part ends then, however much is left")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    wrong = []
    for name in asked.parts.split(","):
        part, count = PARTS[name]
        Report.until = time.monotonic() + asked.seconds
        began, count = time.perf_counter(), max(1, round(count * asked.share))
        report = part(count, asked.seed)
        line = dict(part=name, of=count, tried=report.tried, seed=asked.seed, wrong=len(report.wrong), **report.counts)
        print(json.dumps(line | dict(seconds=round(time.perf_counter() - began))), flush=True)
        print(*report.wrong[:20], sep="\n", end="\n" if report.wrong else "", file=sys.stderr)
        wrong += report.wrong
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
