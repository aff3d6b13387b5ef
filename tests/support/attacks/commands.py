"""Command lines by chance: every command and option, with values that are right, absurd, or of another option."""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.support import toy as make_toy
from tests.support.attacks import Report, shop
from tests.support.attacks.apart import apart, preload

LECTURE = Path(__file__).parents[3] / "notebooks" / "teaching" / "lecture.ipynb"
SECONDS = 20  # then a command is ended; until then it must have said something
LEFT_OUT = {"movielens", "tour", "audit", "reproduce", "experiment", "notebooks", "figures"}  # network, or long
FLAGS = ["--json", "--help", "--nothing", "-", "--", "-k", ""]
VALUES = ["toy", "features.safetensors", "table.safetensors", "run", "half", "run/model.safetensors", "user00", "l07"]
VALUES += [
    "nowhere",
    "garbage",
    "toy/items.parquet",
    "empty",
    "loop",
    "0",
    "1",
    "-1",
    "2",
    "3.5",
    "nan",
    "inf",
    "1e400",
]
VALUES += [
    "99999999999999999999",
    "1000000000",
    "-9223372036854775808",
    "",
    " ",
    "é",
    "x" * 5_000,
    "a\nb",
    "%s",
    "$HOME",
]
VALUES += [
    "lamps",
    "lamps,mugs",
    ",",
    "sasrec",
    "mmm4rec+id",
    "leave_one_out",
    "random",
    "packaged",
    "2020-01-01",
    "mean",
]
VALUES += ["9999-99-99", "/dev/null", "/proc/self/mem", "new/place", "toy.csv", "items.csv", "{}", "[", "--", "users=5"]


def furnish(folder: Path) -> None:
    """What command lines may name."""
    shop.furnish(folder)
    shutil.copytree(make_toy.FOLDER, folder / "toy")
    (folder / "empty").mkdir()
    (folder / "garbage").write_bytes(bytes(range(256)) * 9)
    (folder / "loop").symlink_to("loop")
    shop.toy().interactions.to_csv(folder / "toy.csv", index=False)
    shop.toy().items.drop(columns="image").to_csv(folder / "items.csv", index=False)


def commands() -> dict[tuple[str, ...], list[str]]:
    """Path of a command -> its options and "" for each argument."""
    import typer

    from mmm4rec_lite.study.cli.commands import app

    def walk(command, path=()):
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, (*path, name))
        if not hasattr(command, "commands"):
            yield path, [o.opts[-1] if o.opts[-1].startswith("-") else "" for o in command.params]

    return {path: options for path, options in walk(typer.main.get_command(app)) if not LEFT_OUT & set(path)}


RIGHT = {"--data": "toy", "--features": "features.safetensors", "--encoder": "random", "--epochs": "1"}
RIGHT |= {
    "--notebook": str(LECTURE),
    "--user": "user00",
    "--model": "sasrec",
    "--codes": "text",
    "table": "table.safetensors",
}


def line(known, rng) -> list[str]:
    """A command line: often nearly right, so that it comes far."""
    path = list(known)[int(rng.integers(len(known)))]
    words, value = list(path), lambda: str(rng.choice(VALUES))
    for option in known[path]:
        if option == "":
            words.append(str(rng.choice(["run", "toy", "toy.csv", "items.csv"])) if rng.random() < 0.6 else value())
        elif option in RIGHT and rng.random() < 0.8:
            words += [option, RIGHT[option] if rng.random() < 0.8 else value()]
        elif option == "--out" and rng.random() < 0.8:
            words += [option, f"out{int(rng.integers(100))}" if rng.random() < 0.8 else value()]
        elif rng.random() < 0.15 and option not in ("--devices", "--nodes"):
            words += [option] if rng.random() < 0.3 else [option, value()]
    if rng.random() < 0.2:
        words.insert(int(rng.integers(len(words) + 1)), str(rng.choice(FLAGS)))
    return words


def attack(count: int, seed: int = 0) -> Report:
    """``count`` command lines: 0 or 2 (1: nothing wrong was found to say), never a traceback, never long silence."""
    from mmm4rec_lite.study.cli import main

    preload()
    rng, report, known = np.random.default_rng(seed), Report(), commands()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work, "a", "b")
        folder.mkdir(parents=True)
        furnish(folder)
        for number in range(count):
            if report.late:
                break
            words = line(known, rng)

            def call(words=words):
                sys.argv = ["mmm4rec-lite", *words]
                main()

            ended = apart(call, folder, SECONDS)
            what = f"{number} {' '.join(words)[:300]!r} -> {ended.code}"
            if "Traceback" in ended.text:
                report.fault(f"{what}: {ended.text.strip().splitlines()[-1][:200]}")
            elif ended.code == -14:
                report.saw("long, and says so") if ended.text.strip() else report.fault(
                    f"{what}: silent for {SECONDS} s"
                )
            elif ended.code in (0, 1, 2) and ended.text.strip():
                report.saw(f"ended with {ended.code}")
            else:
                report.fault(f"{what}: {ended.text[-200:]!r}")
    return report
