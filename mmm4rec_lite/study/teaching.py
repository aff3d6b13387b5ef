"""Exercises that check themselves: blanks made of solutions, and checks that say what is off; figures for slides.

A solution notebook marks lines with ``# solution``; the exercise is the same notebook with these lines blank. A check
compares a student's function with a reference, and where it differs, with usual mistakes, which it names.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from mmm4rec_lite.utils.errors import InputError

SOLVED, BLANK = "  # solution", "...  # your turn"
Row = Sequence[float]


@dataclass(frozen=True)
class Exercise:
    """A function to write: arguments to try it with, what is right, and usual mistakes by what to say of them."""

    cases: Sequence[tuple[Any, ...]]
    right: Callable[..., Any]
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


def _states(x: Row, a: float, late: int = 0) -> list[float]:
    return [sum(a ** (t - s + late) * x[s] for s in range(t + 1)) for t in range(len(x))]


def _mask(A: float, dt: Row, first: int = 1, last: int = 1) -> list[list[float]]:
    """M_ts: what the steps s + first .. t + last - 1 leave."""
    L = range(len(dt))
    return [[math.exp(A * sum(dt[s + first : t + last])) if s <= t else 0.0 for s in L] for t in L]


def _signal(times: Row, mean: float, std: float, log: bool = True, first: float | None = 0) -> list[float]:
    gaps = np.diff(times, prepend=times[0])
    signal = ((np.log1p(gaps) if log else gaps) - mean) / std
    return [signal[0] if first is None else first, *signal[1:]]


def _input(d: Row, delta: float, b: float) -> np.ndarray:
    return delta * np.asarray(d) + b


def _rank(scores: Row, target: int) -> int:
    return sum(score >= scores[target] for score in scores)


def _ndcg(rank: int, base: float = 2, k: int = 10) -> float:
    return math.log(base) / math.log(rank + 1) if rank <= k else 0.0


def _error(a: Row, b: Row) -> float:
    return float(np.subtract(a, b).std(ddof=1) / len(a) ** 0.5)


def _unpaired(a: Row, b: Row) -> float:
    return float(((np.var(a, ddof=1) + np.var(b, ddof=1)) / len(a)) ** 0.5)


def _verdict(difference: float, error: float, errors: float = 2) -> str:
    word = "supported" if difference > 0 else "contradicted"
    return word if difference and abs(difference) >= errors * error else "inconclusive"


def _score(history: Row) -> float:
    return sum(item * 0.5**back for back, item in enumerate(reversed(history)))


def _effects(score: Callable[[Row], float], history: Row) -> np.ndarray:
    return score(history) - np.array([score([*history[:i], *history[i + 1 :]]) for i in range(len(history))])


NO_MEMORY = "there is no memory: each state is its own input alone"
SHRINKS = "the new item shrinks too: only the old state is multiplied by a"
OWN_STEP, LAST_STEP = "an item's own step counts too: the sum begins at s + 1", "the sum ends at t, t included"
TURNED = "rows and columns are exchanged: a row is the moment t of reading"
TIES = "a tie must count against the target, or a model that scores all alike would be the best"
PLACES = "this is recall: the place among the ten counts, too"
PAIRS = "the same users rank with both: take the differences first"
SPREAD = "this is the spread of users; divide by the root of their number"
EXERCISES = {
    "scan": Exercise(
        [([1, 2, 3], 0.5), ([4, 0, 0, 1], 0.9)],
        _states,
        {SHRINKS: lambda x, a: _states(x, a, 1), NO_MEMORY: lambda x, a: x, "a is not used": lambda x, a: np.cumsum(x)},
    ),
    "decay_mask": Exercise(
        [(-1.0, [0.1, 0.2, 0.7]), (-0.5, [1, 1, 1, 3])],
        _mask,
        {OWN_STEP: lambda A, dt: _mask(A, dt, 0), LAST_STEP: lambda A, dt: _mask(A, dt, 1, 0)}
        | {TURNED: lambda A, dt: np.transpose(_mask(A, dt))},
    ),
    "half_life": Exercise(
        [(-1.0, 0.1), (-0.5, 2.0)],
        lambda A, dt: math.log(2) / (-A * dt),
        {"the sign: A is below 0, a half-life is above": lambda A, dt: math.log(2) / (A * dt)}
        | {"this is when 1/e is left, not when half is": lambda A, dt: 1 / (-A * dt)},
    ),
    "gap_signal": Exercise(
        [([0, 60, 86_460], 7.0, 3.0), ([5, 5, 3605], 6.0, 2.0)],
        _signal,
        {"the first item has no gap before it: its signal is 0": lambda t, m, s: _signal(t, m, s, first=None)}
        | {"a logarithm is missing: log(1 + gap)": lambda t, m, s: _signal(t, m, s, log=False)},
    ),
    "step_size": Exercise(
        [([0.0, -1.0, 2.0], 1.5, -2.0), ([1.0], 0.5, 0.0)],
        lambda d, delta, b: np.log1p(np.exp(_input(d, delta, b))),
        {"this is exp, which explodes: softplus(x) = log(1 + exp(x))": lambda *of: np.exp(_input(*of))}
        | {"a step of 0 forgets nothing at all: softplus, not relu": lambda *of: np.maximum(_input(*of), 0)},
    ),
    "rank": Exercise(
        [([0.1, 0.9, 0.5], 2), ([0.3, 0.3, 0.3], 0)],
        _rank,
        {TIES: lambda scores, target: 1 + sum(score > scores[target] for score in scores)}
        | {"the best rank is 1, not 0": lambda scores, target: _rank(scores, target) - 1},
    ),
    "ndcg": Exercise(
        [(1,), (2,), (10,), (11,)],
        _ndcg,
        {"the logarithm has base 2": lambda rank: _ndcg(rank, math.e), PLACES: lambda rank: float(rank <= 10)}
        | {"below rank ten it is 0": lambda rank: _ndcg(rank, k=99)},
    ),
    "split": Exercise(
        [("abcde",), ("xyz",)],
        lambda history: (history[:-2], history[-2], history[-1]),
        {"the latest item is the test, the one before it validates": lambda h: (h[:-2], h[-1], h[-2])},
    ),
    "standard_error": Exercise(
        [([1, 0, 1, 1], [0, 0, 1, 0]), ([0.5, 0.2, 0.9], [0.4, 0.2, 0.1])],
        _error,
        {PAIRS: _unpaired, SPREAD: lambda a, b: _error(a, b) * len(a) ** 0.5},
    ),
    "verdict": Exercise(
        [(0.03, 0.01), (0.015, 0.01), (-0.02, 0.01), (0.0, 0.0)],
        _verdict,
        {"one standard error is not enough: it takes two": lambda d, e: _verdict(d, e, 1)},
    ),
    "effects": Exercise(
        [(_score, [1, 2, 4]), (_score, [3, 3])],
        _effects,
        {"the sign: the score with the item less the score without it": lambda *of: -_effects(*of)},
    ),
}


def check(name: str, function: Callable[..., Any]) -> str:
    """What is off with a student's function, in a sentence; "Right" where nothing is."""
    if name not in EXERCISES:
        raise InputError(f"check: {name!r} is no exercise; one of {', '.join(EXERCISES)}")
    task, results = EXERCISES[name], []
    for case in task.cases:
        called = f"{name}({', '.join('score' if callable(one) else repr(one) for one in case)})"
        try:
            results.append(function(*case))
        except Exception as error:  # whatever a student's function does
            return f"Not yet. {called} stops with {type(error).__name__}: {error}"
        if results[-1] is None or results[-1] is ...:
            return f"Not yet. {called} gives nothing back: fill in the blank, and return the result."
        if not _same(results[-1], task.right(*case)):
            off = f"{called} is {_told(results[-1])}, and should be {_told(task.right(*case))}."
            for words, wrong in task.mistakes.items():
                if _same(results[-1], wrong(*case)):
                    return f"Not yet. {off} Perhaps: {words}."
            return f"Not yet. {off}"
    return f"Right: {name} does what it should in {len(task.cases)} cases."


def _same(one, other):
    if isinstance(other, str | tuple) and not isinstance(other[0], float):
        return type(one) is type(other) and one == other
    try:
        one, other = np.asarray(one, float), np.asarray(other, float)
    except (TypeError, ValueError):
        return False
    return one.shape == other.shape and np.allclose(one, other, atol=1e-6)


def _told(value):
    return repr(value) if isinstance(value, str | tuple) else np.array2string(np.asarray(value), precision=3)


def on_slide(figure: Figure, share: float = 0.75) -> Figure:
    """The figure for a projector: fewer inches, so that its letters are larger beside the rest, and more dots."""
    figure.set_size_inches(*(share * figure.get_size_inches()))
    figure.set_dpi(200)
    return figure


def blanked(solutions: NotebookNode) -> NotebookNode:
    """The exercise of a solution notebook: without outputs, marked lines blank, answers to questions left out."""
    cells = []
    for cell in solutions.cells:
        if "solution" in cell.metadata.get("tags", []):
            continue
        if cell.cell_type == "markdown":
            text = cell.source.replace(" (solutions)", "").replace("](../", "](")  # it lies a folder above
            cells.append(new_markdown_cell(text, id=cell.id, metadata=cell.metadata))
            continue
        text = re.sub(rf"(?m)^( *)[^\n]*{SOLVED}$(\n *[^\n]*{SOLVED}$)*", rf"\1{BLANK}", cell.source)
        cells.append(new_code_cell(text, id=cell.id, metadata=cell.metadata))
    return new_notebook(cells=cells, metadata=solutions.metadata)
